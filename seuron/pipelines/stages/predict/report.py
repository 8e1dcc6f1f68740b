"""What a report shows of a net's run: how much of the time it worked, and how much of the work was needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seuron.engine.run import Run
from seuron.engine.sections import Figure, Section
from seuron.reporting import quantities


def prediction_sections(run: Run[Any, Any], stage: str) -> Iterator[Section]:
    """The part of the report about the stage; nothing before it has done anything."""
    tasks = run.plan.stage(stage).tasks
    records = [record for task in tasks if (record := run.record(task.id)) is not None]
    counts = {
        name: sum(record.counts.get(name, 0) for record in records)
        for name in ("voxels", "patches", "even_patches", "masked_patches", "net_voxels", "net_seconds")
    }
    if not counts["voxels"]:
        return
    seconds = sum(record.seconds for record in records)
    busy = counts["net_seconds"] / seconds if seconds else 0.0
    facts = run.facts.prediction
    rate = counts["voxels"] / seconds / 1e6 if seconds else 0.0
    yield Section(
        figures=(
            Figure(
                "Net",
                f"{rate:.2f}",
                f"Mvox/s a task, {quantities.percent(busy)} of its time in the net ({facts.engine}, {facts.precision})",
                "Voxels of the result by the time of all tasks of the net",
            ),
        ),
        sentences=(
            f"The net computed {counts['net_voxels'] / counts['voxels']:.2f} voxels for each of the result, in "
            f"{quantities.count(counts['patches'])} patches; {quantities.count(counts['even_patches'])} of one grey "
            f"value were answered from memory, and {quantities.count(counts['masked_patches'])} masked ones left out.",
        ),
    )

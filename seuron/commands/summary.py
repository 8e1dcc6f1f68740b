"""A run in a few sentences, with what it was expected to take beside what it took."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seuron.client import RunStatus
from seuron.commands.wording import table
from seuron.engine.forecast import Forecast, compare
from seuron.engine.run import Run
from seuron.evaluation import Scores, read_scores
from seuron.reporting.quantities import big, count, duration, file_size
from seuron.reporting.timings import sum_counts


@dataclass(frozen=True)
class Summary:
    """What `report` says: words, data, and pictures if a folder for them was given."""

    text: str
    data: dict[str, Any]
    pictures: Sequence[Path]


def summarise(run: Run, status: RunStatus, pictures: Path | None = None) -> Summary:
    """The run as it is now; sections through its layers, and a plot of its scores, are written into `pictures`."""
    scores, compared = read_scores(run.storage), compare(run)
    counts = sum_counts(run.records())
    sentences = [status.sentence, _volume(run, compared), _found(counts)]
    if scores is not None:
        sentences.append(
            f"Against {count(scores.truths)} true objects: VOI {scores.voi_split:.3f} split + {scores.voi_merge:.3f} "
            f"merge bits, adapted Rand error {scores.adapted_rand_error:.3f}."
        )
    data = {
        **status.to_json(),
        "counts": counts,
        "scores": None if scores is None else scores.model_dump(mode="json"),
        "forecast": asdict(compared),
    }
    text = "\n".join([*filter(None, sentences), compared_table(compared)])
    files = section_files(run, pictures) if pictures is not None else []
    files += score_files(scores, pictures) if pictures is not None and scores is not None else []
    return Summary(text, data, files)


def compared_table(compared: Forecast) -> str:
    """What each stage was planned to take, and what it took."""
    rows = [
        (
            stage.stage,
            f"{stage.done}/{stage.tasks}",
            duration(stage.core_seconds),
            "-" if stage.actual_seconds is None else duration(stage.actual_seconds),
            file_size(stage.memory_bytes),
            "-" if stage.peak_bytes is None else file_size(stage.peak_bytes),
        )
        for stage in compared.stages
    ]
    head = ("stage", "tasks", "planned time", "took", "planned memory", "peak")
    return table(head, rows, right=(1, 2, 3, 4, 5))


def section_files(run: Run, folder: Path) -> list[Path]:
    """Sections through the middle of the run, as PNG files, one for each layer that is there."""
    from seuron.reporting.pictures import sections

    layers = ("affinities", "supervoxels", "segmentation")
    found = sections(run, {"image": run.params.image, **{name: run.layer(name) for name in layers}})
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for section in found:
        if section.plane == "xy":
            file = folder / f"{section.layer}.png"
            file.write_bytes(base64.b64decode(section.uri.partition(",")[2]))
            files.append(file)
    return files


def score_files(scores: Scores, folder: Path) -> list[Path]:
    """Where the bits of a segmentation are lost, as a PNG file."""
    from seuron.reporting.plots import score_picture

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "scores.png"
    score_picture(scores).save(file)
    return [file]


def _volume(run: Run, compared: Forecast) -> str:
    shape = " x ".join(str(side) for side in run.facts.box.shape)
    took = sum(stage.actual_seconds or 0.0 for stage in compared.stages)
    done, tasks = sum(stage.done for stage in compared.stages), compared.tasks
    return f"{shape} voxels ({big(run.facts.box.voxels)}), {done} of {tasks} tasks done, {duration(took)} of work."


def _found(counts: dict[str, float]) -> str:
    """What it found, as far as its tasks have counted it."""
    names = ("supervoxels", "segments", "contacts")
    told = [f"{count(counts[name])} {name}" for name in names if counts.get(name)]
    filled = counts.get("filled_blocks", 0)
    missing = f" {count(filled)} missing blocks were taken as zeros." if filled else ""
    return (f"{', '.join(told)}." if told else "") + missing

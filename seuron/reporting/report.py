"""The report of a run: OUTPUT/report.html, one page that needs nothing else, not even a network.

It is made from what lies in the run's folder, so it can be made again at any time, and of a run
that is not finished: it then shows what there is.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from seuron import __version__
from seuron.cluster.costs.run_costs import read_costs
from seuron.engine.records import TaskRecord
from seuron.engine.retries import read_retries
from seuron.engine.run import Run
from seuron.engine.sections import Figure
from seuron.params.run_parameters import fields_by_group
from seuron.reporting import quantities
from seuron.reporting.page_templates import environment
from seuron.reporting.pictures import PLANES, SectionPicture, section_pictures
from seuron.reporting.timings import StageTiming, stage_timings, sum_counts, timeline

REPORT = "report.html"
#: Bars drawn at most: beyond that the timeline is a texture and the page slow to open.
MAX_BARS = 3000
#: What tasks count, in words. A name that is not here is shown as it is.
COUNT_LABELS = {
    "voxels": "voxels",
    "supervoxels": "supervoxels",
    "segments": "segments",
    "contacts": "contacts",
    "filled_blocks": "missing blocks filled with zeros",
    "stored_bytes": "stored",
    "background_voxels": "background voxels",
}


@dataclass(frozen=True)
class Parameter:
    """One row of the table of parameters; values as text."""

    group: str
    name: str
    value: str
    unit: str
    default: str
    changed: bool
    help: str


def write_report(run: Run, viewer_url: str | None = None) -> None:
    """Write `report.html` into the run's folder, whole or not at all.

    `viewer_url` opens the run in the viewer (`seuron.web.viewer.view_run`); without it the page says
    which command does.
    """
    run.storage.put(REPORT, render_report(run, viewer_url).encode())


def render_report(run: Run, viewer_url: str | None = None) -> str:
    """The report as HTML."""
    records = run.records()
    voxels = run.facts.box.voxels
    # The page is made by the report's own task, which is not done while it makes it.
    stages = [stage for stage in stage_timings(run.plan, records, voxels) if stage.done or stage.name != "report"]
    times = timeline(run.plan, records)
    sections = list(run.pipeline.report(run))
    parameters = _parameters(run)
    page = environment("seuron.reporting").get_template("report.html.j2")
    return page.render(
        run=run,
        name=run.output.rstrip("/").rsplit("/", 1)[-1],
        version=__version__,
        ended=_date(max((record.ended for record in records), default=None)),
        hosts=sorted({record.host.split(":")[0] for record in records}),
        done=sum(stage.done for stage in stages),
        planned=sum(stage.planned for stage in stages),
        extent=_extent(run),
        stages=stages,
        counts=_counts(stages, voxels),
        filled=sum_counts(records).get("filled_blocks", 0),
        times=times,
        bars=_longest(times.bars),
        peak=max((record.peak_bytes for record in records), default=0),
        headline=[*_headline(run, times.seconds, records), *(figure for part in sections for figure in part.figures)],
        alerts=[alert for part in sections for alert in part.alerts],
        before_stages=[part for part in sections if part.html and part.place == "before stages"],
        after_stages=[part for part in sections if part.html and part.place == "after stages"],
        rows=_picture_rows(run),
        costs=read_costs(run.storage),
        retries=_retries(run),
        waited=_waited(records),
        moment=_date,
        parameters=parameters,
        changed=sum(parameter.changed for parameter in parameters),
        params_json=_params_json(run),
        commands=_commands(run),
        viewer_url=viewer_url,
    )


def _date(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _extent(run: Run) -> str:
    """The box's size in tissue, such as `2.5 x 2.5 x 1.7 µm` (units where they differ)."""
    sizes = [s * r for s, r in zip(run.facts.box.shape, run.facts.resolution_nm, strict=True)]
    texts = [quantities.length(size) for size in sizes]
    units = [text.split()[1] for text in texts]
    if len(set(units)) == 1:
        return " × ".join(text.split()[0] for text in texts) + f" {units[0]}"
    return " × ".join(texts)


def _headline(run: Run, seconds: float, records: list[TaskRecord]) -> list[Figure]:
    shape = " × ".join(str(side) for side in run.facts.box.shape)
    cpu = sum(record.cpu_seconds for record in records)
    speed = f"{run.facts.box.voxels / seconds / 1e6:.2f}" if seconds else "-"
    return [
        Figure("Volume", f"{quantities.big(run.facts.box.voxels)}", f"voxels: {shape}"),
        Figure("Run time", quantities.duration(seconds), f"{quantities.duration(cpu)} of processor time"),
        Figure("Speed", speed, "Mvox/s, from first task to last"),
    ]


def _counts(stages: list[StageTiming], voxels: int) -> list[tuple[str, str]]:
    """What was counted, in words: stage, and the sum over the stage's tasks with its name.

    Zeros are left out, and so are the voxels of the whole run, which stand at the top of the page.
    """
    return [
        (stage.name, f"{_count_text(name, value)} {COUNT_LABELS.get(name, name.replace('_', ' '))}")
        for stage in stages
        for name, value in stage.counts.items()
        if value and (name, value) != ("voxels", voxels)
    ]


def _count_text(name: str, value: float) -> str:
    return quantities.file_size(value) if name.endswith("bytes") else quantities.count(value)


def _longest(bars: Any) -> list[Any]:
    """The bars worth drawing, in order of time; the shortest go first when there are too many."""
    if len(bars) <= MAX_BARS:
        return list(bars)
    return sorted(sorted(bars, key=lambda bar: bar.start - bar.end)[:MAX_BARS], key=lambda bar: bar.start)


def _retries(run: Run) -> list[tuple[str, int, list[tuple[str, int]]]]:
    """Label and tries of each task that took several, and why those before the last failed, equal reasons counted."""
    tasks = ((found, run.plan.find(found.task_id)) for found in read_retries(run.storage))
    return [
        (task.label, found.tries, list(Counter(found.reasons).items())) for found, task in tasks if task is not None
    ]


def _waited(records: list[TaskRecord]) -> float:
    """The part of the tasks' time in which they did not compute, 0 to 1: they waited for storage, or for a core."""
    wall = sum(record.seconds for record in records if record.outcome == "computed")
    cpu = sum(record.cpu_seconds for record in records if record.outcome == "computed")
    return max(0.0, 1.0 - cpu / wall) if wall else 0.0


def _picture_rows(run: Run) -> list[tuple[str, list[SectionPicture]]]:
    """Pictures by plane, planes in the order they are shown."""
    found = section_pictures(run, {layer.name: layer.path for layer in run.layers})
    return [(plane, [cut for cut in found if cut.plane == plane]) for plane in PLANES]


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(str(part) for part in value) if isinstance(value, list | tuple) else str(value)


def _parameters(run: Run) -> list[Parameter]:
    """Every parameter, as a form shows them, with what differs from the default marked."""
    rows = []
    for group, fields in fields_by_group(type(run.params)).items():
        for name, field in fields.items():
            extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
            value = getattr(run.params, name)
            required = field.is_required()
            rows.append(
                Parameter(
                    group=group,
                    name=name,
                    value=_text(value),
                    unit=str(extra.get("unit", "")),
                    default="required" if required else _text(field.default),
                    changed=required or value != field.default,
                    help=field.description or "",
                )
            )
    return rows


def _params_json(run: Run) -> str:
    return json.dumps(run.params.model_dump(mode="json"), indent=2)


def _commands(run: Run) -> dict[str, str]:
    """Shell commands: the same run again, elsewhere, and the viewer on this one."""
    chosen = run.params.model_dump(mode="json", exclude_defaults=True)
    words = ["seuron", "run", run.pipeline.name]
    for name, value in chosen.items():
        text = ",".join(str(part) for part in value) if isinstance(value, list) else str(value)
        words += ["--set", f"{name}={text}"]
    pieces = [shlex.join(words[:3])]
    pieces += [f"{words[i]} {shlex.quote(words[i + 1])}" for i in range(3, len(words), 2)]
    return {
        "run": " \\\n    ".join(pieces),
        "view": shlex.join(["seuron", "view", run.output.removeprefix("file://")]),
    }

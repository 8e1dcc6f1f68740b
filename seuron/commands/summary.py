"""The summary of a run: the command that writes it in sentences, and the figures and pictures of `report`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from seuron.commands.answers import Answer, Session
from seuron.commands.argument_types import RUN
from seuron.commands.formatting import table
from seuron.commands.registry import Argument, command
from seuron.engine.states import RunState
from seuron.reporting.quantities import big, count, duration, file_size

if TYPE_CHECKING:
    from seuron.client import RunHandle, RunStatus
    from seuron.engine.forecast import Forecast
    from seuron.engine.run import Run
    from seuron.evaluation import Scores


@command("summary", aliases=("sum up", "summarise", "how did it go"), permission="look", group="Runs")
def summary(
    session: Session,
    run: Annotated[str, RUN],
    *,
    pictures: Annotated[
        bool, Argument("with sections, a histogram and a plot of scores, where they can be shown")
    ] = True,
) -> Answer:
    """Sum up a run in a few sentences: what it made, how long it took, what went wrong, what it cost."""
    handle = session.find(run)
    return _summed_up(session, handle, handle.status(stages=False), Answer(""), pictures=pictures)


def with_summary(session: Session, answer: Answer) -> Answer:
    """The answer of a command that has followed a run to success, with the summary of the run in place of figures.

    Other answers stay as they are.
    """
    data = answer.data
    finished = isinstance(data, Mapping) and data.get("state") == RunState.SUCCEEDED and data.get("waited", True)
    if not finished:
        return answer
    handle = session.find(data["id"] or data["output"])
    return _summed_up(session, handle, handle.status(stages=False), answer, pictures=True)


def _summed_up(session: Session, handle: RunHandle, status: RunStatus, answer: Answer, *, pictures: bool) -> Answer:
    from seuron.client.run_summary import retried_tasks, summary_text

    retried = retried_tasks(handle)
    data = {**status.to_json(), "retried": [task.__dict__ for task in retried]}
    links = ({"Airflow": handle.url} if handle.url else {}) | dict(answer.links)
    if handle.storage() is None:
        return Answer(f"{status.sentence}. Its folder is not reached from here", data, links)
    run = handle.folder()
    text = summary_text(run, status, retried)
    made = _pictures(run, session.pictures) if pictures and session.pictures is not None else []
    return Answer(text, data, links, made, answer.code)


def _pictures(run: Run, folder: Path) -> list[Path]:
    """Sections through the run, and what its pipeline draws."""
    files = section_files(run, folder)
    for section in run.pipeline.report(run):
        for name, draw in section.pictures.items():
            files.append(folder / f"{name}.png")
            draw().save(files[-1])
    return files


def figures_answer(run: Run, status: RunStatus, pictures: Path | None = None) -> Answer:
    """The figures of a run as it is now; sections through its layers and a plot of its scores go into `pictures`."""
    from seuron.engine.forecast import compare
    from seuron.evaluation import read_scores
    from seuron.reporting.timings import sum_counts

    scores, compared = read_scores(run.storage), compare(run)
    counts = sum_counts(run.records())
    sentences = [status.sentence, _volume(run, compared), _found(counts)]
    sentences += [sentence for section in run.pipeline.report(run) for sentence in section.sentences]
    data = {
        **status.to_json(),
        "counts": counts,
        "scores": None if scores is None else scores.model_dump(mode="json"),
        "forecast": asdict(compared),
    }
    text = "\n".join([*filter(None, sentences), compared_table(compared)])
    return Answer(text, data, pictures=_pictures(run, pictures) if pictures is not None else [])


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
    from seuron.reporting.pictures import section_pictures

    found = section_pictures(run, {layer.name: layer.path for layer in run.layers})
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for section in found:
        if section.plane == "xy":
            file = folder / f"{section.layer.replace(' ', '-')}.png"
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
    parts = [f"{count(counts[name])} {name}" for name in names if counts.get(name)]
    filled = counts.get("filled_blocks", 0)
    missing = f" {count(filled)} missing blocks were taken as zeros." if filled else ""
    return (f"{', '.join(parts)}." if parts else "") + missing

"""What a colleague would write of a run that has ended: a few plain sentences, from what is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from seuron.client import RunHandle, RunStatus, first_reason
from seuron.commands.answers import Answer, Session
from seuron.commands.registry import Word, command
from seuron.commands.runs import RUN
from seuron.engine.states import RunState, read_stops
from seuron.evaluation import Scores, read_scores
from seuron.reporting.quantities import big, count, duration, percent
from seuron.reporting.timings import sum_counts

if TYPE_CHECKING:
    from seuron.engine.run import Run
    from seuron.reporting.sizes import Sizes

#: Tasks that are named, of those that were tried again.
_NAMED = 3
#: A cause is told in one line of at most so many characters.
_LINE = 200


@dataclass(frozen=True)
class Trouble:
    """A task that went through after more than one try, and the reason of the try before the last."""

    task: str
    tries: int
    reason: str

    def __str__(self) -> str:
        return f"{self.task}, after {self.tries} tries ({self.reason or 'its worker was lost'})"


@command("summary", aliases=("sum up", "summarise", "how did it go"), may="look", group="Runs")
def summary(
    session: Session,
    run: Annotated[str, RUN],
    *,
    pictures: Annotated[bool, Word("with sections, a histogram and a plot of scores, where they can be shown")] = True,
) -> Answer:
    """Sum up a run in a few sentences: what it made, how long it took, what went wrong, what it cost."""
    handle = session.deployment.find(run)
    return _closed(session, handle, handle.status(stages=False), Answer(""), pictures=pictures)


def close_run(session: Session, answer: Answer) -> Answer:
    """The answer of a command that followed a run to its end, with the run summed up in place of figures."""
    data = answer.data
    handle = session.deployment.find(data["id"] or data["output"])
    return _closed(session, handle, handle.status(stages=False), answer, pictures=True)


def _closed(session: Session, handle: RunHandle, status: RunStatus, answer: Answer, *, pictures: bool) -> Answer:
    troubles = overcome(handle)
    data = {**status.to_json(), "overcome": [trouble.__dict__ for trouble in troubles]}
    links = ({"Airflow": handle.url} if handle.url else {}) | dict(answer.links)
    if handle.storage() is None:
        return Answer(f"{status.sentence}. Its folder is not reached from here", data, links)
    run = handle.folder()
    sizes = _sizes(run)
    text = closing_words(run, status, sizes, troubles)
    made = _pictures(run, sizes, session.pictures) if pictures and session.pictures is not None else []
    return Answer(text, data, links, made, answer.code)


def closing_words(run: Run, status: RunStatus, sizes: Sizes | None, troubles: Sequence[Trouble]) -> str:
    """The sentences, each of them only where there is something to say."""
    scores = read_scores(run.storage)
    sentences = [
        _made(run, status, sizes),
        _work(run),
        *([_scored(scores)] if scores is not None else []),
        *_went_wrong(run, status, troubles),
        *([f"It cost ${status.dollars:.2f}."] if status.dollars is not None else []),
    ]
    return " ".join(sentences)


def closing_of(handle: RunHandle) -> str:
    """The sentences about a run that is reached from here; raises RunError where it is not."""
    run = handle.folder()
    return closing_words(run, handle.status(stages=False), _sizes(run), overcome(handle))


def overcome(handle: RunHandle) -> list[Trouble]:
    """The tasks that went through after more than one try; empty for a run that Airflow does not know."""
    if not handle.id:
        return []
    client = handle.deployment.client
    found = list[Trouble]()
    for task in client.task_instances(handle.dag, handle.id, states=["success"]):
        if task.try_number > 1:
            reason = ""
            if len(found) < _NAMED:
                before = replace(task, try_number=task.try_number - 1)
                reason = first_reason(client.log_events(handle.dag, handle.id, before)) or ""
            found.append(Trouble(task.label, task.try_number, " ".join(reason.split())[:_LINE]))
    return found


def _made(run: Run, status: RunStatus, sizes: Sizes | None) -> str:
    shape = " x ".join(str(side) for side in run.facts.box.shape)
    voxels = f"{shape} voxels ({big(run.facts.box.voxels)})"
    if status.state is not RunState.SUCCEEDED or sizes is None:
        done, planned = len(run.records()), len(run.plan.tasks)
        return f"{status.sentence.rstrip('.')}. {count(done)} of {count(planned)} tasks of {voxels} are done."
    took = f" in {duration(status.ended - status.started)}" if status.started and status.ended else ""
    supervoxels = sum_counts(run.records()).get("supervoxels")
    source = f", from {count(supervoxels)} supervoxels" if supervoxels else ""
    estimated = f" (counted at scale {sizes.scale}, so small ones may be missing)" if sizes.scale else ""
    largest = (
        f" The largest holds {percent(sizes.voxels[0] / sizes.total)} of the labelled voxels." if len(sizes.ids) else ""
    )
    return f"{status.name} is done: {voxels} became {count(len(sizes.ids))} segments{source}{estimated}{took}.{largest}"


def _work(run: Run) -> str:
    """How much work it was, and where most of it went."""
    records = run.records()
    by_stage: dict[str, float] = {}
    for record in records:
        by_stage[record.stage] = by_stage.get(record.stage, 0.0) + record.seconds
    total = sum(by_stage.values())
    if not total:
        return "No work was needed."
    stage = max(by_stage, key=lambda name: by_stage[name])
    kept = sum(record.outcome != "computed" for record in records)
    reused = f" {count(kept)} of {count(len(records))} tasks took over earlier results." if kept else ""
    return f"That was {duration(total)} of work, {percent(by_stage[stage] / total)} of it {stage}.{reused}"


def _scored(scores: Scores) -> str:
    text = (
        f"Against {count(scores.truths)} true objects it has {scores.voi_split:.3f} bits of splits and "
        f"{scores.voi_merge:.3f} of merges (VOI), and an adapted Rand error of {scores.adapted_rand_error:.3f}."
    )
    worst = max([*scores.worst_merges[:1], *scores.worst_splits[:1]], key=lambda found: found.bits, default=None)
    if worst is None or not worst.bits:
        return text
    what = "segment" if worst in scores.worst_merges else "true object"
    return f"{text} Look first at {what} {worst.id}: it alone costs {worst.bits:.3f} bits."


def _went_wrong(run: Run, status: RunStatus, troubles: Sequence[Trouble]) -> Iterator[str]:
    """What went wrong, or was done by hand; one sentence when nothing did."""
    told = list(_wrong(run, status, troubles))
    yield from told or (["Nothing went wrong."] if status.state is RunState.SUCCEEDED else [])


def _wrong(run: Run, status: RunStatus, troubles: Sequence[Trouble]) -> Iterator[str]:
    if troubles:
        tasks = f"{count(len(troubles))} task{'s' if len(troubles) > 1 else ''}"
        named = "; ".join(map(str, troubles[:_NAMED]))
        more = f"; and {len(troubles) - _NAMED} more" if len(troubles) > _NAMED else ""
        yield f"{tasks} failed at first and went through later: {named}{more}."
    filled = sum_counts(run.records()).get("filled_blocks", 0)
    if filled:
        yield f"{count(filled)} blocks of the input are missing and were taken as zeros."
    for stop in read_stops(run.storage):
        if stop.sentence != status.stop:
            yield f"Earlier it was {stop.sentence}."


def _sizes(run: Run) -> Sizes | None:
    """The sizes of the segments; None while there is no segmentation."""
    from seuron.errors import VolumeError
    from seuron.reporting.sizes import segment_sizes
    from seuron.volumes import open_volume

    try:
        return segment_sizes(open_volume(run.layer("segmentation")))
    except VolumeError:
        return None


def _pictures(run: Run, sizes: Sizes | None, folder: Path) -> list[Path]:
    from seuron.commands.summary import score_files, section_files
    from seuron.reporting.histogram import size_histogram

    files, scores = section_files(run, folder), read_scores(run.storage)
    if sizes is not None and len(sizes.ids):
        files.append(folder / "segment-sizes.png")
        size_histogram(sizes).save(files[-1])
    return files + (score_files(scores, folder) if scores is not None else [])


def follows_a_run(data: Any) -> bool:
    """Whether an answer's data are those of a run that was waited for and has succeeded."""
    return isinstance(data, Mapping) and data.get("state") == RunState.SUCCEEDED and data.get("waited", True)

"""What a start of a run would do, and why: its tasks against those of the run that is in the folder already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from seuron.engine.fingerprints import load_fingerprints
from seuron.engine.keys import dependencies_of
from seuron.engine.plan import Task
from seuron.engine.run import Run
from seuron.errors import SeuronError

#: Boxes of changed blocks that a reason names one by one.
NAMED_BOXES = 5

FOLLOWS = "they read tasks that run: done again only where those come to another result"
NOT_FINISHED = "not finished by the earlier start"
FIRST = "no run is in the output folder yet"
GROWN = "the box has grown: new tasks, and those at its old faces"
CUT = "the box is cut into tasks in another way"


@dataclass(frozen=True)
class StageChanges:
    """How many of a stage's tasks a start would find finished, take over from other runs, run, or check.

    A task that is *run* depends on a change itself. One that is *checked* only reads such tasks.
    """

    name: str
    tasks: int
    finished: int
    reused: int
    run: int
    checked: int


@dataclass
class Changes:
    """What a start would do: tasks by stage, and for each reason how many tasks of which stage it concerns."""

    stages: list[StageChanges] = field(default_factory=list)
    reasons: dict[str, Counter[str]] = field(default_factory=dict)


def changes_of(run: Run) -> Changes:
    """What the start of a planned run would do (`setup.plan_run`); nothing is written."""
    before = _before(run)
    shared, found = _finished_elsewhere(run), Changes()
    for stage in run.plan.stages:
        counts: Counter[str] = Counter()
        for task in stage.tasks:
            verdict, reasons = _verdict(task, run, before, shared)
            counts[verdict] += 1
            for reason in reasons:
                found.reasons.setdefault(reason, Counter())[stage.name] += 1
        kinds = {kind: counts[kind] for kind in ("finished", "reused", "run", "checked")}
        found.stages.append(StageChanges(stage.name, len(stage.tasks), **kinds))
    return found


@dataclass(frozen=True)
class _Before:
    """The run that is in the folder, with all that its keys were made of."""

    run: Run
    finished: frozenset[str]


def _before(run: Run) -> _Before | None:
    if run.storage.get("run.json") is None:
        return None
    opened = Run.open(run.output)
    before = replace(opened, fingerprints=load_fingerprints(run.storage))
    return _Before(before, frozenset(record.task_id for record in before.records()))


def _finished_elsewhere(run: Run) -> frozenset[str]:
    """The keys of the finished tasks of all other runs that share the store."""
    keys: set[str] = set()
    for output in run.store.registered():
        if output != run.output:
            with suppress(SeuronError):  # a run that is gone or damaged has nothing to take over
                keys |= {record.key for record in Run.open(output).records()}
    return frozenset(keys)


def _verdict(task: Task, run: Run, before: _Before | None, shared: frozenset[str]) -> tuple[str, list[str]]:
    key = run.keys.of(task)
    same = before is not None and before.run.keys.find(task.id) == key
    if same and before is not None and task.id in before.finished:
        return "finished", []
    if run.pipeline.stage(task.stage).shareable(task) and key in shared:
        return "reused", []
    if before is None:
        return "run", [FIRST]
    if same:
        return "run", [NOT_FINISHED]
    reasons = list(dict.fromkeys(_reasons(task, run, before.run)))
    return ("run", reasons) if reasons else ("checked", [FOLLOWS])


def _reasons(task: Task, run: Run, before: Run) -> Iterator[str]:
    """Why a task has another key, but for the tasks that it reads."""
    old = before.plan.find(task.id)
    if old is None:
        yield _place_reason(run, before)
        return
    was, now = dependencies_of(before, old), dependencies_of(run, task)
    for name in now.keys() | was.keys():
        if was.get(name) == now.get(name):
            continue
        if name == "place":
            yield _place_reason(run, before)
        elif name in run.fingerprints or name in before.fingerprints:
            yield from _source_reasons(name, run, before)
        else:
            yield f"{name} was {_text(was.get(name))}, now {_text(now.get(name))}"


def _place_reason(run: Run, before: Run) -> str:
    return GROWN if run.facts.box != before.facts.box else CUT


def _source_reasons(name: str, run: Run, before: Run) -> Iterator[str]:
    old, new = before.fingerprints.get(name), run.fingerprints.get(name)
    if old is None or new is None:
        yield f"{name} was {old.path if old else 'none'}, now {new.path if new else 'none'}"
    elif (old.path, old.form) != (new.path, new.form):
        yield f"{name} was {old.path}, now {new.path}" if old.path != new.path else f"{name} is stored in another way"
    else:
        changed = new.changed_since(old)
        boxes = ", ".join(str(box) for box in changed[:NAMED_BOXES]) + (", ..." if len(changed) > NAMED_BOXES else "")
        yield f"{len(changed)} blocks of {name} have changed: {boxes}" if changed else GROWN


def _text(value: Any) -> str:
    return "none" if value is None else str(value)

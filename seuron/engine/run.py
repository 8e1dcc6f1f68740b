"""A run: parameters, the facts of its input, its plan, its keys, and the records of what is done.

All of it lies in the output folder, so that any process that can read it can go on with the run:

    OUTPUT/run.json             its pipeline, parameters and facts
    OUTPUT/plan.json            stages and tiers (for readers)
    OUTPUT/keys/KEY             the keys of all tasks: what their results depend on; KEY is the run's
    OUTPUT/inputs/...           fingerprints of the input's blocks, as they were when the run was prepared
    OUTPUT/tasks/ID.json        one record for each finished task
    OUTPUT/superseded/ID.json   the record of a task that has another key by now, until the task is checked again
    OUTPUT/locks/ID.json        the locks of running tasks
    OUTPUT/stopped/ID.json      who cancelled or paused a start of the run, and why (`states.py`)
    OUTPUT/objects/...          the tables that tasks hand to each other (`storage/object_store.py`), unless elsewhere
    OUTPUT/...                  the layers, and report.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic

from pydantic import TypeAdapter, ValidationError

from seuron import __version__
from seuron.engine.keys import Keys, make_keys
from seuron.engine.pipeline import Counts, F, Layer, P, Pipeline, Source, Stage
from seuron.engine.plan import Plan, StagePlan, Task, Tier
from seuron.engine.records import TaskRecord
from seuron.engine.registry import pipeline_named
from seuron.errors import DamagedFileError, ParameterErrors, ReplacedRunError, RunError
from seuron.params import parse_parameters
from seuron.storage import Storage, cloud_path, join
from seuron.storage.allowed_paths import check_path
from seuron.storage.digests import digest_of_bytes
from seuron.storage.documents import first_problem, parse_document, read_if_whole
from seuron.storage.object_store import FinishedObject, NewObject, Store

if TYPE_CHECKING:
    from seuron.volumes.fingerprints import Fingerprints

__all__ = ["Counts", "Run", "make_plan"]

#: Counted up when run.json or the records come to hold something else.
LAYOUT = 3


#: What to do about a run.json that is damaged: it has what was chosen at the first start, which nothing else says.
_RESTORE = "restore it from a copy, or choose a new folder; the layers in this one are as they were"


@dataclass(frozen=True)
class _SavedRun:
    """What run.json holds; its parameters and facts are those of its pipeline."""

    layout: int = 0
    pipeline: str = ""
    key: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    version: str = ""
    prepared: float = 0.0


def make_plan(pipeline: Pipeline[P, F], params: P, facts: F) -> Plan:
    """The plan of a run; equal input gives an equal plan, on any machine."""
    return Plan(tuple(_stage_plan(stage, stage.plan(params, facts)) for stage in pipeline.stages))


def _stage_plan(stage: Stage, tiers: Sequence[Tier]) -> StagePlan:
    if len(tiers) > stage.tiers:
        raise RunError(f"the stage {stage.name} was planned with {len(tiers)} tiers; it may have {stage.tiers} at most")
    work = zip(tiers, stage.work, strict=False)
    return StagePlan(
        stage.name, tuple(replace(tier, stage=stage.name, number=i, work=kind) for i, (tier, kind) in enumerate(work))
    )


@dataclass(frozen=True)
class Run(Generic[P, F]):
    """One run, as it lies in its output folder.

    `fingerprints` are those of its inputs' blocks. A run that was opened has the key that was saved, and reads the keys
    of tasks as they are asked for; otherwise they follow from all else.
    """

    pipeline: Pipeline[P, F]
    params: P
    facts: F
    fingerprints: Mapping[str, Fingerprints] = field(default_factory=dict, compare=False, repr=False)
    saved_key: str | None = field(default=None, compare=False, repr=False)
    _new_objects: dict[str, NewObject] = field(default_factory=dict, init=False, compare=False, repr=False)
    _objects: dict[str, FinishedObject] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def output(self) -> str:
        return cloud_path(self.params.output)

    @cached_property
    def storage(self) -> Storage:
        return Storage(self.output)

    @cached_property
    def store(self) -> Store:
        return Store(cloud_path(self.params.store) if self.params.store else join(self.output, "objects"))

    @cached_property
    def plan(self) -> Plan:
        return make_plan(self.pipeline, self.params, self.facts)

    @cached_property
    def sources(self) -> Mapping[str, Source]:
        """The volumes that the run reads, by the parameter that names them."""
        return self.pipeline.sources(self.params)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """All volumes of the run, those that it was given included."""
        return tuple(self.pipeline.layers(self.params, self.facts))

    def layer(self, name: str) -> str:
        """The path of a layer."""
        return next(layer.path for layer in self.layers if layer.name == name)

    @cached_property
    def keys(self) -> Keys:
        """The keys of all tasks."""
        if self.saved_key is not None:
            return Keys(self.plan, storage=self.storage, name=_keys_file(self.saved_key))
        return make_keys(self)

    @cached_property
    def key(self) -> str:
        """What all results together depend on. Where they lie does not matter."""
        return self.saved_key or digest_of_bytes([self.pipeline.name.encode(), self.keys.content])

    def reads(self, task: Task) -> Iterator[Task]:
        """The tasks whose results a task reads, each once."""
        seen: set[tuple[str, int, int]] = set()
        for other in self.pipeline.stage(task.stage).reads(self, task):
            for read in other if isinstance(other, Tier) else (other,):
                place = (read.stage, read.tier, self.plan.tier_of(read).number_of(read))
                if place not in seen:
                    seen.add(place)
                    yield read

    def tables(self, task_id: str) -> Storage:
        """Where a task's tables lie; those of the task that this process is doing are being written there.

        Raises RunError when the task is not finished, or has left no tables.
        """
        if task_id in self._new_objects:
            return self._new_objects[task_id]
        return self._object(task_id)

    def table_digests(self, task_id: str) -> dict[str, str]:
        """The digest of each of a finished task's tables, by name."""
        return self._object(task_id).manifest.tables

    def has_tables(self, task_id: str) -> bool:
        """Whether a finished task has left tables: those that take part in a round may find nothing to do."""
        record = self.record(task_id)
        return record is not None and bool(record.object)

    def _object(self, task_id: str) -> FinishedObject:
        if task_id not in self._objects:
            record = self.record(task_id)
            found = self.store.tables(record.object) if record is not None and record.object else None
            if found is None:
                raise self._no_tables(task_id)
            self._objects[task_id] = found
        return self._objects[task_id]

    def _no_tables(self, task_id: str) -> RunError:
        return RunError(
            f"the task {task_id} of the run in {self.output} has no tables yet, or they are gone; "
            "start the run again: it computes what is not there"
        )

    @contextmanager
    def writing(self, task_id: str, name: str) -> Iterator[NewObject]:
        """Let `tables` of a task be a new object's while the task is done."""
        self._new_objects[task_id] = self.store.new(name)
        try:
            yield self._new_objects[task_id]
        finally:
            del self._new_objects[task_id]

    def record(self, task_id: str) -> TaskRecord | None:
        """The record of a finished task of this run; None while it is not finished."""
        record = self._read_record(f"tasks/{task_id}.json")
        return record if record is not None and record.key == self.keys.find(task_id) else None

    def finished(self, task_id: str) -> TaskRecord | None:
        """The record of a finished task whose tables are there as well."""
        record = self.record(task_id)
        if record is None or (record.object and self.store.manifest(record.object) is None):
            return None
        return record

    def earlier(self, task_id: str) -> TaskRecord | None:
        """The last record of a task, whatever its key was then."""
        return self._read_record(f"tasks/{task_id}.json") or self._read_record(f"superseded/{task_id}.json")

    def _read_record(self, name: str) -> TaskRecord | None:
        return read_if_whole(self.storage, name, TaskRecord)  # a damaged one says of no task that it is done

    def records(self) -> list[TaskRecord]:
        """The records of all finished tasks, in the plan's order."""
        written = self.finished_ids()
        found = (self.record(task.id) for task in self.plan.tasks if task.id in written)
        return [record for record in found if record is not None]

    def finished_ids(self) -> frozenset[str]:
        """The ids of all tasks that have a record, whatever its key; no record is read."""
        names = self.storage.names("tasks/")
        return frozenset(name.removeprefix("tasks/").removesuffix(".json") for name in names)

    def reusable_parts(self, task_id: str) -> frozenset[str]:
        """Which parts of the result of a task that is being done again need not be made."""
        earlier = self.earlier(task_id)
        return frozenset() if earlier is None else frozenset(earlier.inputs)

    def finish(self, record: TaskRecord) -> None:
        """Write a record: from now on the task is done."""
        self._put(f"tasks/{record.task_id}.json", asdict(record))
        self.storage.delete([f"superseded/{record.task_id}.json"])
        self._objects.pop(record.task_id, None)

    def invalidate_record(self, task_id: str, inputs: Mapping[str, str]) -> None:
        """Make a record say no more than that the parts `inputs` of its result can be kept.

        Called before the rest is made again: a task that is killed at it must not be taken for done.
        """
        earlier = self.earlier(task_id)
        if earlier is not None and inputs:
            self._put(f"superseded/{task_id}.json", {**asdict(earlier), "key": "", "inputs": dict(inputs)})
            self.storage.delete([f"tasks/{task_id}.json"])
        else:
            self.storage.delete([f"tasks/{task_id}.json", f"superseded/{task_id}.json"])

    def check_current(self, task_id: str, key: str) -> None:
        """Raise ReplacedRunError unless the run that is in the output folder now has this key for a task."""
        saved = self.storage.get("run.json")
        if saved is None or (_saved(saved, self.output).key == self.key and self.keys.find(task_id) == key):
            return
        now = Run.open(self.output).keys.find(task_id)
        if now != key:
            raise ReplacedRunError(
                f"the task {task_id} belongs to an earlier start of the run in {self.output}, which has been started "
                f"again with other parameters or another input meanwhile (key {key}, now {now}). "
                "Follow the later start, or start the run again as you want it when that one has ended"
            )

    @classmethod
    def open(cls, output: str) -> Run:
        """The run that lies in `output`.

        Raises RunError when there is none, PathNotAllowedError where the owner allows no runs, and DamagedFileError.
        """
        path = cloud_path(output)
        check_path(path, "output", "output")
        content = Storage(output).get("run.json")
        if content is None:
            raise RunError(f"{path} holds no run (no run.json); start one with `seuron run`")
        saved = _saved(content, path)
        if saved.layout != LAYOUT:
            raise RunError(
                f"the run in {path} was made by seuron {saved.version}, whose runs have another layout; "
                "choose a new folder"
            )
        pipeline = pipeline_named(saved.pipeline)
        try:
            params = parse_parameters(pipeline.params, {**saved.params, "output": path})
            facts = TypeAdapter(pipeline.facts).validate_python(saved.facts)
        except ParameterErrors as error:
            raise DamagedFileError(f"{path}/run.json", "; ".join(error.problems), _RESTORE) from error
        except ValidationError as error:
            problem = f"its facts do not fit {pipeline.name}: {first_problem(error)}"
            raise DamagedFileError(f"{path}/run.json", problem, _RESTORE) from error
        return cls(pipeline, params, facts, saved_key=saved.key)

    def save(self) -> None:
        """Write the keys, plan.json and, last, run.json; the plan is for readers, `plan` computes it."""
        saved = _SavedRun(
            version=__version__,
            layout=LAYOUT,
            pipeline=self.pipeline.name,
            prepared=time.time(),
            key=self.key,
            params=self.params.model_dump(mode="json"),
            facts=asdict(self.facts),
        )
        earlier = self.storage.get("run.json")
        before = "" if earlier is None else _saved(earlier, self.output).key  # its tasks may be running
        self.storage.put(_keys_file(self.key), self.keys.content)
        self._put("plan.json", self.plan.to_json())
        self._put("run.json", asdict(saved))
        kept = {_keys_file(self.key), _keys_file(before)}
        self.storage.delete([name for name in self.storage.names("keys/") if name not in kept])

    def _put(self, name: str, data: Any) -> None:
        self.storage.put(name, json.dumps(data, indent=1).encode())


def prepared_at(storage: Storage) -> float:
    """When the run in a folder was prepared, s since 1970; 0 where none is there."""
    content = storage.get("run.json")
    return 0.0 if content is None else _saved(content, storage.path).prepared


def _saved(content: bytes, output: str) -> _SavedRun:
    return parse_document(content, _SavedRun, f"{output}/run.json", _RESTORE)


def _keys_file(key: str) -> str:
    return f"keys/{key}"

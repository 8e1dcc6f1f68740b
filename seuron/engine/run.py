"""A run: parameters, the facts of its input, its plan, its keys, and the records of what is done.

All of it lies in the output folder, so that any process that can read it can go on with the run:

    OUTPUT/run.json           parameters and facts
    OUTPUT/plan.json          stages, tiers, tasks (for readers)
    OUTPUT/keys.json          the key of every task: what its result depends on
    OUTPUT/inputs/...         marks of the input's blocks, as they were when the run was prepared
    OUTPUT/tasks/ID.json      one record for each finished task
    OUTPUT/earlier/ID.json    the record of a task that has another key by now, until the task is looked at again
    OUTPUT/working/ID.json    the claims of tasks that are at work
    OUTPUT/stopped/ID.json    who cancelled or paused a start of the run, and why (`states.py`)
    OUTPUT/objects/...        the tables that tasks hand to each other (`store.py`), unless they lie elsewhere
    OUTPUT/affinities, supervoxels, segmentation, report.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from seuron import __version__
from seuron.box import Box, triple
from seuron.engine.keys import task_keys
from seuron.engine.plan import Plan, Task
from seuron.errors import ParameterErrors, ReplacedRunError, RunError
from seuron.params import parse_parameters
from seuron.pipelines.segmentation.dependencies import Readers
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.plan import VolumeFacts, make_plan
from seuron.storage import Storage, cloud_path, join
from seuron.storage.digests import digest_of_data
from seuron.storage.object_store import Counts, NewObject, Store
from seuron.volumes.fingerprints import SourceBlocks

__all__ = ["Counts", "Outcome", "Run", "TaskRecord", "prepare_run"]

Outcome = Literal["computed", "unchanged", "reused"]
#: Counted up when run.json or the records come to hold something else.
LAYOUT = 2


@dataclass(frozen=True)
class TaskRecord:
    """What a finished task left behind: when, how long, how much, what it counted, and from what.

    `seconds` is wall time of the work itself, `cpu_seconds` user and system time, `peak_bytes` the
    process's largest resident size so far; `started` and `ended` are seconds since 1970.

    `inputs` are digests of all that the result was made from, one for each part of it that can stay
    while the others are made anew; `object` names the task's tables in the store. `outcome` says
    what was needed: the task `computed`; its earlier result was made from the same and is `unchanged`;
    or the result was `reused` from the store. `counts` are those of the computation.
    `tries` is how often the task was begun until it was done, as far as its runner counts that.
    """

    task_id: str
    stage: str
    tier: int
    key: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    started: float
    ended: float
    host: str
    counts: Counts = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    object: str = ""
    outcome: Outcome = "computed"
    tries: int = 1


@dataclass(frozen=True)
class Run:
    """One run, as it lies in its output folder.

    `sources` are the marks of its inputs' blocks. A run that was opened has the keys that were saved;
    otherwise they follow from all else.
    """

    params: SegmentationParams
    facts: VolumeFacts
    sources: Mapping[str, SourceBlocks] = field(default_factory=dict, compare=False, repr=False)
    saved_keys: Mapping[str, str] | None = field(default=None, compare=False, repr=False)
    _at_work: dict[str, NewObject] = field(default_factory=dict, init=False, compare=False, repr=False)
    _objects: dict[str, str] = field(default_factory=dict, init=False, compare=False, repr=False)

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
        return make_plan(self.params, self.facts)

    @cached_property
    def keys(self) -> Mapping[str, str]:
        """The key of every task."""
        if self.saved_keys is not None:
            return self.saved_keys
        return task_keys(self.plan, self.params, self.facts, self.sources)

    @cached_property
    def key(self) -> str:
        """What all results together depend on. Where they lie does not matter."""
        return digest_of_data(dict(self.keys))

    @cached_property
    def _readers(self) -> Readers:
        return Readers(self.plan)

    def reads(self, task: Task) -> tuple[str, ...]:
        """The ids of the tasks whose results a task reads."""
        return self._readers.of(task)

    def layer(self, name: str) -> str:
        """The path of a layer: `affinities`, `supervoxels` or `segmentation`."""
        if name == "affinities" and self.params.affinities is not None:
            return cloud_path(self.params.affinities)
        return join(self.output, name)

    @property
    def affinity_dtype(self) -> str:
        """The type of the affinities: what the run stores, or what it was given."""
        return self.facts.dtype if self.params.image is None else self.params.affinity_dtype

    @property
    def affinity_mip(self) -> int:
        """The scale at which the affinities lie: a run's own layers begin at its scale."""
        return self.params.mip if self.params.image is None else 0

    def tables(self, task_id: str) -> Storage:
        """Where a task's tables lie; those of the task that this process is doing are being written there.

        Raises RunError when the task is not finished, or has left no tables.
        """
        if task_id in self._at_work:
            return self._at_work[task_id]
        return self.store.tables(self._object(task_id))

    def table_digests(self, task_id: str) -> dict[str, str]:
        """The digest of each of a finished task's tables, by name."""
        manifest = self.store.manifest(self._object(task_id))
        if manifest is None:
            raise self._no_tables(task_id)
        return manifest.tables

    def has_tables(self, task_id: str) -> bool:
        """Whether a finished task has left tables: those that take part in a round may find nothing to do."""
        record = self.record(task_id)
        return record is not None and bool(record.object)

    def _object(self, task_id: str) -> str:
        if task_id not in self._objects:
            record = self.record(task_id)
            if record is None or not record.object:
                raise self._no_tables(task_id)
            self._objects[task_id] = record.object
        return self._objects[task_id]

    def _no_tables(self, task_id: str) -> RunError:
        return RunError(
            f"the task {task_id} of the run in {self.output} has no tables yet, or they are gone; "
            "start the run again: it computes what is not there"
        )

    @contextmanager
    def writing(self, task_id: str, name: str) -> Iterator[NewObject]:
        """Let `tables` of a task be a new object's while the task is done."""
        self._at_work[task_id] = self.store.new(name)
        try:
            yield self._at_work[task_id]
        finally:
            del self._at_work[task_id]

    def record(self, task_id: str) -> TaskRecord | None:
        """The record of a finished task of this run; None while it is not finished."""
        record = self._read_record(f"tasks/{task_id}.json")
        return record if record is not None and record.key == self.keys.get(task_id) else None

    def finished(self, task_id: str) -> TaskRecord | None:
        """The record of a finished task whose tables are there as well."""
        record = self.record(task_id)
        if record is None or (record.object and self.store.manifest(record.object) is None):
            return None
        return record

    def earlier(self, task_id: str) -> TaskRecord | None:
        """The last record of a task, whatever its key was then."""
        return self._read_record(f"tasks/{task_id}.json") or self._read_record(f"earlier/{task_id}.json")

    def _read_record(self, name: str) -> TaskRecord | None:
        content = self.storage.get(name)
        return None if content is None else TaskRecord(**json.loads(content))

    def records(self) -> list[TaskRecord]:
        """The records of all finished tasks, in the plan's order."""
        found = (self.record(task_id) for task_id in self.plan.tasks)
        return [record for record in found if record is not None]

    def standing(self, task_id: str) -> frozenset[str]:
        """Which parts of the result of a task that is being done anew need not be made."""
        earlier = self.earlier(task_id)
        return frozenset() if earlier is None else frozenset(earlier.inputs)

    def finish(self, record: TaskRecord) -> None:
        """Write a record: from now on the task is done."""
        self._put(f"tasks/{record.task_id}.json", asdict(record))
        self.storage.delete([f"earlier/{record.task_id}.json"])
        self._objects.pop(record.task_id, None)

    def retire(self, task_id: str, inputs: Mapping[str, str]) -> None:
        """Make a record say no more than that the parts `inputs` of its result stand.

        Called before the rest is made anew: a task that is killed at it must not be taken for done.
        """
        earlier = self.earlier(task_id)
        if earlier is not None and inputs:
            self._put(f"earlier/{task_id}.json", {**asdict(earlier), "key": "", "inputs": dict(inputs)})
            self.storage.delete([f"tasks/{task_id}.json"])
        else:
            self.storage.delete([f"tasks/{task_id}.json", f"earlier/{task_id}.json"])

    def check_current(self, task_id: str, key: str) -> None:
        """Raise ReplacedRunError unless the run that is in the output folder now has this key for a task."""
        saved = self.storage.get("run.json")
        if saved is None or (json.loads(saved)["key"] == self.key and self.keys.get(task_id) == key):
            return
        keys = json.loads(self.storage.get("keys.json") or b"{}")
        if keys.get(task_id) != key:
            raise ReplacedRunError(
                f"the task {task_id} belongs to an earlier start of the run in {self.output}, which has been started "
                f"again with other parameters or another input meanwhile (key {key}, now {keys.get(task_id)}). "
                "Follow the later start, or start the run again as you want it when that one has ended"
            )

    @classmethod
    def open(cls, output: str) -> Run:
        """The run that lies in `output`; raises RunError when there is none."""
        storage = Storage(output)
        content = storage.get("run.json")
        if content is None:
            raise RunError(f"{cloud_path(output)} holds no run (no run.json); start one with `seuron run segmentation`")
        saved = json.loads(content)
        if saved.get("layout") != LAYOUT:
            raise RunError(
                f"the run in {cloud_path(output)} was made by seuron {saved.get('version')}, whose runs have another "
                "layout; choose a new folder"
            )
        params = parse_parameters(SegmentationParams, {**saved["params"], "output": cloud_path(output)})
        keys = json.loads(storage.get("keys.json") or b"{}")
        return cls(params, _facts_from_json(saved["facts"]), saved_keys=keys)

    def save(self) -> None:
        """Write keys.json, plan.json and, last, run.json; the plan is for readers, `plan` computes it afresh."""
        saved = {
            "version": __version__,
            "layout": LAYOUT,
            "prepared": time.time(),
            "key": self.key,
            "params": self.params.model_dump(mode="json"),
            "facts": asdict(self.facts),
        }
        self.storage.put("keys.json", json.dumps(dict(self.keys), indent=0).encode())
        self._put("plan.json", self.plan.to_json())
        self._put("run.json", saved)

    def _put(self, name: str, data: Any) -> None:
        self.storage.put(name, json.dumps(data, indent=1).encode())


def _facts_from_json(fields: dict[str, Any]) -> VolumeFacts:
    boxes = {name: _box_from_json(fields[name]) for name in ("frame", "source_box")}
    box = _box_from_json(fields["box"])
    assert box is not None
    x, y, z = fields["resolution_nm"]
    cell = None if fields["cell"] is None else triple(fields["cell"])
    return VolumeFacts(**{**fields, **boxes, "box": box, "resolution_nm": (x, y, z), "cell": cell})


def _box_from_json(corners: dict[str, Any] | None) -> Box | None:
    return None if corners is None else Box(triple(corners["minimum"]), triple(corners["maximum"]))


def prepare_run(params: SegmentationParams) -> Run:
    """Check everything that can be known before the first task, and write down the run.

    Calling it again with the same parameters continues the run that is there; with others, it makes
    it a run of these, whose tasks keep all results that do not depend on what has changed. Raises
    ParameterErrors with every problem at once; nothing has been written then. Raises RunError while
    tasks of an earlier start, which have other keys, are at work.
    """
    from seuron.engine.setup import write_run
    from seuron.pipelines.segmentation.checks import check_run

    facts, problems = check_run(params)
    if problems or facts is None:
        raise ParameterErrors(problems)
    return write_run(params, facts)

"""A run: frozen parameters, the facts of its input, its plan, and the records of what is done.

All of it lies in the output folder, so that any process that can read it can go on with the run:

    OUTPUT/run.json           parameters and facts
    OUTPUT/plan.json          stages, tiers, tasks
    OUTPUT/tasks/ID.json      one record for each finished task
    OUTPUT/tables/...         what tasks hand to each other
    OUTPUT/affinities, supervoxels, segmentation, report.html
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from seuron import __version__
from seuron.box import Box, triple
from seuron.errors import ParameterErrors, RunError
from seuron.params import SegmentationParams, parse_parameters
from seuron.planning import Plan, VolumeFacts, make_plan
from seuron.storage import Storage, cloud_path, join

#: What a task counted, by name; counts of a stage's tasks add up.
Counts = dict[str, float]


@dataclass(frozen=True)
class TaskRecord:
    """What a finished task left behind: when, how long, how much, and what it counted.

    `seconds` is wall time of the work itself, `cpu_seconds` user and system time, `peak_bytes` the
    process's largest resident size so far; `started` and `ended` are seconds since 1970.
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


@dataclass(frozen=True)
class Run:
    """One run, as it lies in its output folder."""

    params: SegmentationParams
    facts: VolumeFacts

    @property
    def output(self) -> str:
        return cloud_path(self.params.output)

    @cached_property
    def storage(self) -> Storage:
        return Storage(self.output)

    @cached_property
    def plan(self) -> Plan:
        return make_plan(self.params, self.facts)

    @cached_property
    def key(self) -> str:
        """What every task's result depends on: parameters, input, code. Where it lies does not matter."""
        depends = {"params": self.params.model_dump(mode="json", exclude={"output"}), "facts": asdict(self.facts)}
        text = json.dumps([__version__, depends], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

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
        """Where a task's tables lie."""
        return Storage(join(self.output, "tables", task_id))

    def record(self, task_id: str) -> TaskRecord | None:
        """The record of a finished task of this run; None while it is not finished."""
        content = self.storage.get(f"tasks/{task_id}.json")
        if content is None:
            return None
        record = TaskRecord(**json.loads(content))
        return record if record.key == self.key else None

    def records(self) -> list[TaskRecord]:
        """The records of all finished tasks, in the plan's order."""
        found = (self.record(task_id) for task_id in self.plan.tasks)
        return [record for record in found if record is not None]

    def finish(self, record: TaskRecord) -> None:
        """Write a record: from now on the task is done."""
        self.storage.put(f"tasks/{record.task_id}.json", json.dumps(asdict(record), indent=1).encode())

    @classmethod
    def open(cls, output: str) -> Run:
        """The run that lies in `output`; raises RunError when there is none."""
        content = Storage(output).get("run.json")
        if content is None:
            raise RunError(f"{cloud_path(output)} holds no run (no run.json); start one with `seuron run segmentation`")
        saved = json.loads(content)
        params = parse_parameters(SegmentationParams, {**saved["params"], "output": cloud_path(output)})
        return cls(params, _facts_from_json(saved["facts"]))

    def save(self) -> None:
        """Write run.json and plan.json; the plan is for readers, `plan` computes it afresh."""
        saved = {
            "version": __version__,
            "key": self.key,
            "params": self.params.model_dump(mode="json"),
            "facts": asdict(self.facts),
        }
        self.storage.put("plan.json", json.dumps(self.plan.to_json(), indent=1).encode())
        self.storage.put("run.json", json.dumps(saved, indent=1).encode())


def _facts_from_json(fields: dict[str, Any]) -> VolumeFacts:
    box = Box(triple(fields["box"]["minimum"]), triple(fields["box"]["maximum"]))
    x, y, z = fields["resolution_nm"]
    return VolumeFacts(**{**fields, "box": box, "resolution_nm": (x, y, z)})


def prepare_run(params: SegmentationParams) -> Run:
    """Check everything that can be known before the first task, and write down the run.

    Calling it again with the same parameters continues the run that is there. Raises
    ParameterErrors with every problem at once; nothing has been written then.
    """
    from seuron.preflight import check_run, create_layers

    facts, problems = check_run(params)
    if problems or facts is None:
        raise ParameterErrors(problems)
    run = Run(params, facts)
    run.save()
    create_layers(run)
    return run

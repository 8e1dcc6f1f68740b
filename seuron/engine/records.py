"""What finished tasks leave behind in a run's folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from seuron.engine.pipeline import Inputs
from seuron.storage.object_store import StoredCounts

Outcome = Literal["computed", "unchanged", "reused"]


@dataclass(frozen=True)
class TaskRecord:
    """What a finished task left behind: when, how long, how much, what it counted, and from what.

    `seconds` is wall time of the work itself, `cpu_seconds` user and system time, `peak_bytes` the
    process's largest resident size so far; `started` and `ended` are seconds since 1970.

    `inputs` are digests of all that the result was made from, one for each part of it that can stay
    while the others are made again; `object` names the task's tables in the store. `outcome` says
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
    counts: StoredCounts = field(default_factory=dict)
    inputs: Inputs = field(default_factory=dict)
    object: str = ""
    outcome: Outcome = "computed"
    tries: int = 1

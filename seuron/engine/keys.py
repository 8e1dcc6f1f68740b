"""Keys: what each task's result depends on, as a digest that is known before anything runs.

A task's key is made of

- its *settings*: the version of its stage's results, the parameters and facts that matter to the
  stage, and its place;
- the fingerprints of the input's blocks that it sees (`volumes/fingerprints.py`);
- the keys of the tasks that it reads.

Equal keys mean equal results. The reverse does not hold: what has another key is checked again when
its turn comes, by the content of what it reads, and is not done again where that is the same.

The keys of a run lie in one file, 16 bytes for each task in the plan's order: a task reads its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from seuron.box import Box
from seuron.engine.plan import Plan, Task, Tier
from seuron.errors import DamagedFileError
from seuron.storage import Storage
from seuron.storage.digests import digest_of_bytes, digest_of_data

if TYPE_CHECKING:
    from seuron.engine.run import Run

#: Bytes of a key: those of a digest.
KEY_BYTES = 16


class Keys:
    """The keys of a plan's tasks, in memory or in a file of which only what is asked for is read."""

    def __init__(
        self, plan: Plan, content: bytes | None = None, storage: Storage | None = None, name: str = ""
    ) -> None:
        self._content, self._storage, self._name = content, storage, name
        self._starts: dict[tuple[str, int], int] = {}
        start = 0
        for tier in plan.tiers():
            self._starts[tier.stage, tier.number] = start
            start += len(tier)
        self._plan = plan
        self.size = start * KEY_BYTES

    def row(self, task: Task) -> int:
        """Where the key of a task begins, in bytes."""
        return (self._starts[task.stage, task.tier] + self._plan.tier_of(task).number_of(task)) * KEY_BYTES

    def of(self, task: Task) -> str:
        """The key of a task."""
        return self._read(self.row(task), KEY_BYTES).hex()

    def find(self, task_id: str) -> str | None:
        """The key of the task of an id; None where the plan has no such task."""
        task = self._plan.find(task_id)
        return None if task is None else self.of(task)

    def of_tier(self, tier: Tier) -> bytes:
        """The keys of all tasks of a tier, one after the other."""
        return self._read(self._starts[tier.stage, tier.number] * KEY_BYTES, len(tier) * KEY_BYTES)

    @property
    def content(self) -> bytes:
        """The keys of all tasks."""
        return self._read(0, self.size)

    def _read(self, start: int, size: int) -> bytes:
        if self._content is not None:
            return self._content[start : start + size]
        assert self._storage is not None
        found = self._storage.get_range(self._name, start, size)
        if found is None or len(found) != size:
            raise DamagedFileError(
                f"{self._storage.path}/{self._name}",
                "it is missing, or too short",
                "start the run again, which writes it and keeps what is finished",
            )
        return found


def settings_of(run: Run, task: Task) -> dict[str, Any]:
    """All that a task's result depends on besides data, as plain data with names that a person understands."""
    stage = run.pipeline.stage(task.stage)
    settings: dict[str, Any] = {"results version": stage.version, "place": {"box": task.box.corners}}
    settings |= {name: getattr(run.params, name) for name in stage.parameters}
    if task.role or task.layer:
        settings["part"] = [task.role, task.layer]
    own = dict(stage.settings(run, task))
    settings["place"] |= own.pop("place", {})
    return settings | own


def sources_of(run: Run, task: Task) -> Mapping[str, Box]:
    """What a task sees of the run's inputs, by the parameter that names the input."""
    given = run.sources
    seen = run.pipeline.stage(task.stage).sources(run, task)
    return {name: box for name, box in seen.items() if name in given}


def dependencies_of(run: Run, task: Task) -> dict[str, Any]:
    """A task's settings and the digest of what it sees of the input: its key, but for the tasks it reads."""
    found = settings_of(run, task)
    for name, box in sources_of(run, task).items():
        if name in run.fingerprints:
            found[name] = run.fingerprints[name].digest(box)
            if run.fingerprints[name].has_holes(box):  # otherwise it does not matter what a hole means
                found["missing blocks"] = run.sources[name].missing
    return found


def make_keys(run: Run) -> Keys:
    """The keys of all tasks of a planned run."""
    empty, content = Keys(run.plan), bytearray()
    digests: dict[tuple[str, int], str] = {}

    def key_of(other: Task | Tier) -> str:
        if isinstance(other, Tier):
            return digests[other.stage, other.number]
        row = empty.row(other)
        return content[row : row + KEY_BYTES].hex()

    for tier in run.plan.tiers():  # every task comes after those that it reads
        reads, start = run.pipeline.stage(tier.stage).reads, len(content)
        for task in tier:
            read = [key_of(other) for other in reads(run, task)]
            content += bytes.fromhex(digest_of_data([task.id, dependencies_of(run, task), read]))
        digests[tier.stage, tier.number] = digest_of_bytes([bytes(content[start:])])
    return Keys(run.plan, bytes(content))

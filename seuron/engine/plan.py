"""The nouns of a plan.

A plan is a row of stages; a stage is a row of tiers; a tier is a grid of tasks that do not depend on each
other. Every task of a tier may start when the tier before it has ended.

Plans are arithmetic: a tier knows how many tasks it has and makes any of them from its number, its index or
its id. So a process that does one task of ten million makes that one, and what it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal, NamedTuple, overload

from seuron.box import Box, Triple, triple
from seuron.errors import NotFoundError

#: What a task needs besides memory: a core; a GPU, where there is one; or hardly anything, beside whoever
#: manages the others.
Work = Literal["cpu", "gpu", "manager"]

_ONE = Box((0, 0, 0), (1, 1, 1))


#: What Python and its libraries take before a task does anything.
BASE_BYTES = 400_000_000
#: Tasks of a tier at most, where a stage can choose: Airflow expands a node to no more than 100,000.
MAX_TIER_TASKS = 20_000


class Estimate(NamedTuple):
    """What a task is expected to need: seconds of a core, and bytes of memory."""

    seconds: float
    memory_bytes: int

    @classmethod
    def of_voxels(cls, box: Box, mvox_per_second: float, bytes_per_voxel: int, held: int) -> Estimate:
        """For a task that goes through the voxels of a box, `held` of them in memory at once at most."""
        seconds = round(box.voxels / mvox_per_second / 1e6, 3)
        return cls(seconds, BASE_BYTES + min(box.voxels, held) * bytes_per_voxel)


@dataclass(frozen=True)
class Task:
    """One unit of work: it can be run twice, anywhere, and leaves the same bytes.

    `index` is its place in the grid of its tier, `box` in voxels of the run's scale. `role` says what it does
    where a stage has several kinds of tasks (leaf, seam, merge), `layer` which layer it works on where there
    are several. `seconds` and `memory_bytes` are estimates, from measured rates; which queue they lead to is
    said by `seuron.engine.queues`, as it depends on what there is.
    """

    stage: str
    tier: int
    index: Triple
    box: Box
    work: Work = "cpu"
    role: str = ""
    layer: str = ""
    seconds: float = 0.0
    memory_bytes: int = 0

    @property
    def id(self) -> str:
        """A name that is unique in a run and safe in file names, such as `watershed-0-leaf-0_1_0`."""
        return "-".join([self.stage, str(self.tier), *_part(self.role, self.layer), _place(self.index)])

    @property
    def label(self) -> str:
        """What a person reads in the grid of tasks: what it does, and where."""
        place = f"({', '.join(str(i) for i in self.index)})"
        return " ".join([self.stage, str(self.tier), *_part(self.role, self.layer), place])


def _part(role: str, layer: str) -> list[str]:
    return [word for word in (role, layer) if word]


def _place(index: Triple) -> str:
    return "_".join(str(i) for i in index)


def id_of_label(label: str) -> str:
    """The id of the task that has a label."""
    words, _, place = label.partition(" (")
    return "-".join([*words.split(), place.rstrip(")").replace(", ", "_")])


@dataclass(frozen=True, eq=False)
class Tier:
    """Tasks that do not depend on each other, as a grid and a rule.

    Task `i` is that of the i-th cell, x fastest, of the first layer, then of the next one. `indices` are the cells'
    places in a grid of cells of `cell` voxels from `origin` on, cut to `whole`; without a `cell` every task has
    all of `whole`. `needs` estimates a task from its index and box; it is asked once for each kind of cell, as those
    that touch no end of the grid are all alike. Its `stage`, `number` and kind of `work` are given by the plan.
    """

    whole: Box
    indices: Box
    needs: Callable[[Triple, Box], Estimate]
    cell: Triple | None = None
    origin: Triple = (0, 0, 0)
    role: str = ""
    layers: tuple[str, ...] = ("",)
    stage: str = ""
    number: int = 0
    work: Work = "cpu"
    _known: dict[Triple, Estimate] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of_cells(
        cls,
        box: Box,
        cell: Triple,
        needs: Callable[[Triple, Box], Estimate],
        *,
        origin: Triple | None = None,
        role: str = "",
        layers: tuple[str, ...] = ("",),
    ) -> Tier:
        """A task for each cell of a grid over a box, in each layer, from `origin` or the box's minimum on."""
        start = box.minimum if origin is None else origin
        return cls(box, box.grid(cell, start), needs, cell, start, role, layers)

    @classmethod
    def of_whole(cls, box: Box, needs: Estimate, *, indices: Box = _ONE, role: str = "") -> Tier:
        """A task for each of `indices`, one by default, that all have the same box."""
        return cls(box, indices, lambda index, part: needs, role=role)

    @property
    def places(self) -> Iterator[Triple]:
        """The places of the grid, x fastest."""
        return self.indices.places()

    def __len__(self) -> int:
        return self.indices.voxels * len(self.layers)

    def __iter__(self) -> Iterator[Task]:
        for layer in self.layers:
            yield from (self._task(index, layer) for index in self.places)

    def __getitem__(self, number: int) -> Task:
        """Task `number`, from 0; raises IndexError where there is none."""
        cells = self.indices.voxels
        if not 0 <= number < len(self):
            raise IndexError(f"tier {self.number} of {self.stage} has {len(self)} tasks, got number {number}")
        layer, cell = divmod(number, cells)
        nx, ny, _ = self.indices.shape
        place = (cell % nx, cell // nx % ny, cell // (nx * ny))
        return self._task(triple([m + p for m, p in zip(self.indices.minimum, place, strict=True)]), self.layers[layer])

    def number_of(self, task: Task) -> int:
        """The number of one of the tier's tasks."""
        (x, y, z), (ax, ay, az), (bx, by, _) = task.index, self.indices.minimum, self.indices.maximum
        number = x - ax + (bx - ax) * (y - ay + (by - ay) * (z - az))
        return number if task.layer == self.layers[0] else self._number_in_layer(task.layer) + number

    def _number_in_layer(self, layer: str) -> int:
        return self.layers.index(layer) * self.indices.voxels

    def at(self, index: Triple, layer: str = "") -> Task | None:
        """The task at a place of the grid; None where there is none."""
        (x, y, z), (ax, ay, az), (bx, by, bz) = index, self.indices.minimum, self.indices.maximum
        inside = ax <= x < bx and ay <= y < by and az <= z < bz
        return self._task(index, layer) if inside and layer in self.layers else None

    def id_prefix(self, layer: str = "") -> str:
        """What the ids of the tasks of a layer begin with; their places follow."""
        return "-".join([self.stage, str(self.number), *_part(self.role, layer), ""])

    def find(self, task_id: str) -> Task | None:
        """The task of an id; None where the tier has no such task."""
        for layer in self.layers:
            prefix = self.id_prefix(layer)
            words = task_id.removeprefix(prefix).split("_") if task_id.startswith(prefix) else []
            if len(words) == 3 and all(word.removeprefix("-").isdecimal() for word in words):
                found = self.at(triple([int(word) for word in words]), layer)
                return found if found is not None and found.id == task_id else None
        return None

    def meeting(self, box: Box, layer: str = "") -> Iterator[Task]:
        """The tasks whose boxes share voxels with `box`."""
        shared = box.intersect(self.whole)
        if shared.voxels == 0:
            return
        found = self.indices if self.cell is None else shared.grid(self.cell, self.origin).intersect(self.indices)
        yield from (self._task(index, layer) for index in found.places())

    def within(self, indices: Box, layer: str = "") -> Iterator[Task]:
        """The tasks whose places lie in a box of indices."""
        yield from (self._task(index, layer) for index in indices.intersect(self.indices).places())

    def ends(self) -> Iterator[Task]:
        """The tasks at the corners of the grid: what these see together, no other task sees beyond."""
        corners = [{low, high - 1} for low, high in zip(self.indices.minimum, self.indices.maximum, strict=True)]
        for layer in self.layers:
            for x, y, z in product(*corners):
                yield self._task((x, y, z), layer)

    def kinds(self) -> Iterator[tuple[Task, int]]:
        """A task of each kind, and how many there are of it: 27 kinds at most, whatever the volume."""
        for layer in self.layers:
            for (x, nx), (y, ny), (z, nz) in product(*(self._axis_kinds(axis) for axis in range(3))):
                yield self._task((x, y, z), layer), nx * ny * nz

    @property
    def seconds(self) -> float:
        """Seconds of a core that all tasks together are expected to take."""
        return sum(task.seconds * count for task, count in self.kinds())

    @property
    def largest(self) -> Task:
        """A task that is expected to need most memory."""
        return max((task for task, _ in self.kinds()), key=lambda task: task.memory_bytes)

    def _task(self, index: Triple, layer: str) -> Task:
        needs = self._needs(index)
        return Task(self.stage, self.number, index, self.box_of(index), self.work, self.role, layer, *needs)

    def box_of(self, index: Triple) -> Box:
        """The box of the task at a place of the grid."""
        return self.whole if self.cell is None else self.whole.cell(self.cell, index, self.origin)

    def _needs(self, index: Triple) -> Estimate:
        (x, y, z), (ax, ay, az), (bx, by, bz) = index, self.indices.minimum, self.indices.maximum
        if self.cell is None:
            kind = self.indices.minimum
        else:  # the first index along each axis whose cells are like this one
            kind = (
                x if x == ax or x == bx - 1 else ax + 1,
                y if y == ay or y == by - 1 else ay + 1,
                z if z == az or z == bz - 1 else az + 1,
            )
        if kind not in self._known:
            self._known[kind] = self.needs(kind, self.box_of(kind))
        return self._known[kind]

    def _axis_kinds(self, axis: int) -> list[tuple[int, int]]:
        low, high = self.indices.minimum[axis], self.indices.maximum[axis]
        if self.cell is None or high - low == 1:
            return [(low, high - low)]
        return [(low, 1), *([(low + 1, high - low - 2)] if high - low > 2 else []), (high - 1, 1)]


class Tasks(Sequence[Task]):
    """The tasks of several tiers, in order, each made when it is asked for."""

    def __init__(self, tiers: Sequence[Tier]) -> None:
        self._tiers = tuple(tiers)

    def __len__(self) -> int:
        return sum(len(tier) for tier in self._tiers)

    def __iter__(self) -> Iterator[Task]:
        for tier in self._tiers:
            yield from tier

    @overload
    def __getitem__(self, number: int) -> Task: ...

    @overload
    def __getitem__(self, number: slice) -> list[Task]: ...

    def __getitem__(self, number: int | slice) -> Task | list[Task]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        left = number + len(self) if number < 0 else number
        for tier in self._tiers:
            if left < len(tier):
                return tier[left]
            left -= len(tier)
        raise IndexError(f"there are {len(self)} tasks, got number {number}")


@dataclass(frozen=True, eq=False)
class StagePlan:
    """One step of a pipeline, as tiers of independent tasks; none where a run does not need it."""

    name: str
    tiers: tuple[Tier, ...]

    @property
    def tasks(self) -> Tasks:
        return Tasks(self.tiers)

    @property
    def seconds(self) -> float:
        """Seconds of a core that all tasks together are expected to take."""
        return sum(tier.seconds for tier in self.tiers)

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory that the largest task is expected to need."""
        return max((tier.largest.memory_bytes for tier in self.tiers), default=0)


@dataclass(frozen=True, eq=False)
class Plan:
    """All stages of a run, in order."""

    stages: tuple[StagePlan, ...]

    def stage(self, name: str) -> StagePlan:
        return next(stage for stage in self.stages if stage.name == name)

    def tiers(self) -> Iterator[Tier]:
        """The tiers of all stages, in order."""
        for stage in self.stages:
            yield from stage.tiers

    def tier_of(self, task: Task) -> Tier:
        """The tier that a task is one of."""
        return self.stage(task.stage).tiers[task.tier]

    @property
    def tasks(self) -> Tasks:
        """All tasks, in an order in which they may run."""
        return Tasks(tuple(self.tiers()))

    def find(self, task_id: str) -> Task | None:
        """The task of an id; None where the plan has no such task."""
        name, _, rest = task_id.partition("-")
        number = rest.partition("-")[0]
        stage = next((stage for stage in self.stages if stage.name == name), None)
        if stage is None or not number.isdecimal() or int(number) >= len(stage.tiers):
            return None
        return stage.tiers[int(number)].find(task_id)

    def task(self, task_id: str) -> Task:
        """The task of an id; raises NotFoundError where the plan has no such task."""
        found = self.find(task_id)
        if found is None:
            raise NotFoundError(f"the run has no task {task_id!r}; its stages and tiers are in plan.json")
        return found

    def to_json(self) -> list[dict[str, Any]]:
        """The stages and their tiers as plain data, for readers of plan.json; tasks follow from these."""
        return [{"name": stage.name, "tiers": [_tier_json(tier) for tier in stage.tiers]} for stage in self.stages]


def _tier_json(tier: Tier) -> dict[str, Any]:
    return {
        "tasks": len(tier),
        "role": tier.role,
        "layers": [layer for layer in tier.layers if layer],
        "work": tier.work,
        "box": tier.whole.corners,
        "cell": tier.cell,
        "origin": tier.origin,
        "indices": tier.indices.corners,
        "seconds": round(tier.seconds, 3),
        "memory_bytes": tier.largest.memory_bytes,
    }

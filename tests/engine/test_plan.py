"""Plans are arithmetic: whatever a tier says of one task is what walking through all of them says."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.box import Box, Triple
from seuron.engine.plan import Estimate, Plan, StagePlan, Task, Tier, id_of_label
from seuron.errors import NotFoundError

SHAPES = st.tuples(*(st.integers(1, 12) for _ in range(3)))
POINTS = st.tuples(*(st.integers(-20, 20) for _ in range(3)))
LAYERS = st.sampled_from([("",), ("supervoxels",), ("supervoxels", "segmentation")])


def by_voxels(index: Triple, box: Box) -> Estimate:
    return Estimate(float(box.voxels), 1000 + box.voxels)


@st.composite
def tiers(draw: st.DrawFn, number: int = 0) -> Tier:
    """Tiers of cells over a small box, whose grid begins at the box or elsewhere, below zero too."""
    box = Box.from_shape(draw(POINTS), draw(SHAPES))
    found = Tier.of_cells(
        box,
        draw(SHAPES),
        by_voxels,
        origin=draw(st.none() | POINTS),
        role=draw(st.sampled_from(["", "leaf", "merge"])),
        layers=draw(LAYERS),
    )
    return Tier(
        found.whole, found.indices, by_voxels, found.cell, found.origin, found.role, found.layers, "watershed", number
    )


@given(tiers())
def test_a_task_has_one_number_id_and_label(tier: Tier) -> None:
    """By number, place and id the same task is found; its label leads to its id."""
    tasks = list(tier)
    assert len(tasks) == len(tier)
    assert len({task.id for task in tasks}) == len(tasks)
    for number, task in enumerate(tasks):
        assert tier[number] == task
        assert tier.number_of(task) == number
        assert tier.at(task.index, task.layer) == task
        assert tier.find(task.id) == task
        assert id_of_label(task.label) == task.id
    with pytest.raises(IndexError, match=f"has {len(tier)} tasks"):
        tier[len(tier)]


@given(tiers())
def test_the_tasks_of_a_layer_cover_the_box_once(tier: Tier) -> None:
    """Every voxel is in one task of each layer."""
    for layer in tier.layers:
        covered = np.zeros(tier.whole.shape, int)
        for task in (task for task in tier if task.layer == layer):
            assert task.box.voxels > 0
            covered[within(task.box, tier.whole)] += 1
        assert (covered == 1).all()


@given(tiers(), POINTS, SHAPES)
def test_tasks_that_meet_a_box_are_found_by_arithmetic(tier: Tier, corner: Triple, shape: Triple) -> None:
    """`meeting` is what a look at every task gives, in the same order, also for boxes that reach outside."""
    box, layer = Box.from_shape(corner, shape), tier.layers[-1]
    wanted = [task for task in tier if task.layer == layer and task.box.intersect(box).voxels > 0]
    assert list(tier.meeting(box, layer)) == wanted


@given(tiers())
def test_kinds_count_all_tasks(tier: Tier) -> None:
    """The few kinds of cells stand for all: what tasks need, the sum of it, and the largest."""
    known: Counter[Any] = Counter()
    for task, count in tier.kinds():
        known[needs(task)] += count
    assert known == Counter(needs(task) for task in tier)
    assert tier.seconds == pytest.approx(sum(task.seconds for task in tier))
    assert tier.largest.memory_bytes == max(task.memory_bytes for task in tier)


@given(tiers(0), tiers(1))
def test_a_plan_finds_its_tasks_and_no_others(first: Tier, second: Tier) -> None:
    """Tasks of a plan go in the order of tiers; an id that is none of them is refused."""
    plan = Plan((StagePlan("empty", ()), StagePlan("watershed", (first, second))))
    tasks = list(plan.tasks)
    assert tasks == [*first, *second]
    assert plan.tasks[-1] == tasks[-1]
    assert plan.tasks[1:3] == tasks[1:3]
    for task in tasks:
        assert plan.task(task.id) == task
        assert plan.tier_of(task).number == task.tier
        for wrong in (f"{task.id}_0", f"x{task.id}", task.id.replace("watershed-", "watershed-0"), f"{task.id}99999"):
            assert plan.find(wrong) is None
    with pytest.raises(NotFoundError, match="no task 'labels-0-0_0_0'"):
        plan.task("labels-0-0_0_0")


def needs(task: Task) -> tuple[float, int]:
    return task.seconds, task.memory_bytes


def within(box: Box, whole: Box) -> tuple[slice, ...]:
    return tuple(slice(a - o, b - o) for a, b, o in zip(box.minimum, box.maximum, whole.minimum, strict=True))

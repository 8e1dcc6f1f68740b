"""Plans: every voxel once, every block one writer, trees with one root."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seuron.box import Box, Triple
from seuron.engine.plan import CLOSING, MAX_TIERS, NAMING, STAGES, Plan
from seuron.pipelines.segmentation.dependencies import Readers
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.plan import VolumeFacts, make_plan

sizes = st.tuples(*(st.integers(4, 40) for _ in range(3)))


def plan_of(
    shape: Triple, chunk: Triple, block: Triple, batch: int, image: bool = True, corner: Triple = (5, -3, 7)
) -> tuple[Plan, VolumeFacts]:
    source: dict[str, Any] = {"image": "i"} if image else {"affinities": "a"}
    params = SegmentationParams(
        **source, output="o", ground_truth="g", chunk_size=chunk, block_size=block, batch_chunks=batch
    )
    scales = {"affinities": 3, "supervoxels": 3, "segmentation": 3}
    facts = VolumeFacts(Box.from_shape(corner, shape), (8, 8, 8), "uint8", scales, "x")
    return make_plan(params, facts), facts


@settings(max_examples=60, deadline=None)
@given(st.tuples(*(st.integers(1, 60) for _ in range(3))), sizes, sizes, st.sampled_from([1, 2, 4]))
def test_leaves_cover_the_box_once(shape: Triple, chunk: Triple, block: Triple, batch: int) -> None:
    """In the first tier of every stage that sees the whole box, each voxel belongs to exactly one task."""
    plan, facts = plan_of(shape, chunk, block, batch)
    for stage in plan.stages:
        if stage.name in NAMING.values():
            continue
        for layer in {task.layer for task in stage.tiers[0]}:
            seen = np.zeros(shape, np.uint8)
            for task in stage.tiers[0]:
                if task.layer == layer:
                    seen[task.box.within(facts.box)] += 1
            assert (seen == 1).all(), (stage.name, layer)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*(st.integers(1, 60) for _ in range(3))), sizes, sizes, st.sampled_from([1, 2, 4]))
def test_no_two_tasks_write_a_block(shape: Triple, chunk: Triple, block: Triple, batch: int) -> None:
    """Tasks that write layers begin on the block grid, whatever the chunks are."""
    plan, facts = plan_of(shape, chunk, block, batch)
    for name in ("affinities", "labels", "pyramid"):
        for task in plan.stage(name).tiers[0]:
            offsets = zip(task.box.minimum, facts.box.minimum, block, strict=True)
            assert all((a - o) % b == 0 for a, o, b in offsets)


@settings(max_examples=40, deadline=None)
@given(st.tuples(*(st.integers(1, 60) for _ in range(3))), sizes, st.sampled_from([1, 2]))
def test_trees_have_one_root_and_no_orphan(shape: Triple, chunk: Triple, batch: int) -> None:
    """Each task of an octree is merged exactly once, and its parent's box holds it."""
    plan, _ = plan_of(shape, chunk, (8, 8, 8), batch)
    for name in ("watershed", "agglomeration"):
        tiers = plan.stage(name).tiers
        assert len(tiers[-1]) == 1
        for below, above in itertools.pairwise(tiers):
            children = [child for task in above for child in task.children]
            assert sorted(children) == sorted(task.id for task in below)
            for task in above:
                assert all(task.box.contains(plan.tasks[child].box) for child in task.children)


@settings(max_examples=20, deadline=None)
@given(st.tuples(*(st.integers(48, 60) for _ in range(3))), st.sampled_from([3, 5, 17]))
def test_every_task_below_a_root_is_told_its_names(shape: Triple, chunk: int) -> None:
    """Whoever merged a task's result tells it the final names, and has heard of them before."""
    plan, _ = plan_of(shape, (chunk, chunk, chunk), (8, 8, 8), 1)
    order = {task: number for number, task in enumerate(plan.tasks)}
    for name in NAMING:
        *below, (root,) = plan.stage(name).tiers
        for task in itertools.chain(*below):
            if list(plan.closers(task.id)):
                assert all(order[teller] > order[task.id] for teller in plan.told_by(task.id))
                continue
            parent = plan.parents[task.id]
            teller = plan.tellers[parent]
            assert order[teller] >= order[root.id]
            if parent != root.id:
                assert order[plan.tellers[plan.parents[parent]]] < order[teller]


@settings(max_examples=20, deadline=None)
@given(st.tuples(*(st.integers(1, 60) for _ in range(3))), st.sampled_from([7, 17]))
def test_every_seam_is_closed_once_and_both_leaves_know_where(shape: Triple, chunk: int) -> None:
    """Each two leaves that share a face share one seam task, which both read their clusters' names from."""
    plan, _ = plan_of(shape, (chunk, chunk, chunk), (8, 8, 8), 1)
    leaves = plan.stage("watershed").tiers[0]
    if len(leaves) == 1:
        assert not list(plan.closers(leaves[0].id))
        return
    closed = [(s.below, s.above) for task in plan.stage("watershed").tiers[1] for s in plan.seams_made(task.id)]
    at = {leaf.index: leaf.id for leaf in leaves}
    steps = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    above_of = [(at[i], (i[0] + x, i[1] + y, i[2] + z)) for i in at for x, y, z in steps]
    touching = [(below, at[above]) for below, above in above_of if above in at]
    assert sorted(closed) == sorted(touching)
    for below, above in closed:
        assert {seams for seams, _ in plan.closers(below)} & {seams for seams, _ in plan.closers(above)}
        assert (plan.parents[above], "own") in plan.closers(above)


def test_lines_are_closed_where_one_merge_does_not_take_all_leaves() -> None:
    """Sixty-four leaves need their seams closed only, one more needs the lines where seams meet closed as well."""
    for nz, layers in ((4, ["", "seams", ""]), (5, ["", "seams", "lines", "", ""])):
        plan, _ = plan_of((32, 32, 8 * nz), (8, 8, 8), (8, 8, 8), 1)
        tiers = plan.stage("watershed").tiers
        assert [tier[0].layer for tier in tiers] == layers
        assert plan.closing_tiers == len(set(layers) & set(CLOSING))
        merges = plan.stage("agglomeration").tiers[1:]
        assert [plan.watershed_of(merge) for tier in merges for merge in tier] == [
            merge.id for tier in tiers[plan.closing_tiers + 1 :] for merge in tier
        ]


@settings(max_examples=20, deadline=None)
@given(st.tuples(*(st.integers(30, 60) for _ in range(3))))
def test_four_tasks_close_what_is_open_around_a_seam(shape: Triple) -> None:
    """What a seam task leaves is read by the task of its own leaf and those of the leaves above it, and by no other."""
    plan, _ = plan_of(shape, (7, 7, 7), (8, 8, 8), 1)
    readers: dict[str, set[str]] = {}
    tasks = Readers(plan)
    for task in plan.stage("watershed").tiers[2]:
        for other in tasks.of(task):
            readers.setdefault(other, set()).add(task.id)
    for seams in plan.stage("watershed").tiers[1]:
        assert readers[seams.id] == {closer for closer, _ in plan.closers(seams.id)}


def test_stages_and_tiers_fit_the_row_that_airflow_draws() -> None:
    """Ten million chunks stay within the tiers of the DAG, and within tens of thousands of tasks."""
    shape = (256 * 250, 256 * 250, 512 * 160)
    plan, _ = plan_of(shape, (256, 256, 512), (64, 64, 64), 0, corner=(0, 0, 0))
    for stage in plan.stages:
        assert len(stage.tiers) <= MAX_TIERS[stage.name], stage.name
        assert max(len(tier) for tier in stage.tiers) <= 50_000, stage.name
    assert tuple(stage.name for stage in plan.stages) == STAGES


def test_a_small_volume_is_a_handful_of_tasks() -> None:
    """Starting a task costs more than a small volume's work."""
    plan, _ = plan_of((256, 256, 128), (128, 128, 128), (64, 64, 64), 0)
    assert len(plan.tasks) <= 16
    assert len({task.id for task in plan.tasks.values()}) == sum(len(stage.tasks) for stage in plan.stages)

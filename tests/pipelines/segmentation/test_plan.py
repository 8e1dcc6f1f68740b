"""Plans: every voxel once, every block one writer, trees with one root."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from small_nets import made_up_prediction

from seuron.box import Box, Triple
from seuron.engine.plan import MAX_TIER_TASKS, Plan
from seuron.engine.run import Run, make_plan
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.facts import VolumeFacts
from seuron.pipelines.segmentation.octree import Octree, agglomeration_octree, watershed_octree
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.plan import BATCH_SIDES, REMAPPING, choose_batch_side
from seuron.pipelines.stages.predict.cells import choose_cell

sizes = st.tuples(*(st.integers(4, 40) for _ in range(3)))


def params_of(chunk: Triple, block: Triple, batch: int, image: bool = True) -> SegmentationParams:
    source: dict[str, Any] = {"image": "i"} if image else {"affinities": "a"}
    return SegmentationParams(
        **source, output="o", ground_truth="g", chunk_size=chunk, block_size=block, batch_chunks=batch
    )


def plan_of(
    shape: Triple, chunk: Triple, block: Triple, batch: int, image: bool = True, corner: Triple = (5, -3, 7)
) -> tuple[Plan, VolumeFacts]:
    params = params_of(chunk, block, batch, image)
    scales = {"affinities": 3, "supervoxels": 3, "segmentation": 3}
    box = Box.from_shape(corner, shape)
    net = made_up_prediction(box, choose_cell(chunk, block, box)) if image else None
    facts = VolumeFacts(box, (8, 8, 8), "uint8", scales, net)
    return make_plan(PIPELINE, params, facts), facts


@given(st.tuples(*(st.integers(1, 60) for _ in range(3))), sizes, sizes, st.sampled_from([1, 2, 4]))
def test_leaves_cover_the_box_once(shape: Triple, chunk: Triple, block: Triple, batch: int) -> None:
    """In the first tier of every stage that sees the whole box, each voxel belongs to exactly one task."""
    plan, facts = plan_of(shape, chunk, block, batch)
    for stage in plan.stages:
        if stage.name in REMAPPING.values() or stage.name == "edits":  # which there are none of
            continue
        for layer in stage.tiers[0].layers:
            seen = np.zeros(shape, np.uint8)
            for task in stage.tiers[0]:
                if task.layer == layer:
                    seen[task.box.within(facts.box)] += 1
            assert (seen == 1).all(), (stage.name, layer)


@given(st.tuples(*(st.integers(1, 60) for _ in range(3))), sizes, sizes, st.sampled_from([1, 2, 4]))
def test_no_two_tasks_write_a_block(shape: Triple, chunk: Triple, block: Triple, batch: int) -> None:
    """Tasks that write layers begin on the block grid, whatever the chunks are."""
    plan, facts = plan_of(shape, chunk, block, batch)
    for name in ("affinities", "labels", "pyramid"):
        for task in plan.stage(name).tiers[0]:
            offsets = zip(task.box.minimum, facts.box.minimum, block, strict=True)
            assert all((a - o) % b == 0 for a, o, b in offsets)


@given(st.tuples(*(st.integers(1, 60) for _ in range(3))), sizes, st.sampled_from([1, 2]))
def test_octrees_have_one_root_and_no_orphan(shape: Triple, chunk: Triple, batch: int) -> None:
    """Each task of an octree is joined exactly once, and its parent's box holds it."""
    plan, _ = plan_of(shape, chunk, (8, 8, 8), batch)
    for octree in (watershed_octree(plan), agglomeration_octree(plan)):
        assert len(octree.levels[-1]) == 1
        for below, above in itertools.pairwise(octree.levels):
            children = [child for task in above for child in octree.children(task)]
            assert sorted(child.id for child in children) == sorted(task.id for task in below)
            for task in above:
                assert all(task.box.contains(child.box) for child in octree.children(task))


@given(st.tuples(st.integers(48, 60), st.integers(1, 8), st.integers(1, 8)), st.sampled_from([3, 5, 17]))
def test_every_task_below_a_root_finds_its_final_ids(shape: Triple, chunk: int) -> None:
    """Whoever joined a task's result gives it the final ids, and has got its own before."""
    plan, _ = plan_of(shape, (chunk, chunk, chunk), (8, 8, 8), 1)
    order = {task: number for number, task in enumerate(plan.tasks)}
    for octree in (watershed_octree(plan), agglomeration_octree(plan)):
        for task in (task for level in octree.levels for task in level if task != octree.root):
            sources = list(octree.remap_sources(task))
            assert all(order[source] > order[task] for source in sources)
            parent = octree.parent(task)
            assert parent is not None
            if list(octree.closers(task)):
                continue
            assert sources == [octree.remap_source(parent)]
            above = octree.parent(parent)
            if above is None:
                assert sources == [octree.root]
            else:
                assert octree.merge_of(sources[0]) == parent
                assert order[octree.remap_source(above)] < order[sources[0]]


@given(st.tuples(*(st.integers(1, 60) for _ in range(3))), st.sampled_from([7, 17]))
def test_every_seam_is_made_once_and_both_leaves_know_where(shape: Triple, chunk: int) -> None:
    """Each two leaves that share a face share one seam task, which both learn their clusters' ids from."""
    plan, _ = plan_of(shape, (chunk, chunk, chunk), (8, 8, 8), 1)
    octree = watershed_octree(plan)
    if len(octree.leaves) == 1:
        assert not list(octree.closers(octree.root))
        return
    made = [seam for task in octree.levels[1] for seam in octree.seams_made(task)]
    assert sorted((seam.below.id, seam.above.id) for seam in made) == sorted(neighbours(octree))
    for seam in made:
        closers = [{task.id for task, _ in octree.closers(leaf)} for leaf in (seam.below, seam.above)]
        assert closers[0] & closers[1]
        assert (octree.parent(seam.above), "own") in octree.closers(seam.above)


def neighbours(octree: Octree) -> list[tuple[str, str]]:
    """All pairs of leaves that share a face, the lower one first."""
    at = {leaf.index: leaf.id for leaf in octree.leaves}
    steps = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    above_of = [(at[i], (i[0] + x, i[1] + y, i[2] + z)) for i in at for x, y, z in steps]
    return [(below, at[above]) for below, above in above_of if above in at]


def test_lines_are_closed_where_one_merge_does_not_take_all_leaves() -> None:
    """Sixty-four leaves need their seams closed only, one more needs the lines where seams meet closed as well."""
    for nz, roles in (
        (4, ["leaf", "seam", "merge"]),
        (5, ["leaf", "seam", "line", "merge", "merge"]),
    ):
        plan, _ = plan_of((32, 32, 8 * nz), (8, 8, 8), (8, 8, 8), 1)
        assert [tier.role for tier in plan.stage("watershed").tiers] == roles
        watershed, agglomeration = watershed_octree(plan), agglomeration_octree(plan)
        merges = [merge for tier in agglomeration.merges for merge in tier]
        found = [watershed.merge_like(merge, agglomeration) for merge in merges]
        assert found == [merge for tier in watershed.merges for merge in tier]
        assert [merge.box for merge in found] == [merge.box for merge in merges]


@given(st.tuples(*(st.integers(30, 60) for _ in range(3))))
def test_four_tasks_close_what_is_open_around_a_seam(shape: Triple) -> None:
    """What a seam task leaves is read by the task of its own leaf and those of the leaves above it, and by no other."""
    plan, facts = plan_of(shape, (7, 7, 7), (8, 8, 8), 1)
    run = Run(PIPELINE, params_of((7, 7, 7), (8, 8, 8), 1), facts)
    octree, readers = watershed_octree(plan), dict[str, set[str]]()
    _, seams, lines, *_ = plan.stage("watershed").tiers
    for task in lines:
        for other in run.reads(task):
            readers.setdefault(other.id, set()).add(task.id)
    for seam in seams:
        assert readers[seam.id] == {closer.id for closer, _ in octree.closers(seam)}


def test_stages_and_tiers_fit_the_row_that_airflow_draws() -> None:
    """Ten million chunks stay within the tiers of the DAG, and within tens of thousands of tasks."""
    shape = (256 * 250, 256 * 250, 512 * 160)
    plan, _ = plan_of(shape, (256, 256, 512), (64, 64, 64), 0, corner=(0, 0, 0))
    for stage in plan.stages:
        assert len(stage.tiers) <= PIPELINE.stage(stage.name).tiers, stage.name
        assert max((len(tier) for tier in stage.tiers), default=0) <= 50_000, stage.name
    assert [stage.name for stage in plan.stages] == [stage.name for stage in PIPELINE.stages]


def test_a_small_volume_is_a_handful_of_tasks() -> None:
    """Starting a task costs more than a small volume's work."""
    plan, _ = plan_of((256, 256, 128), (128, 128, 128), (64, 64, 64), 0)
    assert len(plan.tasks) <= 18
    assert len({task.id for task in plan.tasks}) == sum(len(stage.tasks) for stage in plan.stages)


def leaves_of(shape: Triple, workers: int, **changes: Any) -> int:
    """The side of the leaves that a volume of that shape is cut into for so many workers."""
    return choose_batch_side(SegmentationParams(affinities="a", output="o", **changes), Box((0, 0, 0), shape), workers)


def test_leaves_follow_the_workers() -> None:
    """Two cores take four leaves, the largest that occupy both; many workers take small ones."""
    assert leaves_of((1024, 1024, 512), 2) == 2
    assert leaves_of((1024, 1024, 512), 64) == 1
    assert leaves_of((2048, 2048, 2048), 2) == 4
    assert leaves_of((2048, 2048, 2048), 2, task_memory=0.6) == 1  # what memory allows
    assert leaves_of((27 * 1024,) * 3, 500) == 4  # a tenth of the time at most is gained by larger ones


@given(st.tuples(*(st.integers(1, 20_000) for _ in range(3))), st.sampled_from([32, 128, 256]), st.integers(0, 2000))
def test_leaves_are_worth_their_start_and_not_too_many(shape: Triple, chunk: int, workers: int) -> None:
    """Whatever the workers: at least as large as with none known, and never more in a tier than allowed."""
    size = (chunk,) * 3
    side = leaves_of(shape, workers, chunk_size=size)
    assert side in BATCH_SIDES
    assert side >= leaves_of(shape, 0, chunk_size=size)
    chunks = np.prod([-(-extent // chunk) for extent in shape])
    assert side == BATCH_SIDES[-1] or chunks / side**3 <= MAX_TIER_TASKS

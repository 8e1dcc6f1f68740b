"""Which tasks a task of a segmentation reads: the one declaration that keys, checks and explanations follow.

A task may read the results of a stage before its own, of the tier below it, and, where it needs the
final ids of clusters, of the tasks that give these to their leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from seuron.box import Box
from seuron.engine.plan import Plan, Task, Tier
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.pipelines.segmentation.octree import Octree, agglomeration_octree, round_of, watershed_octree
from seuron.pipelines.segmentation.plan import CLOSING, ROUNDS

Reads = Iterator[Task | Tier]


def padded(box: Box) -> Box:
    """What a watershed leaf reads: one voxel more on the high sides, so that all six edges of its voxels are known."""
    return box.grown((0, 0, 0), (1, 1, 1))


def _with_remaps(octree: Octree, leaves: Iterable[Task]) -> Iterator[Task]:
    """Leaves of an octree, and the tasks that give the final ids of their clusters."""
    for leaf in leaves:
        yield leaf
        yield from octree.remap_sources(leaf)


def watershed_reads(run: SegmentationRun, task: Task) -> Reads:
    octree = watershed_octree(run.plan)
    yield from octree.children(task)
    if task.tier == 0:
        for tier in run.plan.stage("affinities").tiers:
            yield from tier.meeting(padded(task.box))
    if task.role in CLOSING:
        (own,) = octree.children(task)
        yield from (below for axis in range(3) if (below := octree.beside(own, axis, -1)) is not None)


def supervoxel_remap_reads(run: SegmentationRun, task: Task) -> Reads:
    yield from _remap_reads(watershed_octree(run.plan), task)


def segment_remap_reads(run: SegmentationRun, task: Task) -> Reads:
    yield from _remap_reads(agglomeration_octree(run.plan), task)


def _remap_reads(octree: Octree, task: Task) -> Reads:
    merge = octree.merge_of(task)
    yield merge
    yield from octree.children(merge)
    parent = octree.parent(merge)
    assert parent is not None
    yield octree.remap_source(parent)


def agglomeration_reads(run: SegmentationRun, task: Task) -> Reads:
    plan, octree = run.plan, agglomeration_octree(run.plan)
    if task.role == "leaf":
        watershed = watershed_octree(plan)
        leaf = watershed.leaves.at(task.index)
        assert leaf is not None
        yield from _with_remaps(watershed, [leaf])
        return
    rounds = [found for found in (round_of(plan, number) for number in range(ROUNDS)) if found is not None]
    if task.role == "bin":
        yield rounds[task.index[0]][0]
        return
    earlier = rounds[: task.index[0]] if task.role == "split" else rounds if octree.is_root(task) else []
    for split, bins in earlier:
        yield split
        yield bins
    if not (task.role == "split" and earlier):
        yield from _undecided_below(plan, octree, octree.root if task.role == "split" else task)


def _undecided_below(plan: Plan, octree: Octree, merge: Task) -> Reads:
    """What a merge decides: the contacts that wait below it, and those through the seams that it closes."""
    yield from octree.below(merge)  # not its children alone: a task may have passed on what others left
    watershed = watershed_octree(plan)
    for seam in watershed.seams_closed(watershed.merge_like(merge, octree)):
        yield seam.below
        yield seam.above
        closer = watershed.parent(seam.above)
        assert closer is not None
        yield closer
        yield from watershed.remap_sources(closer)


def edit_reads(run: SegmentationRun, task: Task) -> Reads:
    """The whole region graph, and the watershed's tables, which say what supervoxel a voxel is in."""
    for stage in ("watershed", "remap_supervoxels", "agglomeration"):
        yield from run.plan.stage(stage).tiers


def label_reads(run: SegmentationRun, task: Task) -> Reads:
    yield from run.plan.stage("edits").tiers
    for octree in (watershed_octree(run.plan), agglomeration_octree(run.plan)):
        yield from _with_remaps(octree, octree.leaves.meeting(task.box))


def evaluation_reads(run: SegmentationRun, task: Task) -> Reads:
    if task.tier == 0:
        yield from run.plan.stage("labels").tiers[0].meeting(task.box)
    else:
        yield run.plan.stage("evaluation").tiers[0]
        yield from run.plan.stage("agglomeration").tiers
        yield from run.plan.stage("edits").tiers

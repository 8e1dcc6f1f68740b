"""From parameters and a volume's facts to the plan of a segmentation.

The *chunk* grid, cells of `chunk_size`, is what watershed works on, and `batch_chunks`^3 chunks are
one task. The *region* grid, cells of `chunk_size` rounded up to whole storage blocks, is what layers
are written by, so that no two tasks share a block. The merges above the leaves join 4x4x4 results
of the tier below.

Grids begin at the corner of the run's *frame*, the box that ids are counted in, and not at that of
the box which is segmented: so cells stay what they are when that box grows inside the frame. Storage
blocks begin at the box, so grids of whole blocks are moved up to them, by less than a cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from seuron.box import Box, Triple, triple
from seuron.engine.plan import MAX_TIER_TASKS, Estimate, Task, Tier
from seuron.pipelines.segmentation import estimates
from seuron.pipelines.segmentation.facts import VolumeFacts
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.stages.layer_blocks import whole_blocks, write_unit

#: Tiers of an octree at most, leaves among them: four reach from one chunk to ten million.
OCTREE_TIERS = 5
#: The watershed's tiers between the leaves and the merges, by the role of their tasks. There is a task for
#: each leaf: it closes the seams at the leaf's low faces; and, in volumes of many leaves, what is open around
#: the lines where these seams meet.
CLOSING = ("seam", "line")
#: Rounds that a root which does not fit into memory shares out to other tasks, at most.
ROUNDS = 2
#: Results joined by one merge task along each axis: 64 in all, so that four tiers reach from one
#: chunk to ten million.
MERGE_SIDE = 4
#: Chunks along each side of a leaf, where the volume chooses.
BATCH_SIDES = (1, 2, 4, 8)
#: A leaf task should be worth its start: at least this many voxels where the volume has them.
LEAF_VOXELS = 12_000_000
#: Seconds of a core that Airflow takes for a task beside its work (docs/performance.md), and the tiers that have a
#: task for each leaf, by what a voxel of the leaf takes them: the seams take next to nothing.
TASK_SECONDS = 1.7
LEAF_TIERS = ("watershed", "agglomeration", "labels")
#: Smaller leaves are kept for so much more time: less is lost with a machine, and progress is finer.
SLOWER_AT_MOST = 1.1
#: Tasks that a root's graph is shared out to in one round, at most.
MAX_BINS = 256
#: Voxels that a task of the evaluation holds at once.
CELL_VOXELS = 256**3
#: The stage that carries an octree stage's final ids down again.
REMAPPING: dict[str, str] = {"watershed": "remap_supervoxels", "agglomeration": "remap_segments"}


def region_size(params: SegmentationParams, facts: VolumeFacts) -> Triple:
    """The chunk size, rounded up to whole storage blocks, or shards."""
    return whole_blocks(params.chunk_size, _unit(params, facts))


def _unit(params: SegmentationParams, facts: VolumeFacts) -> Triple:
    return write_unit(params.block_size, facts.box, facts.shard_above)


def batch_side(params: SegmentationParams, facts: VolumeFacts) -> int:
    """Chunks along each side of a leaf task."""
    return params.batch_chunks or facts.batch_chunks or choose_batch_side(params, facts.box)


def choose_batch_side(params: SegmentationParams, box: Box, workers: int = 0) -> int:
    """The side by the time that leaves take on so many workers (0: unknown): the smallest that is nearly the fastest.

    Many small leaves cost their starts, few large ones leave workers without any. Their number in a tier and their
    memory are bounded.
    """
    chunk, chunks = params.chunk_size, math.prod(box.grid_shape(params.chunk_size))
    least = BATCH_SIDES[-1]
    for side in reversed(BATCH_SIDES):
        if side**3 * math.prod(chunk) >= LEAF_VOXELS and chunks / side**3 <= MAX_TIER_TASKS:
            least = side
    if workers == 0:
        return least
    seconds = {
        side: _leaf_seconds(_leaf(chunk, side), box, workers)
        for side in BATCH_SIDES
        if side == least or (side > least and _leaf_fits(params, side))
    }
    return next(side for side, found in seconds.items() if found <= SLOWER_AT_MOST * min(seconds.values()))


def _leaf(chunk: Triple, side: int) -> Triple:
    return triple([c * side for c in chunk])


def _leaf_fits(params: SegmentationParams, side: int) -> bool:
    box = Box.from_shape((0, 0, 0), _leaf(params.chunk_size, side))
    return estimates.of_watershed_leaf(box, params.chunk_size).memory_bytes <= params.task_memory * 2**30


def _leaf_seconds(leaf: Triple, box: Box, workers: int) -> float:
    """How long the tiers take that have a task for each leaf, one round of the workers after the other."""
    voxels = min(math.prod(leaf), box.voxels)
    work = sum(voxels / 1e6 / estimates.RATES[stage][0] for stage in LEAF_TIERS)
    return -(-math.prod(box.grid_shape(leaf)) // workers) * (work + (len(LEAF_TIERS) + 1) * TASK_SECONDS)


def largest_over_memory(params: SegmentationParams, facts: VolumeFacts) -> Task | None:
    """The task of an octree that needs most memory, where that is more than `task_memory`."""
    octrees = {"watershed": watershed_tiers, "agglomeration": agglomeration_tiers}
    planned = ((stage, number, tier) for stage, of in octrees.items() for number, tier in enumerate(of(params, facts)))
    tasks = (replace(tier, stage=stage, number=number).largest for stage, number, tier in planned)
    largest = max(tasks, key=lambda task: task.memory_bytes)
    return largest if largest.memory_bytes > params.task_memory * 2**30 else None


def grid_origin(facts: VolumeFacts, unit: Triple) -> Triple:
    """Where a grid of cells that are whole `unit`s from the corner of the run's box on begins.

    It is the frame's corner, moved up by less than a unit. So a box that grows downwards by whole
    units keeps its cells.
    """
    corners = zip(facts.id_frame.minimum, facts.box.minimum, unit, strict=True)
    return triple([f + (b - f) % u for f, b, u in corners])


def watershed_tiers(params: SegmentationParams, facts: VolumeFacts) -> Sequence[Tier]:
    """Leaves; where there are several, the seams between them; then merges up to one root.

    Where one merge does not take all leaves of the frame, the lines where seams meet are closed as well: what the
    merges have to carry is then a share of each leaf, however large it is. (That of the box could, and then grow.)
    """
    cell = leaf_size(params, facts)

    def leaf(index: Triple, box: Box) -> Estimate:
        return estimates.of_watershed_leaf(box, params.chunk_size)

    def merge(boxes: list[Box]) -> Estimate:
        return estimates.of_watershed_merge(boxes, cell, lines_are_closed=len(closing) == len(CLOSING))

    leaves, closing = _leaves(facts, cell, leaf), []
    if len(leaves) > 1:
        closing.append(replace(leaves, role="seam", needs=lambda index, box: estimates.of_seams(box)))
        if math.prod(facts.id_frame.grid_shape(cell)) > MERGE_SIDE**3:
            closing.append(replace(leaves, role="line", needs=lambda index, box: estimates.of_lines(box)))
    return (leaves, *closing, *_merges(leaves, merge))


def agglomeration_tiers(params: SegmentationParams, facts: VolumeFacts) -> Sequence[Tier]:
    """Leaves and merges; with rounds before the root, if what it has to decide may not fit into a task."""

    def leaf(index: Triple, box: Box) -> Estimate:
        return estimates.of_agglomeration_leaf(box, params.chunk_size, params.task_memory)

    def merge(boxes: list[Box]) -> Estimate:
        return estimates.of_agglomeration_merge(boxes, params.task_memory)

    leaves = _leaves(facts, leaf_size(params, facts), leaf)
    *below, root = (leaves, *_merges(leaves, merge))
    rows = int(estimates.contacts_waiting(below[-1].box_of(index) for index in below[-1].places)) if below else 0
    fit = estimates.contacts_that_fit(params.task_memory, params.rule_columns)
    if rows <= fit:
        return (*below, root)
    bins = min(MAX_BINS, -(-2 * rows // fit))
    needs = Estimate(root[0].seconds, root[0].memory_bytes)
    rounds = (tier for number in range(ROUNDS) for tier in _round_tiers(facts.box, needs, number, bins))
    return (*below, *rounds, root)


def remap_tiers(octree: Sequence[Tier], stage: str) -> Sequence[Tier]:
    """Final ids go down an octree again: a task for each merge below the root, highest first."""
    merges = [tier for tier in octree if tier.role == "merge"][:-1]
    return tuple(_remap_tier(stage, number, merge) for number, merge in enumerate(reversed(merges)))


def supervoxel_remap_tiers(params: SegmentationParams, facts: VolumeFacts) -> Sequence[Tier]:
    return remap_tiers(watershed_tiers(params, facts), "remap_supervoxels")


def segment_remap_tiers(params: SegmentationParams, facts: VolumeFacts) -> Sequence[Tier]:
    return remap_tiers(agglomeration_tiers(params, facts), "remap_segments")


def edit_tiers(params: SegmentationParams, facts: VolumeFacts) -> Sequence[Tier]:
    """One task, where there is an edit list."""
    if params.edits is None:
        return ()
    return (Tier.of_whole(facts.box, estimates.of_voxels("edits", 0, facts.box, 0)),)


def label_tiers(params: SegmentationParams, facts: VolumeFacts) -> Sequence[Tier]:
    """The label layers, region by region."""
    held = math.prod(region_size(params, facts))
    return (_cover("labels", facts, _regions(params, facts), grid_origin(facts, _unit(params, facts)), held),)


def evaluation_tiers(params: SegmentationParams, facts: VolumeFacts) -> Sequence[Tier]:
    """A contingency table for each region, and their sum; none without ground truth."""
    if params.ground_truth is None:
        return ()
    origin = grid_origin(facts, _unit(params, facts))
    tables = _cover("evaluation", facts, _regions(params, facts), origin, CELL_VOXELS)
    return (tables, Tier.of_whole(facts.box, estimates.of_voxels("evaluation", 1, facts.box, CELL_VOXELS)))


def leaf_size(params: SegmentationParams, facts: VolumeFacts) -> Triple:
    """The voxels of a leaf of an octree: a batch of chunks."""
    return _leaf(params.chunk_size, batch_side(params, facts))


def _regions(params: SegmentationParams, facts: VolumeFacts) -> Triple:
    """The voxels that a task writes of the label layers: a batch of regions."""
    return triple([r * batch_side(params, facts) for r in region_size(params, facts)])


def _cover(stage: str, facts: VolumeFacts, cell: Triple, origin: Triple, held: int, tier: int = 0) -> Tier:
    """One task for each cell of a grid over the run's box, which holds `held` voxels at once at most."""

    def needs(index: Triple, box: Box) -> Estimate:
        return estimates.of_voxels(stage, tier, box, held)

    return Tier.of_cells(facts.box, cell, needs, origin=origin)


def _leaves(facts: VolumeFacts, cell: Triple, needs: Callable[[Triple, Box], Estimate]) -> Tier:
    return Tier.of_cells(facts.box, cell, needs, origin=facts.id_frame.minimum, role="leaf")


def _merges(leaves: Tier, needs: Callable[[list[Box]], Estimate]) -> Iterator[Tier]:
    """Cells of the frame's grid, four times as large as those below; the last tier joins all that is left.

    Without that, two neighbours in the middle of a large frame could need more tiers than there are. A merge sees no
    voxels: what it has to do goes with the faces of the boxes that it joins, or with less.
    """
    below = leaves
    for level in range(1, OCTREE_TIERS):
        if len(below) == 1:
            return
        assert below.cell is not None
        side = below.indices.maximum if level == OCTREE_TIERS - 1 else (MERGE_SIDE,) * 3
        cell = triple([c * s for c, s in zip(below.cell, side, strict=True)])

        def of_children(index: Triple, box: Box, below: Tier = below, side: Triple = side) -> Estimate:
            return needs([below.box_of(child) for child in child_places(below, index, side)])

        below = Tier.of_cells(leaves.whole, cell, of_children, origin=leaves.origin, role="merge")
        yield below


def child_places(below: Tier, index: Triple, side: Triple) -> Iterator[Triple]:
    """The places in a tier of what a task joins that lies at `index` of a grid `side` times as coarse; x fastest."""
    low = triple([i * s for i, s in zip(index, side, strict=True)])
    return Box.from_shape(low, side).intersect(below.indices).places()


def _round_tiers(box: Box, root: Estimate, number: int, bins: int) -> Iterator[Tier]:
    """The task that splits the root's graph in a round, and those that agglomerate its bins: they share the work."""
    share = root._replace(seconds=round(root.seconds / bins, 3))
    yield Tier.of_whole(box, root, indices=Box.from_shape((number, 0, 0), (1, 1, 1)), role="split")
    yield Tier.of_whole(box, share, indices=Box.from_shape((number, 0, 0), (1, bins, 1)), role="bin")


def _remap_tier(stage: str, number: int, merge: Tier) -> Tier:
    """Its tasks hold ids of no more than the merges had to decide."""

    def needs(index: Triple, box: Box) -> Estimate:
        return estimates.of_voxels(stage, number, box, 0)._replace(memory_bytes=merge.needs(index, box).memory_bytes)

    return replace(merge, role="", needs=needs)

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
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from seuron.box import Box, Triple, triple
from seuron.engine.plan import CLOSING, MAX_TIERS, NAMING, OCTREE_TIERS, ROUNDS, Plan, Stage, Task, Work, task_id
from seuron.pipelines.segmentation import estimates
from seuron.pipelines.segmentation.estimates import Estimate
from seuron.pipelines.segmentation.params import SegmentationParams

#: Results joined by one merge task along each axis: 64 in all, so that four tiers reach from one
#: chunk to ten million.
MERGE_SIDE = 4
#: A leaf task should be worth its start: at least this many voxels where the volume has them,
#: and never so few that there are more than `MAX_LEAVES` tasks in a tier.
LEAF_VOXELS = 12_000_000
MAX_LEAVES = 20_000
#: The net is run on at most this many voxels along an axis at once (16 bytes a voxel of memory), and
#: there are at least so many tasks, where the volume allows it, to keep several workers busy.
LARGEST_PATCH_CELL = 512
FEWEST_PATCH_TASKS = 4
#: Tasks that a root's graph is shared out to in one round, at most.
MAX_BINS = 256
#: A report looks at a coarse scale and at the records, whatever the volume.
REPORT_SECONDS = 10.0
#: Scales that one pyramid task makes at once.
PYRAMID_SCALES = 3
#: Voxels that the stages which go through their box in cells of their own size hold at once: pyramid and
#: evaluation in 256^3, rounded up to blocks; the report looks at coarse scales.
CELL_VOXELS = 256**3


@dataclass(frozen=True)
class VolumeFacts:
    """What a run needs to know of its input.

    `box` is what will be segmented, in voxels of scale `mip`; `scales` how many scales the pyramid
    of each output layer has; `net` is the digest of the net's weights, empty where there is none.
    `precision`, `grey_mean` and `grey_std` are how the net is run, chosen once for all tasks.
    `frame` is the box that ids are counted in (None: `box`), `source_box` that of the whole input
    (None: `box`). `batch_chunks` and `cell` are how leaves and the net's boxes were cut, chosen once
    as well (0 and None: by the size of `box`), so that a run which grows keeps its tasks.
    """

    box: Box
    resolution_nm: tuple[float, float, float]
    dtype: str
    scales: dict[str, int]
    net: str
    precision: Literal["bf16", "fp32"] = "fp32"
    grey_mean: float = 0.0
    grey_std: float = 1.0
    frame: Box | None = None
    source_box: Box | None = None
    batch_chunks: int = 0
    cell: Triple | None = None

    @property
    def id_frame(self) -> Box:
        """The box that ids are counted in; the chunk grid begins at its corner."""
        return self.frame or self.box


def region_size(params: SegmentationParams) -> Triple:
    """The chunk size, rounded up to whole storage blocks."""
    return triple([-(-c // b) * b for c, b in zip(params.chunk_size, params.block_size, strict=True)])


def batch_side(params: SegmentationParams, facts: VolumeFacts) -> int:
    """Chunks along each side of a leaf task."""
    return params.batch_chunks or facts.batch_chunks or choose_batch_side(params, facts.box)


def choose_batch_side(params: SegmentationParams, box: Box) -> int:
    """The side that the volume's size asks for."""
    x, y, z = params.chunk_size
    nx, ny, nz = box.grid_shape(params.chunk_size)
    side = 1
    while side < 8 and (side**3 * x * y * z < LEAF_VOXELS or nx * ny * nz / side**3 > MAX_LEAVES):
        side *= 2
    return side


def too_large(plan: Plan, params: SegmentationParams) -> Task | None:
    """The task of an octree that needs most memory, where that is more than `task_memory`."""
    tasks = (task for stage in (*NAMING, *NAMING.values()) for task in plan.stage(stage).tasks)
    largest = max(tasks, key=lambda task: task.memory_bytes)
    return largest if largest.memory_bytes > params.task_memory * 2**30 else None


def inference_cell(params: SegmentationParams, facts: VolumeFacts) -> Triple:
    """What the net is run on at once."""
    return facts.cell or choose_inference_cell(params, facts.box)


def choose_inference_cell(params: SegmentationParams, box: Box) -> Triple:
    """Whole regions, as many as leave `FEWEST_PATCH_TASKS` cells.

    Patches that overlap two cells are computed for both, so that no cell depends on another; small
    cells are therefore dear: 3.4 times the net's work at 512^3 voxels, 4.6 times at 256^3.
    """
    cell = region_size(params)
    while True:
        larger = triple([2 * c for c in cell])
        if max(larger) > LARGEST_PATCH_CELL or math.prod(box.grid_shape(larger)) < FEWEST_PATCH_TASKS:
            return cell
        cell = larger


def grid_origin(facts: VolumeFacts, unit: Triple) -> Triple:
    """Where a grid of cells that are whole `unit`s from the corner of the run's box on begins.

    It is the frame's corner, moved up by less than a unit. So a box that grows downwards by whole
    units keeps its cells.
    """
    corners = zip(facts.id_frame.minimum, facts.box.minimum, unit, strict=True)
    return triple([f + (b - f) % u for f, b, u in corners])


def _at_most(most: int, box: Box, cell: Triple) -> Triple:
    """A cell, doubled until no more than `most` of them cover the box."""
    while math.prod(box.grid_shape(cell)) > most:
        cell = triple([2 * c for c in cell])
    return cell


def make_plan(params: SegmentationParams, facts: VolumeFacts) -> Plan:
    """The plan of a segmentation; equal input gives an equal plan, on any machine."""
    side = batch_side(params, facts)
    chunks = triple([c * side for c in params.chunk_size])
    regions = triple([r * side for r in region_size(params)])
    patches = _at_most(MAX_LEAVES, facts.box, inference_cell(params, facts))
    blocks = grid_origin(facts, params.block_size)
    from_image = params.image is not None
    watershed = _octree("watershed", params, facts, chunks)
    agglomeration = _octree("agglomeration", params, facts, chunks)
    cell = math.prod(inference_cell(params, facts))
    region = math.prod(region_size(params))
    stages: dict[str, list[tuple[Task, ...]]] = {
        "affinities": [_cover("affinities", facts.box, patches, blocks, cell, "gpu")] if from_image else [],
        "watershed": watershed,
        "supervoxel_names": _naming("supervoxel_names", watershed),
        "agglomeration": _with_rounds(params, agglomeration),
        "segment_names": _naming("segment_names", agglomeration),
        "labels": [_cover("labels", facts.box, regions, blocks, region)],
        "pyramid": _pyramid(params, facts),
        "evaluation": _evaluation(facts, regions, blocks) if params.ground_truth else [],
        "report": [(_report_task(facts.box),)],
    }
    return Plan(tuple(Stage(name, tuple(stages[name])) for name in MAX_TIERS))


def _task(
    stage: str,
    tier: int,
    index: Triple,
    box: Box,
    needs: Estimate,
    work: Work = "cpu",
    layer: str = "",
    children: tuple[str, ...] = (),
) -> Task:
    return Task(task_id(stage, tier, index, layer), stage, tier, index, box, work, layer, children, *needs)


def _merge_task(
    stage: str, tier: int, index: Triple, group: list[Task], leaf: Triple, closing: int, task_memory: float
) -> Task:
    """A merge sees no voxels: what it has to do goes with the faces of the boxes that it joins, or with less."""
    boxes, children = [task.box for task in group], tuple(task.id for task in group)
    if stage == "watershed":
        needs = estimates.of_watershed_merge(boxes, leaf, lines_are_closed=closing == len(CLOSING))
    else:
        needs = estimates.of_agglomeration_merge(boxes, task_memory)
    return _task(stage, tier, index, _hull(group), needs, children=children)


def _cover(stage: str, box: Box, cell: Triple, origin: Triple, held: int, work: Work = "cpu") -> tuple[Task, ...]:
    """One task for each cell of a grid over the box."""
    return tuple(
        _task(stage, 0, index, part, estimates.of_voxels(stage, 0, part, held), work)
        for index, part in box.cells(cell, origin)
    )


def _octree(stage: str, params: SegmentationParams, facts: VolumeFacts, cell: Triple) -> list[tuple[Task, ...]]:
    """Leaves, then merges of `MERGE_SIDE`^3, up to one root; in the watershed, seams between leaves are closed before.

    Where one merge does not take all leaves of the frame, so are the lines where seams meet: what the merges
    have to carry is then a share of each leaf, however large it is. (That of the box could, and then grow.)
    """
    cells = facts.box.cells(cell, facts.id_frame.minimum)
    tiers = [tuple(_task(stage, 0, index, box, _of_leaf(stage, box, params)) for index, box in cells)]
    leaves = tiers[0]
    if stage == "watershed" and len(leaves) > 1:
        tiers.append(tuple(_closing_task(leaf, "seams", estimates.of_seams(leaf.box)) for leaf in leaves))
        if math.prod(facts.id_frame.grid_shape(cell)) > MERGE_SIDE**3:
            tiers.append(tuple(_closing_task(task, "lines", estimates.of_lines(task.box)) for task in tiers[-1]))
    closing = len(tiers) - 1
    while len(tiers[-1]) > 1:
        tiers.append(_merges(stage, len(tiers), closing, tiers[-1], cell, params.task_memory))
    return tiers


def _of_leaf(stage: str, box: Box, params: SegmentationParams) -> Estimate:
    if stage == "watershed":
        return estimates.of_watershed_leaf(box, params.chunk_size)
    return estimates.of_agglomeration_leaf(box, params.chunk_size, params.task_memory)


def _closing_task(below: Task, layer: str, needs: Estimate) -> Task:
    tier = 1 + CLOSING.index(layer)
    return _task(below.stage, tier, below.index, below.box, needs, layer=layer, children=(below.id,))


def _merges(
    stage: str, tier: int, closing: int, below: tuple[Task, ...], leaf: Triple, task_memory: float
) -> tuple[Task, ...]:
    """Cells of the frame's grid, four times as large as those below; the last tier joins all that is left.

    Without that, two neighbours in the middle of a large frame could need more tiers than there are.
    """
    groups: dict[Triple, list[Task]] = {}
    for task in below:
        index = (0, 0, 0) if tier == closing + OCTREE_TIERS - 1 else triple([i // MERGE_SIDE for i in task.index])
        groups.setdefault(index, []).append(task)
    return tuple(_merge_task(stage, tier, index, group, leaf, closing, task_memory) for index, group in groups.items())


def _with_rounds(params: SegmentationParams, octree: list[tuple[Task, ...]]) -> list[tuple[Task, ...]]:
    """The agglomeration's tiers: with rounds below the root, if what it has to decide may not fit into a task."""
    *below, (root,) = octree
    children = octree[-2] if below else ()
    rows = int(estimates.contacts_waiting(task.box for task in children))
    fit = estimates.contacts_that_fit(params.task_memory, params.rule_columns)
    if rows <= fit:
        return octree
    bins = min(MAX_BINS, -(-2 * rows // fit))
    rounds: list[tuple[Task, ...]] = []
    for number in range(ROUNDS):
        tier = len(below) + 2 * number
        rounds.append((_round_task(root, tier, (number, 0, 0), "split"),))
        # The bins share the work out.
        share = replace(root, seconds=round(root.seconds / bins, 3))
        rounds.append(tuple(_round_task(share, tier + 1, (number, i, 0), "bin") for i in range(bins)))
    tier = len(below) + len(rounds)
    return [*below, *rounds, (replace(root, tier=tier, id=task_id(root.stage, tier, root.index)),)]


def _round_task(root: Task, tier: int, index: Triple, layer: str) -> Task:
    found = task_id(root.stage, tier, index, layer)
    return replace(root, id=found, tier=tier, index=index, layer=layer, children=())


def _naming(stage: str, octree: list[tuple[Task, ...]]) -> list[tuple[Task, ...]]:
    """Final names go down an octree again: a task for each merge below the root, highest first."""
    merges = [tier for tier in octree if tier[0].children and not tier[0].layer][:-1]
    return [tuple(_naming_task(stage, number, merge) for merge in tier) for number, tier in enumerate(reversed(merges))]


def _naming_task(stage: str, tier: int, merge: Task) -> Task:
    """It holds names of no more than the merge had to decide."""
    needs = estimates.of_voxels(stage, tier, merge.box, 0)._replace(memory_bytes=merge.memory_bytes)
    return _task(stage, tier, merge.index, merge.box, needs, children=(merge.id,))


def _hull(tasks: list[Task]) -> Box:
    """The smallest box that holds all of theirs."""
    low = zip(*(task.box.minimum for task in tasks), strict=True)
    high = zip(*(task.box.maximum for task in tasks), strict=True)
    return Box(triple([min(values) for values in low]), triple([max(values) for values in high]))


def _report_task(box: Box) -> Task:
    needs = estimates.of_voxels("report", 0, box, CELL_VOXELS)._replace(seconds=REPORT_SECONDS)
    return _task("report", 0, (0, 0, 0), box, needs, "manager")


def _pyramid(params: SegmentationParams, facts: VolumeFacts) -> list[tuple[Task, ...]]:
    """Each tier makes up to `PYRAMID_SCALES` scales of every layer, in boxes that share no block.

    A task's box is in voxels of scale 0; its tier says which scales it makes.
    """
    tiers = []
    for tier in range(MAX_TIERS["pyramid"]):
        first = tier * PYRAMID_SCALES
        layers = [layer for layer, scales in facts.scales.items() if scales > first + 1]
        if not layers:
            break
        cell = _pyramid_cell(params, facts.box, first + PYRAMID_SCALES)
        tiers.append(
            tuple(
                _task("pyramid", tier, index, box, estimates.of_voxels("pyramid", tier, box, CELL_VOXELS), layer=layer)
                for layer, (index, box) in product(layers, facts.box.cells(cell, grid_origin(facts, cell)))
            )
        )
    return tiers


def _pyramid_cell(params: SegmentationParams, box: Box, scales: int) -> Triple:
    """Voxels of scale 0 that are whole blocks `scales` scales up, and leave at most `MAX_LEAVES` cells.

    Halving every axis at every scale is the most a pyramid does, so this holds for every pyramid.
    """
    return _at_most(MAX_LEAVES, box, triple([b << scales for b in params.block_size]))


def _evaluation(facts: VolumeFacts, regions: Triple, origin: Triple) -> list[tuple[Task, ...]]:
    tables = _cover("evaluation", facts.box, regions, origin, CELL_VOXELS)
    children = tuple(task.id for task in tables)
    needs = estimates.of_voxels("evaluation", 1, facts.box, CELL_VOXELS)
    total = _task("evaluation", 1, (0, 0, 0), facts.box, needs, "manager", children=children)
    return [tables, (total,)]

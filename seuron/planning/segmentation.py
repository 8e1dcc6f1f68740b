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
from seuron.params import SegmentationParams
from seuron.planning.plan import MAX_TIERS, OCTREE_TIERS, ROUNDS, SEAMS_TIER, Plan, Stage, Task, Work, task_id

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
#: Bytes that a task needs for each contact that it agglomerates or pools, and for each node of a graph
#: that it splits, at most; and what Python and its libraries take before (docs/scaling.md).
BYTES_PER_CONTACT = 230
BYTES_PER_NODE = 60
BASE_BYTES = 400_000_000
#: Clusters of the watershed that a leaf leaves undecided, and contacts of the agglomeration that any box
#: does, for each voxel of its faces; and clusters that are undecided behind the seams, for each voxel of
#: `seam_lines`: all as measured (docs/scaling.md). Bytes and seconds that a merge needs for such a cluster.
CLUSTERS_PER_FACE_VOXEL = 0.47
CLUSTERS_PER_LINE_VOXEL = 1.2
CONTACTS_PER_FACE_VOXEL = 0.19
BYTES_PER_CLUSTER = 230
#: Bytes of a cluster's old and new name.
BYTES_PER_NAME = 16
#: Bytes of a voxel at a face: id, affinity, whether it is joined.
BYTES_PER_FACE_VOXEL = 13
SECONDS_PER_CLUSTER = 2e-6
#: Tasks that a root's graph is shared out to in one round, at most.
MAX_BINS = 256
#: A report looks at a coarse scale and at the records, whatever the volume.
REPORT_SECONDS = 10.0
#: Scales that one pyramid task makes at once.
PYRAMID_SCALES = 3
#: Voxels that the stages which go through their box in cells of their own size hold at once: pyramid and
#: evaluation in 256^3, rounded up to blocks; the report looks at coarse scales.
CELL_VOXELS = 256**3

#: Mvox/s of a core, and bytes at most for a voxel that is held at once, by the task records of FIB-25 and
#: the demonstration (docs/performance.md): what the plan's estimates are made of.
RATES: dict[str, tuple[float, int]] = {
    "affinities": (0.3, 60),
    "watershed": (6.0, 40),
    "supervoxel_names": (300.0, 1),
    "agglomeration": (30.0, 4),
    "segment_names": (300.0, 1),
    "labels": (15.0, 40),
    "pyramid": (15.0, 24),
    "evaluation": (40.0, 40),
    "report": (10.0, 8),
}


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


def contacts_that_fit(task_memory: float, nodes: int = 0) -> int:
    """How many contacts a task of that memory (GiB) may hold, beside a graph of so many nodes."""
    return max(1, int(task_memory * 2**30 - BASE_BYTES - nodes * BYTES_PER_NODE) // BYTES_PER_CONTACT)


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
        "supervoxel_names": _naming("supervoxel_names", watershed[SEAMS_TIER:]),
        "agglomeration": _with_rounds(params, agglomeration),
        "segment_names": _naming("segment_names", agglomeration),
        "labels": [_cover("labels", facts.box, regions, blocks, region)],
        "pyramid": _pyramid(params, facts),
        "evaluation": _evaluation(facts, regions, blocks) if params.ground_truth else [],
        "report": [
            (replace(_task("report", 0, (0, 0, 0), facts.box, CELL_VOXELS, "manager"), seconds=REPORT_SECONDS),)
        ],
    }
    return Plan(tuple(Stage(name, tuple(stages[name])) for name in MAX_TIERS))


def _task(
    stage: str,
    tier: int,
    index: Triple,
    box: Box,
    held: int,
    work: Work = "cpu",
    layer: str = "",
    children: tuple[str, ...] = (),
) -> Task:
    """A task that goes through the voxels of its box, `held` of them at once at most."""
    rate, bytes_per_voxel = RATES[stage]
    share = 1.0 if tier == 0 else 0.1  # later tiers see coarser scales, or tables
    return Task(
        id=task_id(stage, tier, index, layer),
        stage=stage,
        tier=tier,
        index=index,
        box=box,
        work=work,
        layer=layer,
        children=children,
        seconds=round(box.voxels * share / rate / 1e6, 3),
        memory_bytes=BASE_BYTES + min(box.voxels, held) * bytes_per_voxel,
    )


def _merge_task(stage: str, tier: int, index: Triple, group: list[Task], cell: Triple, task_memory: float) -> Task:
    """A merge sees no voxels: what it has to do goes with the faces of the boxes that it joins, or lines on them."""
    if stage == "watershed":
        clusters = sum(seam_lines(task.box, cell) for task in group) * CLUSTERS_PER_LINE_VOXEL
        memory = BASE_BYTES + clusters * BYTES_PER_CLUSTER
    else:
        clusters = sum(face_area(task.box) for task in group) * CONTACTS_PER_FACE_VOXEL
        memory = min(task_memory * 2**30, BASE_BYTES + clusters * BYTES_PER_CONTACT)
    children = tuple(task.id for task in group)
    task = _task(stage, tier, index, _hull(group), 0, children=children)
    return replace(task, seconds=round(clusters * SECONDS_PER_CLUSTER, 3), memory_bytes=int(memory))


def face_area(box: Box) -> int:
    """The voxels of a box's six faces."""
    x, y, z = box.shape
    return 2 * (x * y + y * z + x * z)


def seam_lines(box: Box, leaf: Triple) -> int:
    """The voxels of the outlines of all leaves' faces that lie in a box's six faces.

    Once the seams between leaves are closed, what is open lies where leaves meet in a line.
    """
    sides = list(zip(box.shape, leaf, strict=True))
    pairs = ((sides[a], sides[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    return sum(4 * (width * -(-height // h) + height * -(-width // w)) for (width, w), (height, h) in pairs)


def _cover(stage: str, box: Box, cell: Triple, origin: Triple, held: int, work: Work = "cpu") -> tuple[Task, ...]:
    """One task for each cell of a grid over the box."""
    return tuple(_task(stage, 0, index, part, held, work) for index, part in box.cells(cell, origin))


def _octree(stage: str, params: SegmentationParams, facts: VolumeFacts, cell: Triple) -> list[tuple[Task, ...]]:
    """Leaves, then merges of `MERGE_SIDE`^3, up to one root."""
    leaves = _cover(stage, facts.box, cell, facts.id_frame.minimum, 0)
    tiers = [tuple(_leaf_task(task, params) for task in leaves)]
    if stage == "watershed" and len(leaves) > 1:
        tiers.append(tuple(_seam_task(leaf) for leaf in leaves))
    while len(tiers[-1]) > 1:
        tiers.append(_merges(stage, len(tiers), tiers[-1], cell, params.task_memory))
    return tiers


def _seam_task(leaf: Task) -> Task:
    """Closes the seams at a leaf's low faces, one at a time."""
    x, y, z = leaf.box.shape
    sides = [2 * area for area in (y * z, x * z, x * y)]
    task = _task(leaf.stage, SEAMS_TIER, leaf.index, leaf.box, 0, children=(leaf.id,))
    return replace(
        task,
        seconds=round(sum(sides) * CLUSTERS_PER_FACE_VOXEL * SECONDS_PER_CLUSTER, 3),
        memory_bytes=int(
            BASE_BYTES + max(sides) * (BYTES_PER_FACE_VOXEL + CLUSTERS_PER_FACE_VOXEL * BYTES_PER_CLUSTER)
        ),
    )


def _leaf_task(task: Task, params: SegmentationParams) -> Task:
    """A leaf of the watershed holds one chunk, what is undecided at the leaf's faces, and names at those of its chunks;
    one of the agglomeration holds the contacts of its box.
    """
    rate = RATES[task.stage][1]
    chunk = Box.from_shape((0, 0, 0), params.chunk_size)
    if task.stage == "agglomeration":
        memory = min(params.task_memory * 2**30, BASE_BYTES + task.box.voxels * rate)
    else:
        inside = math.prod(task.box.grid_shape(params.chunk_size)) * face_area(chunk) * CLUSTERS_PER_FACE_VOXEL
        at_faces = face_area(task.box) * (BYTES_PER_FACE_VOXEL + CLUSTERS_PER_FACE_VOXEL * BYTES_PER_CLUSTER)
        memory = BASE_BYTES + min(task.box.voxels, chunk.voxels) * rate + inside * BYTES_PER_NAME + at_faces
    return replace(task, memory_bytes=int(memory))


def _merges(stage: str, tier: int, below: tuple[Task, ...], cell: Triple, task_memory: float) -> tuple[Task, ...]:
    """Cells of the frame's grid, four times as large as those below; the last tier joins all that is left.

    Without that, two neighbours in the middle of a large frame could need more tiers than there are.
    """
    last = tier == MAX_TIERS[stage] - 1 if stage == "watershed" else tier == OCTREE_TIERS - 1
    groups: dict[Triple, list[Task]] = {}
    for task in below:
        index = (0, 0, 0) if last else triple([i // MERGE_SIDE for i in task.index])
        groups.setdefault(index, []).append(task)
    return tuple(_merge_task(stage, tier, index, group, cell, task_memory) for index, group in groups.items())


def _with_rounds(params: SegmentationParams, octree: list[tuple[Task, ...]]) -> list[tuple[Task, ...]]:
    """The agglomeration's tiers: with rounds below the root, if what it has to decide may not fit into a task."""
    *below, (root,) = octree
    children = octree[-2] if below else ()
    rows = int(sum(face_area(task.box) for task in children) * CONTACTS_PER_FACE_VOXEL)
    fit = contacts_that_fit(params.task_memory)
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
    return [
        tuple(_naming_task(stage, tier, merge) for merge in merges)
        for tier, merges in enumerate(reversed(octree[1:-1]))
    ]


def _naming_task(stage: str, tier: int, merge: Task) -> Task:
    """It holds names of no more than the merge had to decide."""
    task = _task(stage, tier, merge.index, merge.box, 0, children=(merge.id,))
    return replace(task, memory_bytes=merge.memory_bytes)


def _hull(tasks: list[Task]) -> Box:
    """The smallest box that holds all of theirs."""
    low = zip(*(task.box.minimum for task in tasks), strict=True)
    high = zip(*(task.box.maximum for task in tasks), strict=True)
    return Box(triple([min(values) for values in low]), triple([max(values) for values in high]))


def _report_task(facts: VolumeFacts) -> Task:
    task = _task("report", 0, (0, 0, 0), facts.box, CELL_VOXELS, "manager")
    return replace(task, seconds=REPORT_SECONDS)


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
                _task("pyramid", tier, index, box, CELL_VOXELS, layer=layer)
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
    total = _task("evaluation", 1, (0, 0, 0), facts.box, CELL_VOXELS, "manager", children=children)
    return [tables, (total,)]

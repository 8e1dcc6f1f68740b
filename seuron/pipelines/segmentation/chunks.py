"""The chunks of a leaf task, and where they lie."""

from __future__ import annotations

from collections.abc import Iterator

from abiss_py import Place
from seuron.box import Box, Triple, triple
from seuron.engine.plan import Task
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.pipelines.segmentation.plan import batch_side


def place_of(run: SegmentationRun, box: Box) -> Place:
    """A box in the coordinates that ids are counted in: the run's frame begins at (0, 0, 0)."""
    frame = run.facts.id_frame
    down = [-c for c in frame.minimum]
    moved, segmented = box.shifted(down), run.facts.box.shifted(down)
    return Place(moved.minimum, moved.maximum, frame.shape, (segmented.minimum, segmented.maximum))


def voxel_at(run: SegmentationRun, index: int) -> Triple:
    """The voxel of the volume that has this index in the run's ids: the inverse of counting from `place_of`."""
    place = place_of(run, run.facts.box)
    nx, ny, _ = place.whole
    inside = (index % nx, index // nx % ny, index // (nx * ny))
    return triple([i - m + c for i, m, c in zip(inside, place.minimum, run.facts.box.minimum, strict=True)])


def chunks_of(run: SegmentationRun, task: Task) -> Iterator[tuple[Triple, Box]]:
    """The chunks of a leaf task, with their places in the run's chunk grid."""
    return task.box.cells(run.params.chunk_size, run.facts.id_frame.minimum)


def chunks_meeting(run: SegmentationRun, box: Box) -> Iterator[tuple[Triple, Box]]:
    """The chunks that share voxels with a box."""
    corner, size = run.facts.id_frame.minimum, run.params.chunk_size
    for _, cell in box.grid(size, corner).cells((1, 1, 1)):
        yield cell.minimum, run.facts.box.cell(size, cell.minimum, corner)


def leaf_index(run: SegmentationRun, chunk: Triple) -> Triple:
    """The place of the leaf task that a chunk belongs to."""
    side = batch_side(run.params, run.facts)
    return triple([i // side for i in chunk])


def watershed_leaf(run: SegmentationRun, index: Triple) -> Task:
    """The watershed's leaf at a place."""
    return _leaf(run, "watershed", index)


def agglomeration_leaf(run: SegmentationRun, index: Triple) -> Task:
    """The agglomeration's leaf at a place."""
    return _leaf(run, "agglomeration", index)


def _leaf(run: SegmentationRun, stage: str, index: Triple) -> Task:
    found = run.plan.stage(stage).tiers[0].at(index)
    assert found is not None
    return found


def chunk_name(kind: str, chunk: Triple) -> str:
    """The name of one of a chunk's tables."""
    return f"{kind}-{'_'.join(str(i) for i in chunk)}"

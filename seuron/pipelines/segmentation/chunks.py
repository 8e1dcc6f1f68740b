"""The chunks of a leaf task, and where they lie."""

from __future__ import annotations

from collections.abc import Iterator

from abiss_py import Place
from seuron.box import Box, Triple, triple
from seuron.engine.plan import Task
from seuron.engine.run import Run
from seuron.pipelines.segmentation.plan import batch_side
from seuron.volumes import Volume


def place_of(run: Run, box: Box) -> Place:
    """A box in the coordinates that ids are counted in: the run's frame begins at (0, 0, 0)."""
    frame = run.facts.id_frame
    down = [-c for c in frame.minimum]
    moved, segmented = box.shifted(down), run.facts.box.shifted(down)
    return Place(moved.minimum, moved.maximum, frame.shape, (segmented.minimum, segmented.maximum))


def voxel_at(run: Run, index: int) -> Triple:
    """The voxel of the volume that has this index in the run's ids: the inverse of counting from `place_of`."""
    place = place_of(run, run.facts.box)
    nx, ny, _ = place.whole
    inside = (index % nx, index // nx % ny, index // (nx * ny))
    return triple([i - m + c for i, m, c in zip(inside, place.minimum, run.facts.box.minimum, strict=True)])


def chunks_of(run: Run, task: Task) -> Iterator[tuple[Triple, Box]]:
    """The chunks of a leaf task, with their places in the run's chunk grid."""
    return task.box.cells(run.params.chunk_size, run.facts.id_frame.minimum)


def chunks_meeting(run: Run, box: Box) -> Iterator[tuple[Triple, Box]]:
    """The chunks that share voxels with a box."""
    corner, size = run.facts.id_frame.minimum, run.params.chunk_size
    for _, cell in box.grid(size, corner).cells((1, 1, 1)):
        yield cell.minimum, run.facts.box.cell(size, cell.minimum, corner)


def leaf_index(run: Run, chunk: Triple) -> Triple:
    """Which leaf task a chunk belongs to."""
    side = batch_side(run.params, run.facts)
    return triple([i // side for i in chunk])


def filled_blocks(run: Run, volume: Volume, box: Box) -> int:
    """How many blocks of an input are missing in a box, where the run lets them read as zeros.

    A block counts where it begins in the run's box, so that no two tasks count it.
    """
    if run.params.missing_blocks != "zero":
        return 0
    corners = (block.intersect(run.facts.box).minimum for block in volume.missing_blocks(box))
    return sum(box.contains(Box.from_shape(corner, (1, 1, 1))) for corner in corners)


def chunk_name(kind: str, chunk: Triple) -> str:
    """The name of one of a chunk's tables."""
    return f"{kind}-{'_'.join(str(i) for i in chunk)}"

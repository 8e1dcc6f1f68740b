"""Scoring one stored layer against another, box by box."""

from __future__ import annotations

from seuron.box import Box, triple
from seuron.errors import VolumeError
from seuron.evaluation.contingency import ContingencyTable, contingency, merge
from seuron.evaluation.scores import Scores, scores
from seuron.volumes import Volume, open_volume

#: Voxels read at once along each axis, rounded up to whole blocks: two uint64 cells are 270 MB.
CELL = 256


def evaluation_box(segmentation: Volume, truth: Volume, box: Box | None = None) -> Box:
    """The voxels that both layers have, within `box` where one is given.

    Raises VolumeError when there are none, when `box` is not inside both, or when the voxels of the
    two layers are not the same piece of tissue (another resolution, or grids that do not coincide).
    """
    names = f"{segmentation.path} and {truth.path}"
    if segmentation.resolution_nm != truth.resolution_nm:
        raise VolumeError(
            f"{names} have voxels of {segmentation.resolution_nm} and {truth.resolution_nm} nm at scale "
            f"{segmentation.mip}; they must be equal: give layers of one resolution"
        )
    _check_grids(segmentation, truth)
    common = segmentation.box.intersect(truth.box)
    if common.voxels == 0:
        raise VolumeError(
            f"{names} have no voxel in common: their boxes are {segmentation.box} and {truth.box}; "
            "check the offset that each was imported with"
        )
    if box is None:
        return common
    if box.voxels == 0 or not common.contains(box):
        raise VolumeError(f"the box {box} must hold voxels and lie inside what {names} have in common, {common}")
    return box


def _check_grids(segmentation: Volume, truth: Volume) -> None:
    """At coarse scales, both must pool the same cells: the corners differ by whole cells."""
    if segmentation.mip == 0:
        return
    fine, other = open_volume(segmentation.path), open_volume(truth.path)
    cells = [round(c / f) for f, c in zip(fine.resolution_nm, segmentation.resolution_nm, strict=True)]
    apart = [a - b for a, b in zip(fine.box.minimum, other.box.minimum, strict=True)]
    if any(distance % cell for distance, cell in zip(apart, cells, strict=True)):
        raise VolumeError(
            f"scale {segmentation.mip} of {segmentation.path} and of {truth.path} pool different cells of {cells} "
            f"voxels, because their corners are {apart} voxels apart; score scale 0"
        )


def evaluation_table(segmentation: Volume, truth: Volume, box: Box) -> ContingencyTable:
    """The table of `box`, read in cells that lie on the segmentation's blocks."""
    cell = triple([-(-CELL // b) * b for b in segmentation.block_size])
    table = ContingencyTable.empty()
    for _, whole in segmentation.box.cells(cell):
        part = whole.intersect(box)
        if part.voxels:
            table = merge([table, contingency(segmentation.read(part), truth.read(part))])
    return table


def evaluate_volumes(
    segmentation_path: str, truth_path: str, box: Box | None = None, mip: int = 0, *, truth_mip: int | None = None
) -> Scores:
    """Scores of a precomputed segmentation against precomputed labels at one scale.

    `mip` is the scale of both, or with `truth_mip` that of the segmentation. `box` is in voxels of that scale;
    without it, all that both layers have is scored. Memory stays at a few hundred MB whatever the size. Raises
    VolumeError for layers that do not fit each other and DataError for missing blocks or a box without ground truth.
    """
    segmentation = open_volume(segmentation_path, mip)
    truth = open_volume(truth_path, mip if truth_mip is None else truth_mip)
    where = evaluation_box(segmentation, truth, box)
    return scores(evaluation_table(segmentation, truth, where))

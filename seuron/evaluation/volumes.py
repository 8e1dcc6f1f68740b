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
    for volume in (segmentation, truth):
        if volume.kind != "segmentation" or volume.channels != 1:
            raise VolumeError(
                f"{volume.path} holds {volume.channels} x {volume.dtype} of the type {volume.kind}; give labels: one "
                "channel of the type segmentation"
            )
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
    cells, apart = (
        segmentation.resolution_nm,
        [a - b for a, b in zip(_corner(segmentation), _corner(truth), strict=True)],
    )
    if any(abs(distance - cell * round(distance / cell)) > 1e-6 for distance, cell in zip(apart, cells, strict=True)):
        raise VolumeError(
            f"scale {segmentation.mip} of {segmentation.path} and scale {truth.mip} of {truth.path} pool different "
            f"cells of {cells} nm, because their corners are {apart} nm apart; score scale 0"
        )


def _corner(volume: Volume) -> list[float]:
    """Where the finest scale of a layer begins, in nm."""
    fine = open_volume(volume.path)
    return [at * nm for at, nm in zip(fine.box.minimum, fine.resolution_nm, strict=True)]


def labels_like(segmentation: Volume, path: str) -> Volume:
    """Labels at the scale whose voxels are as large as the segmentation's; raises VolumeError where they have none."""
    finest = open_volume(path)
    scales = [open_volume(path, mip) for mip in range(finest.scales)]
    found = next((scale for scale in scales if scale.resolution_nm == segmentation.resolution_nm), None)
    if found is not None:
        return found
    known = ", ".join(str(scale.resolution_nm) for scale in scales)
    raise VolumeError(
        f"{segmentation.path} has the resolution {segmentation.resolution_nm} nm at scale {segmentation.mip}, and no "
        f"scale of {path} has it: those have {known}. Give labels of that size, or another scale"
    )


def compared_text(box: Box, segmented: Box, truth: Box) -> str:
    """How much of a segmentation and of its ground truth was compared, in a sentence; `box` is what they share."""
    parts = [
        f"{box.voxels / whole.voxels:.2%} of {what} ({whole})" if box != whole else f"all of {what}"
        for what, whole in (("the segmentation", segmented), ("the ground truth", truth))
    ]
    return f"Compared in {box}: {' and '.join(parts)}."


def evaluation_table(segmentation: Volume, truth: Volume, box: Box) -> ContingencyTable:
    """The table of `box`, read in cells that lie on the segmentation's blocks."""
    cell = triple([-(-CELL // b) * b for b in segmentation.block_size])
    table = ContingencyTable.empty()
    for _, whole in segmentation.box.cells(cell):
        part = whole.intersect(box)
        if part.voxels:
            table = merge([table, contingency(segmentation.read(part), truth.read(part))])
    return table


def evaluate_volumes(segmentation_path: str, truth_path: str, box: Box | None = None, mip: int = 0) -> Scores:
    """Scores of a precomputed segmentation against precomputed labels at one scale.

    `mip` is the scale of the segmentation; of the labels, that with voxels of the same size is taken. `box` is in
    voxels of that scale; without it, all that both layers have is scored. Memory stays at a few hundred MB whatever the
    size. Raises VolumeError for layers that do not fit each other and DataError for missing blocks or a box without
    ground truth.
    """
    segmentation = open_volume(segmentation_path, mip)
    truth = labels_like(segmentation, truth_path)
    where = evaluation_box(segmentation, truth, box)
    return scores(evaluation_table(segmentation, truth, where))

"""Scoring one stored layer against another, box by box."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.errors import DataError, VolumeError
from seuron.evaluation.boundaries import margin_of, without_boundaries
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


@dataclass(frozen=True)
class SampledLabels:
    """Labels of any voxel size as if they had that of a segmentation.

    Each voxel has the label of the voxel of `labels` that its centre lies in. `box` is what the labels cover, in
    voxels of the segmentation.
    """

    labels: Volume
    resolution_nm: tuple[float, float, float]

    @property
    def box(self) -> Box:
        sizes = list(zip(self.labels.resolution_nm, self.resolution_nm, strict=True))
        low = [math.ceil(m * own / nm - 0.5) for m, (own, nm) in zip(self.labels.box.minimum, sizes, strict=True)]
        high = [math.ceil(m * own / nm - 0.5) for m, (own, nm) in zip(self.labels.box.maximum, sizes, strict=True)]
        return Box(triple(low), triple(high))

    def read(self, box: Box) -> NDArray[Any]:
        """The labels (X, Y, Z, 1) of a box inside `box`."""
        ends = zip(box.minimum, box.maximum, self.resolution_nm, self.labels.resolution_nm, strict=True)
        at = [np.floor((np.arange(low, high) + 0.5) * nm / own).astype(np.int64) for low, high, nm, own in ends]
        whole = Box(triple([int(i[0]) for i in at]), triple([int(i[-1]) + 1 for i in at]))
        voxels = self.labels.read(whole)
        return voxels[np.ix_(*(i - first for i, first in zip(at, whole.minimum, strict=True)))]


def sampled_labels(segmentation: Volume, path: str) -> SampledLabels:
    """Labels of any voxel size: of their scales, the coarsest that is nowhere coarser than the segmentation.

    Where all are coarser, the finest.
    """
    finest = open_volume(path)
    scales = [open_volume(path, mip) for mip in range(finest.scales)]
    fine = [
        scale
        for scale in scales
        if all(own <= nm for own, nm in zip(scale.resolution_nm, segmentation.resolution_nm, strict=True))
    ]
    return SampledLabels(fine[-1] if fine else finest, segmentation.resolution_nm)


def sampled_box(segmentation: Volume, truth: SampledLabels, box: Box | None = None) -> Box:
    """The voxels of a segmentation that sampled labels have, within `box`; raises VolumeError as `evaluation_box`."""
    common = segmentation.box.intersect(truth.box)
    if common.voxels == 0:
        raise VolumeError(
            f"{segmentation.path} and {truth.labels.path} have no tissue in common: {segmentation.box} and "
            f"{truth.box} in voxels of {segmentation.resolution_nm} nm; check the offset that each was imported with"
        )
    if box is not None and (box.voxels == 0 or not common.contains(box)):
        raise VolumeError(f"the box {box} must hold voxels and lie inside what both have in common, {common}")
    return box or common


def evaluation_table(
    segmentation: Volume, truth: Volume | SampledLabels, box: Box, boundary_nm: float = 0
) -> ContingencyTable:
    """The table of `box`, read in cells that lie on the segmentation's blocks.

    Voxels within `boundary_nm` of a voxel of another true label count as having no truth.
    """
    if not 0 <= boundary_nm < math.inf:
        raise DataError(f"the boundary is {boundary_nm} nm; allowed are 0 and more")
    margin = margin_of(boundary_nm, segmentation.resolution_nm)
    cell = triple([-(-CELL // b) * b for b in segmentation.block_size])
    table = ContingencyTable.empty()
    for _, whole in segmentation.box.cells(cell):
        part = whole.intersect(box)
        if part.voxels:
            table = merge([table, contingency(segmentation.read(part), _labels(truth, part, margin, boundary_nm))])
    return table


def _labels(truth: Volume | SampledLabels, part: Box, margin: Triple, boundary_nm: float) -> NDArray[Any]:
    """The labels (X, Y, Z, 1) of a box, 0 near boundaries; what lies around it is looked at."""
    if not any(margin):
        return truth.read(part)
    around = part.grown(margin, margin).intersect(truth.box)
    found = without_boundaries(truth.read(around)[..., 0], boundary_nm, truth.resolution_nm)
    return found[part.within(around)][..., np.newaxis]


def evaluate_volumes(
    segmentation_path: str,
    truth_path: str,
    box: Box | None = None,
    mip: int = 0,
    *,
    boundary_nm: float = 0,
    resample: bool = False,
) -> Scores:
    """Scores of a precomputed segmentation against precomputed labels at one scale.

    `mip` is the scale of the segmentation; of the labels, that with voxels of the same size is taken. With `resample`
    labels may have any voxel size (`SampledLabels`). `box` is in voxels of that scale; without it, all that both layers
    have is scored, but for voxels within `boundary_nm` of a boundary of the labels. Memory stays at a few hundred MB
    whatever the size. Raises VolumeError for layers that do not fit each other and DataError for missing blocks or a
    box without ground truth.
    """
    segmentation = open_volume(segmentation_path, mip)
    if resample:
        sampled = sampled_labels(segmentation, truth_path)
        where = sampled_box(segmentation, sampled, box)
        return scores(evaluation_table(segmentation, sampled, where, boundary_nm))
    truth = labels_like(segmentation, truth_path)
    where = evaluation_box(segmentation, truth, box)
    return scores(evaluation_table(segmentation, truth, where, boundary_nm))

"""Warping: rotation, shear, twist, scale and perspective stretch of the sections' planes, after ElektroNN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from seuron.box import Triple
from seuron.training.augmentations.labelled_patch import Grey, LabelledPatch

#: The largest of each; the paper gives no numbers. Angles in degrees: rotation may be any, twist is that between the
#: first and the last section. Shares of a length: shear, scale, and the stretch from the middle to the border.
ROTATION, TWIST, SHEAR, SCALE, STRETCH = 45.0, 12.0, 0.15, 0.2, 0.12
#: How much larger than the patch, along x and y, the voxels are that it is sampled from.
ROOM = 0.5


@dataclass(frozen=True)
class Warp:
    """A linear map of the plane that changes from section to section; the same for image, labels and mask.

    Labels and mask are those of the nearest voxel, grey values are interpolated. What lies outside of the given voxels
    is not known, and its image is mirrored.

    Attributes:
        extra: voxels that are given beyond the patch.
        rotation, twist: radians.
        shear, scale, stretch: along x and y.
    """

    extra: Triple
    rotation: float
    twist: float
    shear: tuple[float, float]
    scale: tuple[float, float]
    stretch: tuple[float, float]

    def apply(self, patch: LabelledPatch) -> LabelledPatch:
        """The warped patch."""
        size = [whole - more for whole, more in zip(patch.shape, self.extra, strict=True)]
        image = np.empty(size, np.float32)
        labels, known = np.empty(size, np.uint32), np.empty(size, np.bool_)
        for z in range(size[2]):
            places = self._places((size[0], size[1]), z / max(1, size[2] - 1) - 0.5, patch.shape)
            image[:, :, z] = _interpolated(patch.image[:, :, z], places)
            near = np.rint(places).astype(np.intp)
            inside = ((near >= 0) & (near < np.array(patch.shape[:2])[:, None, None])).all(axis=0)
            x, y = (np.clip(near[axis], 0, patch.shape[axis] - 1) for axis in range(2))
            labels[:, :, z] = patch.labels[x, y, z]
            known[:, :, z] = patch.known[x, y, z] & inside
        return LabelledPatch(image, labels, known)

    def _places(self, size: tuple[int, int], height: float, given: Triple) -> npt.NDArray[np.float64]:
        """Where each voxel of a section comes from, `(2, X, Y)`; `height` is -0.5 in the first, 0.5 in the last one."""
        middle = [(side - 1) / 2 for side in size]
        x, y = np.meshgrid(*(np.arange(side) - at for side, at in zip(size, middle, strict=True)), indexing="ij")
        stretched = 1 + self.stretch[0] * x / max(1, middle[0]) + self.stretch[1] * y / max(1, middle[1])
        x, y = x * (1 + self.scale[0]) / stretched, y * (1 + self.scale[1]) / stretched
        x, y = x + self.shear[0] * y, y + self.shear[1] * x
        angle = self.rotation + self.twist * height
        cosine, sine = np.cos(angle), np.sin(angle)
        turned = np.stack([cosine * x - sine * y, sine * x + cosine * y])
        places: npt.NDArray[np.float64] = turned + np.array([(side - 1) / 2 for side in given[:2]])[:, None, None]
        return places


def draw_warp(rng: np.random.Generator, size: Triple, room: Triple) -> Warp:
    """A warp of patches of `size`, where a volume has `room` more voxels."""
    along_x, along_y = (min(room[axis], round(ROOM * size[axis])) for axis in range(2))
    rotation, twist = np.deg2rad(rng.uniform(-ROTATION, ROTATION)), np.deg2rad(rng.uniform(-TWIST, TWIST))
    pairs = [tuple(float(v) for v in rng.uniform(-most, most, 2)) for most in (SHEAR, SCALE, STRETCH)]
    shear, scale, stretch = ((a, b) for a, b in pairs)
    return Warp((along_x, along_y, 0), float(rotation), float(twist), shear, scale, stretch)


def _interpolated(section: Grey, places: npt.NDArray[np.float64]) -> Grey:
    found: Grey = map_coordinates(section, places, np.float32, order=1, mode="mirror")
    return found

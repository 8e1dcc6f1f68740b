"""Sections that are displaced against their neighbours: steps, slips, and steps inside of blank sections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seuron.box import Triple
from seuron.training.augmentations.labelled_patch import LabelledPatch
from seuron.training.augmentations.sections import BlankSections, blank


@dataclass(frozen=True)
class Misalignment:
    """Sections from `first` up to `last` are displaced.

    A step displaces all sections from one on, in image and labels. A slip displaces one section of the image only: its
    labels stay, so the net learns to ignore it (slip interpolation).

    Attributes:
        first, last: the displaced sections, `first <= z < last`.
        displacement: voxels along x and y, of either sign.
        labels_move: whether labels and mask are displaced with the image.
    """

    first: int
    last: int
    displacement: tuple[int, int]
    labels_move: bool

    @property
    def extra(self) -> Triple:
        """What the displaced sections show beyond the others."""
        return (abs(self.displacement[0]), abs(self.displacement[1]), 0)

    def apply(self, patch: LabelledPatch) -> LabelledPatch:
        """The misaligned patch."""
        resting = [max(0, -step) for step in self.displacement]
        moved = [max(0, step) for step in self.displacement]
        size = [whole - more for whole, more in zip(patch.shape, self.extra, strict=True)]
        rest, other = ((slice(x, x + size[0]), slice(y, y + size[1]), slice(None)) for x, y in (resting, moved))
        image, labels, known = patch.image[rest].copy(), patch.labels[rest].copy(), patch.known[rest].copy()
        displaced = slice(self.first, self.last)
        _put(image, patch.image[other], displaced)
        if self.labels_move:
            _put(labels, patch.labels[other], displaced)
            _put(known, patch.known[other], displaced)
        return LabelledPatch(image, labels, known)


@dataclass(frozen=True)
class MisalignedMissing:
    """A step inside of blank sections: nobody can see above or below which of them it is."""

    step: Misalignment
    missing: BlankSections

    @property
    def extra(self) -> Triple:
        """That of the step."""
        return self.step.extra

    def apply(self, patch: LabelledPatch) -> LabelledPatch:
        """The misaligned patch with its blank sections."""
        return self.missing.apply(self.step.apply(patch))


def draw_misalignment(
    rng: np.random.Generator, size: Triple, room: Triple, displacements: tuple[int, ...], slips: float
) -> Misalignment:
    """A step or a slip, with one of the largest displacements; a volume has `room` voxels beside the patch."""
    displacement = _displacement(rng, room, displacements)
    if rng.random() < slips:
        section = int(rng.integers(size[2]))
        return Misalignment(section, section + 1, displacement, labels_move=False)
    return Misalignment(_step_at(rng, size), size[2], displacement, labels_move=True)


def draw_misaligned_missing(
    rng: np.random.Generator, size: Triple, room: Triple, displacements: tuple[int, ...]
) -> MisalignedMissing:
    """A step whose first section, or the last one before it as well, is blank."""
    at = _step_at(rng, size)
    sections = [at] if rng.random() < 0.5 else [z for z in (at - 1, at) if z >= 0]
    step = Misalignment(at, size[2], _displacement(rng, room, displacements), labels_move=True)
    return MisalignedMissing(step, blank(rng, size, sections, whole=True))


def _step_at(rng: np.random.Generator, size: Triple) -> int:
    return int(rng.integers(1, max(2, size[2]))) if size[2] > 1 else 0


def _displacement(rng: np.random.Generator, room: Triple, displacements: tuple[int, ...]) -> tuple[int, int]:
    """Whole voxels from 0 to the largest along each axis, evenly, of either sign."""
    most = int(displacements[int(rng.integers(len(displacements)))])
    x, y = (int(rng.integers(min(most, room[axis]) + 1)) * (1 if rng.random() < 0.5 else -1) for axis in range(2))
    return x, y


def _put(target: npt.NDArray[np.generic], source: npt.NDArray[np.generic], sections: slice) -> None:
    target[:, :, sections] = source[:, :, sections]

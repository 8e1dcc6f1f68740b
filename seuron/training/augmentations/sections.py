"""Sections that are blank or out of focus, whole or in part. Labels stay: the net learns to interpolate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from seuron.box import Triple
from seuron.training.augmentations.labelled_patch import Grey, LabelledPatch

#: Part of a section: slices along x and y.
Area = tuple[slice, slice]
#: Black, in standard deviations below the mean: about grey value 0 of most images.
BLACK = -4.0
#: The strongest blur of a section, voxels.
MOST_BLUR = 4.0


@dataclass(frozen=True)
class BlankSections:
    """Areas of sections that have one grey value; what the paper calls missing.

    Attributes:
        areas: the section and the area of each.
        values: the grey value of each, normalised.
    """

    areas: tuple[tuple[int, Area], ...]
    values: tuple[float, ...]
    extra: Triple = (0, 0, 0)

    def apply(self, patch: LabelledPatch) -> LabelledPatch:
        """The image with its blank areas; labels and mask as they are."""
        image = patch.image.copy()
        for (z, (x, y)), value in zip(self.areas, self.values, strict=True):
            image[x, y, z] = value
        return LabelledPatch(image, patch.labels, patch.known)


@dataclass(frozen=True)
class BlurredSections:
    """Areas of sections that are out of focus.

    Attributes:
        areas: the section and the area of each.
        sigmas: of the Gaussian of each, voxels.
    """

    areas: tuple[tuple[int, Area], ...]
    sigmas: tuple[float, ...]
    extra: Triple = (0, 0, 0)

    def apply(self, patch: LabelledPatch) -> LabelledPatch:
        """The image with its blurred areas; labels and mask as they are."""
        image = patch.image.copy()
        for (z, area), sigma in zip(self.areas, self.sigmas, strict=True):
            image[(*area, z)] = _blurred(patch.image[:, :, z], sigma)[area]
        return LabelledPatch(image, patch.labels, patch.known)


def draw_missing(rng: np.random.Generator, size: Triple, single: int) -> BlankSections:
    """Two neighbouring blank sections, and up to `single` others: nine in all, with the paper's seven."""
    pair = int(rng.integers(max(1, size[2] - 1)))
    pair_sections = [z for z in (pair, pair + 1) if z < size[2]]
    others = _some_sections(rng, [z for z in range(size[2]) if z not in pair_sections], int(rng.integers(single + 1)))
    return blank(rng, size, [*pair_sections, *others])


def draw_out_of_focus(rng: np.random.Generator, size: Triple, single: int) -> BlurredSections:
    """One to `single` blurred sections."""
    chosen = _some_sections(rng, list(range(size[2])), 1 + int(rng.integers(max(1, single))) if single else 0)
    areas = tuple((z, draw_area(rng, size)) for z in chosen)
    return BlurredSections(areas, tuple(float(rng.uniform(1.0, MOST_BLUR)) for _ in areas))


def blank(rng: np.random.Generator, size: Triple, sections: Sequence[int], *, whole: bool = False) -> BlankSections:
    """These sections blank, each black or of any grey, in part or whole."""
    everything = (slice(0, size[0]), slice(0, size[1]))
    areas = tuple((z, everything if whole else draw_area(rng, size)) for z in sections)
    return BlankSections(areas, tuple(BLACK if rng.random() < 0.5 else float(rng.uniform(-2, 2)) for _ in areas))


def draw_area(rng: np.random.Generator, size: Triple) -> Area:
    """All of a section or, as often, a corner of it."""
    if rng.random() < 0.5:
        return slice(0, size[0]), slice(0, size[1])
    x, y = (_side(rng, side) for side in size[:2])
    return x, y


def _side(rng: np.random.Generator, size: int) -> slice:
    cut = int(rng.integers(1, max(2, size)))
    return slice(0, cut) if rng.random() < 0.5 else slice(size - cut, size)


def _some_sections(rng: np.random.Generator, sections: list[int], count: int) -> list[int]:
    return [int(z) for z in rng.choice(sections, min(count, len(sections)), replace=False)] if sections else []


def _blurred(section: Grey, sigma: float) -> Grey:
    found: Grey = gaussian_filter(section, sigma, mode="mirror")
    return found

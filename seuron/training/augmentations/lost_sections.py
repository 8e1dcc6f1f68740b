"""Sections that were lost: taken out of image and labels, so what lay on both sides of them are neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seuron.box import Triple
from seuron.training.augmentations.labelled_patch import LabelledPatch
from seuron.training.augmentations.sections import BLACK


@dataclass(frozen=True)
class LostSections:
    """Sections that are taken out of image, labels and mask, and sections that are blank then.

    Attributes:
        removed: counted in the patch that is given, rising.
        blank: counted in the patch that comes out.
        value: the grey value of blank ones, normalised.
    """

    removed: tuple[int, ...]
    blank: tuple[int, ...] = ()
    value: float = BLACK

    @property
    def extra(self) -> Triple:
        """As many sections as are removed."""
        return (0, 0, len(self.removed))

    def apply(self, patch: LabelledPatch) -> LabelledPatch:
        """The patch without them."""
        kept = [z for z in range(patch.shape[2]) if z not in self.removed]
        image = patch.image[:, :, kept]
        image[:, :, list(self.blank)] = self.value
        return LabelledPatch(image, patch.labels[:, :, kept], patch.known[:, :, kept])


def draw_lost(rng: np.random.Generator, size: Triple, room: Triple) -> LostSections | None:
    """A single section, two neighbours, or both, one to three in all; None where a volume has too few sections."""
    single, double = [(True, False), (False, True), (True, True)][int(rng.integers(3))]
    count = int(single) + 2 * int(double)
    if room[2] < count or size[2] < 4:
        return None
    inner = list(range(1, size[2] + count - 1))
    removed: list[int] = []
    if double:
        low = int(rng.choice(inner[:-1]))
        removed = [low, low + 1]
    if single:
        removed.append(int(rng.choice([z for z in inner if z not in removed])))
    return LostSections(tuple(sorted(removed)))


def draw_lost_missing(rng: np.random.Generator, size: Triple, room: Triple) -> LostSections | None:
    """Three sections become a blank one with the labels of the middle; None where a volume has too few sections."""
    if room[2] < 2:
        return None
    middle = int(rng.integers(1, size[2] + 1))
    value = BLACK if rng.random() < 0.5 else float(rng.uniform(-2, 2))
    return LostSections((middle - 1, middle + 1), (middle - 1,), value)

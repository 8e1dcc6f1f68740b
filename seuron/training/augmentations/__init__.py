"""Random changes to training patches that leave the truth true.

Geometry changes image, labels and mask together; grey values change the image only. All is drawn from the generator
that is given, first the numbers, then the voxels, so a seed fixes the whole training. The ten families of the petascale
paper are here, with its counts and displacements and what excludes what:

orientation     flips and quarter turns           grey            brightness and contrast; planes of another contrast
warp            warping                           misalignment    steps, slips in the image, steps in blank sections
sections        missing, out of focus             lost_sections   lost sections, and lost ones around a missing one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seuron.box import Triple, triple
from seuron.training.augmentations.grey import recontrast_plane, vary_grey
from seuron.training.augmentations.labelled_patch import LabelledPatch, PatchChange
from seuron.training.augmentations.lost_sections import draw_lost, draw_lost_missing
from seuron.training.augmentations.misalignment import draw_misaligned_missing, draw_misalignment
from seuron.training.augmentations.orientation import Orientation
from seuron.training.augmentations.sections import draw_missing, draw_out_of_focus
from seuron.training.augmentations.warp import draw_warp
from seuron.training.file import AugmentationChoice

__all__ = ["DrawnChanges", "LabelledPatch", "PatchChange", "draw_changes", "draw_exclusive"]


@dataclass(frozen=True)
class DrawnChanges:
    """All that was drawn for one patch.

    Attributes:
        geometry: in the order in which they are applied.
        grey, recontrasted: whether grey values change.
        kind: which of the exclusive families it has; empty for none.
    """

    geometry: tuple[PatchChange, ...]
    grey: bool
    recontrasted: bool
    kind: str

    @property
    def extra(self) -> Triple:
        """Voxels along x, y, z that the given patch must have more than what comes out."""
        return triple([sum(change.extra[axis] for change in self.geometry) for axis in range(3)])

    def apply(self, patch: LabelledPatch, rng: np.random.Generator) -> LabelledPatch:
        """The changed patch; `rng` makes noise."""
        for change in self.geometry:
            patch = change.apply(patch)
        image = np.ascontiguousarray(patch.image)
        image = vary_grey(image, rng) if self.grey else image
        image = recontrast_plane(image, rng) if self.recontrasted else image
        return LabelledPatch(image, patch.labels, patch.known)


def draw_changes(
    rng: np.random.Generator,
    choice: AugmentationChoice,
    resolution: tuple[float, float, float],
    size: Triple,
    room: Triple,
) -> DrawnChanges:
    """What happens to one patch.

    Args:
        rng: everything is drawn from it.
        choice: the shares.
        resolution: nm of a voxel.
        size: of the patch that comes out.
        room: how many voxels more the volume has along each axis; nothing that needs more is drawn.
    """
    warp = draw_warp(rng, size, room) if rng.random() < choice.warp else None
    left = room if warp is None else _less(room, warp.extra)
    kind, exclusive = draw_exclusive(rng, choice, size, left)
    focus = draw_out_of_focus(rng, size, choice.single_sections) if rng.random() < choice.out_of_focus else None
    orientation = Orientation(rng, resolution, size) if choice.flip_rotate else None
    geometry = tuple(change for change in (warp, exclusive, focus, orientation) if change is not None)
    return DrawnChanges(geometry, rng.random() < choice.grey, rng.random() < choice.recontrasted, kind)


def draw_exclusive(
    rng: np.random.Generator, choice: AugmentationChoice, size: Triple, room: Triple
) -> tuple[str, PatchChange | None]:
    """At most one of the families that exclude one another: its name and its change."""
    bounds = np.cumsum(list(choice.exclusive.values()))
    number = int(np.searchsorted(bounds, rng.random(), side="right"))
    kind = [*choice.exclusive, ""][number]
    change: PatchChange | None = None
    if kind == "misalignment":
        change = draw_misalignment(rng, size, room, choice.displacements, choice.slips)
    elif kind == "missing":
        change = draw_missing(rng, size, choice.single_sections)
    elif kind == "misaligned_missing":
        change = draw_misaligned_missing(rng, size, room, choice.displacements)
    elif kind == "lost":
        change = draw_lost(rng, size, room)
    elif kind == "lost_missing":
        change = draw_lost_missing(rng, size, room)
    return (kind if change is not None else ""), change


def _less(room: Sequence[int], taken: Sequence[int]) -> Triple:
    return triple([a - b for a, b in zip(room, taken, strict=True)])

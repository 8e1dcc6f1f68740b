"""Masks at their own resolution: which voxels of an image's box are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seuron.box import Box, Triple, triple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from seuron.engine.run import Run
    from seuron.volumes import Volume

#: The parameters that name masks.
MASKS = ("image_mask", "output_mask")

#: How far a ratio of voxel sizes may be from a whole number.
TOLERANCE = 0.01


def mask_factor(mask_nm: tuple[float, float, float], image_nm: tuple[float, float, float]) -> Triple | None:
    """How many voxels of the image a voxel of a mask has along each axis; None where these are no whole numbers."""
    ratios = [mask / image for mask, image in zip(mask_nm, image_nm, strict=True)]
    if any(round(ratio) < 1 or abs(ratio - round(ratio)) > TOLERANCE for ratio in ratios):
        return None
    return triple([round(ratio) for ratio in ratios])


@dataclass(frozen=True)
class MaskFacts:
    """A mask: how many voxels of the image one of its voxels has, and its bounds in its own voxels."""

    factor: Triple
    box: Box

    def seen(self, box: Box) -> Box:
        """The voxels of the mask that a box of the image meets."""
        low = [a // f for a, f in zip(box.minimum, self.factor, strict=True)]
        high = [-(-b // f) for b, f in zip(box.maximum, self.factor, strict=True)]
        return Box(triple(low), triple(high)).intersect(self.box)


def masks_seen(run: Run[Any, Any], names: tuple[str, ...], box: Box) -> Iterator[tuple[str, Box]]:
    """What a box of the image sees of a run's masks."""
    for name, mask in run.facts.prediction.masks.items():
        if name in names and (seen := mask.seen(box)).voxels:
            yield name, seen


def kept_voxels(run: Run[Any, Any], name: str, box: Box) -> NDArray[np.bool_] | None:
    """The voxels `(X, Y, Z)` of a box of the image that a mask keeps; None where the run has no such mask.

    Beyond its own bounds, and where it has no block, a mask keeps everything.
    """
    from seuron.volumes import open_volume

    mask = run.facts.prediction.masks.get(name)
    if mask is None:
        return None
    volume = open_volume(run.sources[name].path, run.sources[name].mip)
    return kept_by(volume, mask, box, inverted=getattr(run.params, f"invert_{name}"))


def kept_by(volume: Volume, mask: MaskFacts, box: Box, *, inverted: bool) -> NDArray[np.bool_]:
    """The voxels `(X, Y, Z)` of a box of an image that a mask in a volume keeps: where it is not 0, or is."""
    import numpy as np

    seen, kept = mask.seen(box), np.ones(box.shape, np.bool_)
    if seen.voxels == 0:
        return kept
    stored = volume.read(seen, missing="zero")[..., 0] != 0
    stored = ~stored if inverted else stored
    for block in volume.missing_blocks(seen):
        stored[block.intersect(seen).within(seen)] = True
    fine = stored.repeat(mask.factor[0], 0).repeat(mask.factor[1], 1).repeat(mask.factor[2], 2)
    covers = Box.from_shape([a * f for a, f in zip(seen.minimum, mask.factor, strict=True)], fine.shape)
    shared = covers.intersect(box)
    kept[shared.within(box)] = fine[shared.within(covers)]
    return kept

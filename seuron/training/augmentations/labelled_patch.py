"""A patch on its way to the net: grey values, labels, and where the labels are known, which move together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from seuron.box import Triple, triple

Grey = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LabelledPatch:
    """Arrays of one shape `(X, Y, Z)`; sections lie across z.

    Attributes:
        image: float32, normalised to mean 0 and standard deviation 1.
        labels: uint32.
        known: bool, where labels are to be learned from.
    """

    image: Grey
    labels: npt.NDArray[np.uint32]
    known: npt.NDArray[np.bool_]

    @property
    def shape(self) -> Triple:
        """Voxels along x, y, z."""
        return triple(self.image.shape)


class PatchChange(Protocol):
    """A change that was drawn: its numbers are fixed, so applied twice it gives the same.

    Attributes:
        extra: voxels along x, y, z that a patch must have more than what comes out.
    """

    @property
    def extra(self) -> Triple: ...

    def apply(self, patch: LabelledPatch) -> LabelledPatch:
        """The changed patch, smaller by `extra`; the given one stays as it is."""
        ...

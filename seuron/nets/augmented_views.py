"""Views of a patch, mirrored and transposed, and what a net says of them put back: test-time augmentation.

An affinity belongs to the voxel that its edge begins at. A mirrored edge begins at its other end, so what a net says of
it is moved by one edge along the mirrored axis; at the patch's last voxels, which nothing is moved to, it stays. The
axes of a transposed patch change places in the channels as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from seuron.box import Triple, triple
from seuron.errors import PermanentError
from seuron.nets.patches import Floats

#: The offset of each channel, from a voxel to the one that it is the affinity with; None of other channels.
Offsets = tuple[Triple | None, ...]


@dataclass(frozen=True)
class View:
    """A patch mirrored along axes, then transposed along x and y; `order` is where each output channel is found."""

    mirrored: tuple[int, ...]
    transposed: bool
    offsets: Offsets
    order: tuple[int, ...]

    def input(self, patch: Floats) -> Floats:
        """What the net is shown of a patch `(X, Y, Z)`."""
        seen = np.flip(patch, self.mirrored)
        return seen.swapaxes(0, 1) if self.transposed else seen

    def output(self, values: Floats) -> Floats:
        """What the net says of the view, `(K, X, Y, Z)`, as outputs of the patch."""
        if self.transposed:
            values = values.swapaxes(1, 2)[list(self.order)]
        found: Floats = np.flip(values, tuple(axis + 1 for axis in self.mirrored))
        if not any(offset and offset[axis] for offset in self.offsets for axis in self.mirrored):
            return found
        moved: Floats = np.array(found)
        for channel, offset in enumerate(self.offsets):
            for axis in self.mirrored if offset else ():
                _move(moved[channel], axis, -offset[axis] if offset else 0)
        return moved


def views_of(augmentation: str, offsets: Offsets) -> list[View]:
    """The views of an augmentation: `none` one, `flips` eight, `all` sixteen.

    Raises:
        PermanentError: an affinity that leaves its axis cannot be mirrored; one without its counterpart cannot be
            transposed; or the augmentation is not known.
    """
    if augmentation not in ("none", "flips", "all"):
        raise PermanentError(f"test-time augmentation: got {augmentation!r}; use 'none', 'flips' or 'all'")
    if augmentation == "none":
        return [View((), False, offsets, ())]
    for offset in offsets:
        if offset is not None and sum(step != 0 for step in offset) > 1:
            raise PermanentError(
                f"test-time augmentation: the net's affinity with offset {offset} is not along one axis, so its "
                "mirror image is another one; use 'none'"
            )
    mirrored = [tuple(axis for axis in range(3) if flags[axis]) for flags in product((0, 1), repeat=3)]
    orders = [tuple(range(len(offsets)))] + ([_transposed_order(offsets)] if augmentation == "all" else [])
    return [View(axes, bool(number), offsets, order) for number, order in enumerate(orders) for axes in mirrored]


def _transposed_order(offsets: Offsets) -> tuple[int, ...]:
    """Where each channel is found when x and y have changed places."""
    order = []
    for number, offset in enumerate(offsets):
        wanted = None if offset is None else triple([offset[1], offset[0], offset[2]])
        if wanted is not None and wanted not in offsets:
            raise PermanentError(
                f"test-time augmentation: the net has no affinity with offset {wanted}, which {offset} becomes when x "
                "and y change places; use 'flips' or 'none'"
            )
        order.append(number if wanted is None else offsets.index(wanted))
    return tuple(order)


def _move(values: Floats, axis: int, steps: int) -> None:
    """Move values along an axis, in place; those that nothing is moved to stay."""
    size = values.shape[axis]
    if steps == 0 or abs(steps) >= size:
        return
    low, high = max(0, steps), size + min(0, steps)
    target = [slice(None)] * 3
    source = [slice(None)] * 3
    target[axis], source[axis] = slice(low, high), slice(low - steps, high - steps)
    values[tuple(target)] = values[tuple(source)].copy()

"""The patches a net runs on, and how their outputs become one volume.

Laws, tested in `tests/nets/test_patches.py`:

1. Chunked is whole. Patches lie on one grid for the whole run, anchored at the image's minimum corner. A
   box is made from *every* patch that overlaps it, added in grid order, so each voxel is the same sum of the
   same numbers whatever box it was asked for in: bit-identical.
2. A net that returns its input gives the volume back to 1e-6, at any stride and at the image's edges.

Weights follow Lee et al. 2017: `w = exp(-sum over axes of 1 / (1 - d^2))`, `d` in (-1, 1) the distance from the
patch's centre over half its size; the result is `sum(w p) / sum(w)`. The weight is a product over axes and
the grid is a product of axes, so `sum(w)` is one too, and each patch is given `w / sum(w)` at once, axis
by axis. The division is done on logarithms: `w` itself leaves float32 at a patch of 64 and float64 at 470.

Numpy only. Arrays are `(X, Y, Z)` or `(X, Y, Z, C)`; boxes are in voxels of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from seuron.box import Box, Triple, triple
from seuron.errors import PermanentError

Floats = npt.NDArray[np.floating]
Scalar = TypeVar("Scalar", bound=np.generic)

MANY_PATCHES = 64
"""Above this many patches over a voxel, sums are kept in float64: float32 would drift past 1e-6."""


@dataclass(frozen=True)
class PatchGrid:
    """The grid of a run: the same for each of its chunks.

    Patch `k` of an axis starts at `image.minimum - overlap // 2 + k (patch_size - overlap)`: the image's edge lies
    half an overlap inside its first patch, so edge voxels have as much context as those at a seam.

    Attributes:
        image: bounds of the run's image.
        patch_size: voxels along x, y, z.
        overlap: voxels shared by neighbouring patches along x, y, z.
    """

    image: Box
    patch_size: Triple
    overlap: Triple

    def __post_init__(self) -> None:
        if self.image.voxels == 0:
            raise PermanentError(f"patch grid: the image {self.image} is empty; give its bounds in voxels")
        if any(not 0 <= o < p for o, p in zip(self.overlap, self.patch_size, strict=True)):
            raise PermanentError(
                f"patch grid: got patch_size {self.patch_size}, overlap {self.overlap}; along each axis "
                "the overlap must be at least 0 and smaller than the patch"
            )

    @property
    def stride(self) -> Triple:
        """From one patch to the next, voxels."""
        return triple([p - o for p, o in zip(self.patch_size, self.overlap, strict=True)])

    @property
    def count(self) -> Triple:
        """How many patches along each axis: the least that cover the image."""
        rows = zip(self.image.shape, self.patch_size, self.overlap, self.stride, strict=True)
        return triple([1 + max(0, -(-(n + o // 2 - p) // s)) for n, p, o, s in rows])

    @property
    def accumulator(self) -> npt.DTypeLike:
        """What sums are kept in; fixed by the grid, never by the box, or law 1 would break."""
        rows = zip(self.patch_size, self.stride, strict=True)
        return np.float64 if np.prod([-(-p // s) for p, s in rows]) > MANY_PATCHES else np.float32

    def patch(self, index: Triple) -> Box:
        """The patch's box; it may stick out of the image."""
        rows = zip(self.image.minimum, self.overlap, index, self.stride, strict=True)
        return Box.from_shape([a - o // 2 + k * s for a, o, k, s in rows], self.patch_size)

    def overlapping(self, box: Box) -> Iterator[tuple[Triple, Box]]:
        """Every patch that shares a voxel with `box`, x fastest: the order in which they are added."""
        ranges = [self._indices(box, axis) for axis in range(3)]
        for z, y, x in product(ranges[2], ranges[1], ranges[0]):
            yield (x, y, z), self.patch((x, y, z))

    def _indices(self, box: Box, axis: int) -> range:
        origin = self.image.minimum[axis] - self.overlap[axis] // 2
        stride, size = self.stride[axis], self.patch_size[axis]
        first = (box.minimum[axis] - origin - size) // stride + 1
        last = (box.maximum[axis] - 1 - origin) // stride
        return range(max(0, first), min(self.count[axis] - 1, last) + 1)

    def weights(self, index: Triple) -> npt.NDArray[np.float64]:
        """`w / sum(w)` of a patch, `(X, Y, Z)`: over all patches they sum to 1 at each voxel."""
        x, y, z = (self._axis_weights(axis, index[axis]) for axis in range(3))
        return x[:, None, None] * y[None, :, None] * z[None, None, :]

    def _axis_weights(self, axis: int, index: int) -> npt.NDArray[np.float64]:
        size, stride, count = self.patch_size[axis], self.stride[axis], self.count[axis]
        places = np.arange(size)
        mine = _log_bump(places, size)
        total = np.zeros(size)
        for other in range(max(0, index - (size - 1) // stride), min(count, index + (size - 1) // stride + 1)):
            seen = places + (index - other) * stride
            inside = (seen >= 0) & (seen < size)
            total[inside] += np.exp(_log_bump(seen[inside], size) - mine[inside])
        weights: npt.NDArray[np.float64] = 1.0 / total
        return weights


def _log_bump(places: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.float64]:
    """`-1 / (1 - d^2)` at voxel centres of a patch of `size` voxels."""
    d = (places + 0.5) * (2.0 / size) - 1.0
    bump: npt.NDArray[np.float64] = -1.0 / (1.0 - d * d)
    return bump


def blend(
    grid: PatchGrid,
    box: Box,
    channels: int,
    values: Callable[[Box], npt.NDArray[np.float32]],
) -> npt.NDArray[np.float32]:
    """The blended volume inside `box`.

    Args:
        grid: the run's.
        box: what to compute; inside the image.
        channels: C of what `values` returns.
        values: for a patch's box, float32 `(*patch_size, C)`; a function of the patch only.

    Returns:
        float32 `(X, Y, Z, C)` of the box's shape, Fortran order.

    Raises:
        PermanentError: the box is empty or leaves the image.
    """
    if box.voxels == 0 or not grid.image.contains(box):
        raise PermanentError(f"box {box} is empty or leaves the image {grid.image}; choose a box inside it")
    sums = np.zeros((*box.shape, channels), grid.accumulator, order="F")
    for index, patch in grid.overlapping(box):
        shared = patch.intersect(box)
        there, here = shared.within(patch), shared.within(box)
        weights = grid.weights(index)[there].astype(grid.accumulator)
        # The product is rounded before it is added: one rounding for every order of axes and shape of cut.
        sums[here] += values(patch)[there] * weights[..., None]
    return sums.astype(np.float32, copy=False)


def cut_patch(region: npt.NDArray[Scalar], covers: Box, patch: Box, image: Box) -> npt.NDArray[Scalar]:
    """A patch's input: the image's voxels, mirrored only where the patch leaves the image.

    Args:
        region: `(X, Y, Z)`, voxels of `covers`, which holds all of the patch that is in the image.
        covers: the box of `region`.
        patch: what to cut out.
        image: bounds of the run's image.

    Returns:
        `(X, Y, Z)` of the patch's shape. It depends on the patch and the image, not on `covers`.
    """
    inside = patch.intersect(image)
    cut = region[inside.within(covers)]
    if inside == patch:
        return cut
    before = [a - b for a, b in zip(inside.minimum, patch.minimum, strict=True)]
    after = [b - a for a, b in zip(inside.maximum, patch.maximum, strict=True)]
    # np.pad mirrors again and again where the patch sticks out by more than the image has.
    return np.pad(cut, list(zip(before, after, strict=True)), mode="symmetric")


def needed_region(grid: PatchGrid, box: Box) -> Box:
    """The part of the image that the patches of `box` see: what to read for it."""
    patches = [patch for _, patch in grid.overlapping(box)]
    low = [min(patch.minimum[axis] for patch in patches) for axis in range(3)]
    high = [max(patch.maximum[axis] for patch in patches) for axis in range(3)]
    return Box(triple(low), triple(high)).intersect(grid.image)

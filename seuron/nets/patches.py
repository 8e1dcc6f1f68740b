"""The patches a net runs on, and how their outputs become one volume.

Laws, tested in `tests/nets/test_patches.py`:

1. Chunked is whole. Patches lie on one grid, anchored at the image's minimum corner. What a patch adds to a voxel is
   an integer, so sums are exact: they are the same in any order, and in any parts that are added later. Whoever
   computes a patch may be chosen freely, and each is computed once.
2. A net that returns its input gives the volume back to 1e-6, at any stride and at the image's edges.

Each patch has a *share* in each voxel that it reaches; over all patches the shares of a voxel sum to one. Two ways:

- `blend`: shares follow the weights of Lee et al. 2017, `w = exp(-sum over axes of 1 / (1 - d^2))`, `d` in (-1, 1) the
  distance from the patch's centre over half its size: `w / sum(w)`. The weight is a product over axes and the grid is
  a product of axes, so shares are products of shares along axes. The division is done on logarithms: `w` itself leaves
  float32 at a patch of 64 and float64 at 470.
- `crop`: the patch whose middle is nearest has all of it.

Numpy only. Images are `(X, Y, Z)`, outputs `(K, X, Y, Z)`, K the channels; boxes are in voxels of the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, log2
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from seuron.box import Box, Triple, triple
from seuron.errors import PermanentError

Floats = npt.NDArray[np.float32]
Sums = npt.NDArray[np.int32]
Scalar = TypeVar("Scalar", bound=np.generic)
Blending = Literal["blend", "crop"]

#: Of an axis with at most so many patches, these are made smaller until they cover it with little to spare. A longer
#: axis keeps its patches when the image grows.
FITTED_PATCHES = 8
#: Bits of a sum beside its sign, of which the shares of a voxel may take one more than all of it.
SUM_BITS = 30


@dataclass(frozen=True)
class PatchGrid:
    """The grid of an image: the same for every part of it.

    Of a patch, the output of `margin` voxels at each face is not used. What is left of it, its *output*, begins at
    `image.minimum + k (patch_size - overlap)` along each axis for patch `k`.

    Attributes:
        image: bounds of the image.
        patch_size: voxels that a patch sees, along x, y, z.
        overlap: voxels shared by neighbouring patches along x, y, z.
        margin: voxels at each face of a patch whose output is not used.
        blending: `blend` or `crop`.
    """

    image: Box
    patch_size: Triple
    overlap: Triple
    margin: Triple = (0, 0, 0)
    blending: Blending = "blend"

    def __post_init__(self) -> None:
        if self.image.voxels == 0:
            raise PermanentError(f"patch grid: the image {self.image} is empty; give its bounds in voxels")
        rows = zip(self.patch_size, self.overlap, self.margin, strict=True)
        if any(not 0 <= 2 * m <= o < p for p, o, m in rows):
            raise PermanentError(
                f"patch grid: got patch_size {self.patch_size}, overlap {self.overlap}, margin {self.margin}; along "
                "each axis the overlap must be at least twice the margin, and smaller than the patch"
            )

    @classmethod
    def fitted(
        cls,
        image: Box,
        largest: Triple,
        overlap: Triple,
        *,
        step: Triple = (1, 1, 1),
        least: Triple = (1, 1, 1),
        margin: Triple = (0, 0, 0),
        blending: Blending = "blend",
    ) -> PatchGrid:
        """The grid of patches no larger than `largest` that pays for little beyond the image.

        Patches are `least` and whole `step`s more. An axis of few patches has no more of them than with `largest`
        ones, and as small as they may be; so five sections do not pay for 96.
        """
        rows = zip(image.shape, largest, overlap, step, least, margin, strict=True)
        sides = [_fitted_side(*row) for row in rows]
        return cls(image, triple([p for p, _ in sides]), triple([o for _, o in sides]), margin, blending)

    @property
    def stride(self) -> Triple:
        """From one patch to the next, voxels."""
        return triple([p - o for p, o in zip(self.patch_size, self.overlap, strict=True)])

    @property
    def output_size(self) -> Triple:
        """Voxels of a patch's output."""
        return triple([p - 2 * m for p, m in zip(self.patch_size, self.margin, strict=True)])

    @property
    def count(self) -> Triple:
        """How many patches along each axis: the least that cover the image."""
        rows = zip(self.image.shape, self.output_size, self.stride, strict=True)
        return triple([1 + max(0, -(-(n - q) // s)) for n, q, s in rows])

    @property
    def patches_per_voxel(self) -> float:
        """How many voxels the net computes for one of the image."""
        computed = np.prod([float(n * p) for n, p in zip(self.count, self.patch_size, strict=True)])
        return float(computed / self.image.voxels)

    def patch(self, index: Triple) -> Box:
        """What a patch sees; it may stick out of the image."""
        rows = zip(self.image.minimum, self.margin, index, self.stride, strict=True)
        return Box.from_shape([a - m + k * s for a, m, k, s in rows], self.patch_size)

    def patches(self, indices: Box) -> Box:
        """What the patches of a box of indices see together, in the image."""
        last = triple([i - 1 for i in indices.maximum])
        return self.patch(indices.minimum).hull(self.patch(last)).intersect(self.image)

    def reach(self, index: Triple) -> Box:
        """Where a patch has a share: its output, or of `crop` the part of it that is its own."""
        ends = [self.axis_reach(axis, k) for axis, k in enumerate(index)]
        return Box(triple([low for low, _ in ends]), triple([high for _, high in ends]))

    def axis_reach(self, axis: int, index: int) -> tuple[int, int]:
        """`reach` along one axis."""
        low = self.image.minimum[axis] + index * self.stride[axis]
        if self.blending == "blend":
            return low, low + self.output_size[axis]
        after = index < self.count[axis] - 1
        end = self.core_start(axis, index + 1) if after else low + self.output_size[axis]
        return self.core_start(axis, index), end

    def core_start(self, axis: int, index: int) -> int:
        """Where a patch's own part begins along an axis: in the middle of what it shares with the patch before."""
        shared = self.overlap[axis] - 2 * self.margin[axis]
        return self.image.minimum[axis] + index * self.stride[axis] + (shared // 2 if index else 0)

    def axis_meeting(self, axis: int, low: int, high: int) -> range:
        """The patches along an axis that have a share in a voxel of `low` to `high`, which lie in the image."""
        start, stride, count = self.image.minimum[axis], self.stride[axis], self.count[axis]
        first = max(0, (low - start - self.output_size[axis]) // stride + 1)
        last = min(count - 1, (high - 1 - start) // stride)
        while first < last and self.axis_reach(axis, first)[1] <= low:
            first += 1
        while last > first and self.axis_reach(axis, last)[0] >= high:
            last -= 1
        return range(first, last + 1)

    def meeting(self, box: Box) -> Box:
        """The indices of all patches that have a share in a voxel of `box`, which lies in the image."""
        ranges = [self.axis_meeting(axis, box.minimum[axis], box.maximum[axis]) for axis in range(3)]
        return Box(triple([r.start for r in ranges]), triple([r.stop for r in ranges]))

    def shares(self, index: Triple, box: Box) -> Floats:
        """A patch's shares in the voxels of a box that it reaches all of, `(X, Y, Z)`, 0 to 1."""
        parts = []
        for axis, k in enumerate(index):
            start = self.image.minimum[axis] + k * self.stride[axis]
            parts.append(self._axis_shares(axis, k)[box.minimum[axis] - start : box.maximum[axis] - start])
        x, y, z = parts
        shares: Floats = x[:, None, None] * y[None, :, None] * z[None, None, :]
        return shares

    def _axis_shares(self, axis: int, index: int) -> Floats:
        """A patch's shares along an axis, over its output."""
        if self.blending == "crop":
            return np.ones(self.output_size[axis], np.float32)
        stride, count = self.stride[axis], self.count[axis]
        overlapping = (self.output_size[axis] - 1) // stride
        before, after = min(index, overlapping), min(count - 1 - index, overlapping)
        return _bump_shares(self.output_size[axis], stride, before, after)


def _fitted_side(n: int, largest: int, overlap: int, step: int, least: int, margin: int) -> tuple[int, int]:
    """Voxels of a patch, and of its overlap, along an axis of `n` voxels."""
    count = 1 + max(0, -(-(n - (largest - 2 * margin)) // (largest - overlap)))
    if count > FITTED_PATCHES:
        return largest, overlap
    shared = overlap - 2 * margin
    needed = -(-(n + (count - 1) * shared) // count) + 2 * margin
    side = min(largest, least + -(-max(0, needed - least) // step) * step)
    return side, min(overlap, side - 1) if count == 1 else overlap


@lru_cache(maxsize=256)
def _bump_shares(size: int, stride: int, before: int, after: int) -> Floats:
    """The shares along an axis of a patch with so many others before and after it that overlap it."""
    places = np.arange(size)
    mine = _log_bump(places, size)
    total = np.zeros(size)
    for other in range(-before, after + 1):
        seen = places - other * stride
        inside = (seen >= 0) & (seen < size)
        total[inside] += np.exp(_log_bump(seen[inside], size) - mine[inside])
    return (1.0 / total).astype(np.float32)


def _log_bump(places: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.float64]:
    """`-1 / (1 - d^2)` at voxel centres of a patch of `size` voxels."""
    d = (places + 0.5) * (2.0 / size) - 1.0
    bump: npt.NDArray[np.float64] = -1.0 / (1.0 - d * d)
    return bump


@dataclass(frozen=True)
class FixedPoint:
    """Numbers of a range as integers, so that sums of their shares are exact and fit into 32 bits.

    Attributes:
        low, high: the range of the numbers.
    """

    low: float
    high: float

    @property
    def scale(self) -> float:
        """The integer that 1 becomes: the largest power of two that keeps the range in `SUM_BITS` bits."""
        return float(2.0 ** (SUM_BITS - max(-SUM_BITS, ceil(log2(max(abs(self.low), abs(self.high)))))))

    def add(self, sums: Sums, values: Floats, shares: Floats) -> None:
        """Add `round(share * value * scale)` to sums, each `(K, X, Y, Z)`, with shares `(X, Y, Z)`."""
        weights = shares * np.float32(self.scale)
        part = np.empty(values.shape[1:], np.float32)
        for channel, total in zip(values, sums, strict=True):  # one channel at a time stays in the cache
            np.multiply(channel, weights, out=part)
            np.rint(part, out=part)
            total += part.astype(np.int32)

    def numbers(self, sums: Sums) -> Floats:
        """The numbers that sums stand for, float32."""
        found: Floats = np.multiply(sums, np.float32(1 / self.scale), dtype=np.float32)
        return found


def cut_patch(region: npt.NDArray[Scalar], covers: Box, patch: Box, image: Box) -> npt.NDArray[Scalar]:
    """A patch's input: the image's voxels, mirrored only where the patch leaves the image.

    Args:
        region: `(X, Y, Z)`, voxels of `covers`, which holds all of the patch that is in the image.
        covers: the box of `region`.
        patch: what to cut out.
        image: bounds of the image.

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


def boxes_outside(outer: Box, inner: Box) -> Iterator[Box]:
    """The voxels of a box that are not in another, as boxes that do not overlap: six at most."""
    inner = outer.intersect(inner)
    if inner.voxels == 0:
        if outer.voxels:
            yield outer
        return
    left = outer
    for axis in (2, 1, 0):
        low, high = list(left.minimum), list(left.maximum)
        a, b = inner.minimum[axis], inner.maximum[axis]
        sides = [(low[axis], a), (b, high[axis])]
        for start, end in sides:
            if start < end:
                low[axis], high[axis] = start, end
                yield Box(triple(low), triple(high))
        low[axis], high[axis] = a, b
        left = Box(triple(low), triple(high))

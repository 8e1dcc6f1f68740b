"""Labels that are stored as floats as integers, and grey values of more than 8 bits as uint8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box
from seuron.errors import DataError, VolumeError
from seuron.volumes.sources.source import SourceVolume

#: Percentiles of the samples that become 0 and 255, as microscopes' detectors have hot and dead pixels.
PERCENTILES = (0.1, 99.9)
#: Samples are cubes of this edge, in the middle of each of 4 x 4 x 4 parts of the volume.
SAMPLE_EDGE, SAMPLES_PER_AXIS = 32, 4
#: Floats hold every whole number up to here.
LARGEST_WHOLE = {"float16": 2**11, "float32": 2**24, "float64": 2**53}


def as_labels(source: SourceVolume) -> SourceVolume:
    """A source whose floats are labels, as integers: uint32, or uint64 for float64; others are given back as they are.

    Reading raises DataError for a value that is no whole number, is below 0, or is larger than its type holds exactly.
    """
    if source.dtype.kind != "f":
        return source
    dtype = np.dtype(np.uint64 if source.dtype.itemsize > 4 else np.uint32)
    largest = LARGEST_WHOLE.get(source.dtype.name, 2**53)

    def read(box: Box) -> NDArray[np.generic]:
        voxels = source.read(box)
        wrong = ~((voxels >= 0) & (voxels <= largest) & (voxels == np.floor(voxels)))
        if wrong.any():
            raise DataError(
                f"{source.name} holds {voxels[wrong][0]:g} in {box}, and labels are whole numbers from 0 to {largest} "
                f"in {source.dtype}: is it an image? Then say --kind image"
            )
        return voxels.astype(dtype)

    note = f"labels are stored as {source.dtype} and become {dtype}"
    return replace(source, dtype=dtype, read=read, notes=(*source.notes, note))


def grey_window(source: SourceVolume) -> tuple[float, float]:
    """The values that become 0 and 255: percentiles of samples spread over all axes, without what is 0 or not finite.

    Zeros are left out where there are other values, as they are padding and say nothing of the tissue. Raises
    DataError where nothing is left.
    """
    values = np.concatenate([source.read(box).ravel() for box in _samples(source)]).astype(np.float64)
    values = values[np.isfinite(values)]
    values = values[values != 0] if (values != 0).any() else values
    if not values.size or values.min() == values.max():
        raise DataError(f"{source.name}: its samples have no contrast to choose a window by; give --window LOW,HIGH")
    low, high = (float(value) for value in np.percentile(values, PERCENTILES))
    return (low, high) if low < high else (float(values.min()), float(values.max()))


def _samples(source: SourceVolume) -> Iterator[Box]:
    whole = Box((0, 0, 0), source.shape)
    counts = [min(SAMPLES_PER_AXIS, -(-size // SAMPLE_EDGE)) for size in source.shape]
    for index in product(*map(range, counts)):
        places = zip(source.shape, counts, index, strict=True)
        start = [max(0, (2 * i + 1) * size // (2 * count) - SAMPLE_EDGE // 2) for size, count, i in places]
        yield Box.from_shape(start, (SAMPLE_EDGE,) * 3).intersect(whole)


def as_grey(source: SourceVolume, window: tuple[float, float]) -> SourceVolume:
    """A source whose grey values are uint8: `window` becomes 0 to 255, what is outside of it the nearer of both.

    Raises VolumeError for a window without width. NaN becomes 0.
    """
    low, high = (float(value) for value in window)
    if not (isfinite(low) and isfinite(high) and low < high):
        raise VolumeError(f"--window must be two finite numbers, the lower one first, got {low:g},{high:g}")

    def read(box: Box) -> NDArray[np.uint8]:
        voxels = source.read(box)
        wide: NDArray[Any] = voxels.astype(np.float32 if voxels.dtype.itemsize <= 2 else np.float64)
        scaled: NDArray[Any] = np.nan_to_num((wide - low) * (255 / (high - low)), nan=0.0, posinf=255.0, neginf=0.0)
        grey: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
        return grey

    note = f"grey values from {low:g} to {high:g} become 0 to 255"
    return replace(source, dtype=np.dtype(np.uint8), read=read, notes=(*source.notes, note))

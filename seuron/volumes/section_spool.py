"""Whole sections on this machine's disk, which are cut there into boxes: for formats that give sections only.

A block of a layer takes 64 sections, and a compressed section of 20,000 x 20,000 pixels is decoded as a whole. Memory
holds no 64 of them. So each is decoded once, written to a file without a name, and read from there row by row.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box
from seuron.volumes.sources.source import SourceVolume


@contextmanager
def section_spool(
    source: SourceVolume, first: int, count: int, at_once: int
) -> Iterator[Callable[[Box], NDArray[Any]]]:
    """A `read` like the source's, for its sections from `first` on, `count` of them, each of which is decoded once.

    `at_once` is how many bytes are decoded together, where a stored block is several sections thick.
    Raises OSError where the disk has no room for them, before anything is read.
    """
    (width, height, _), channels = source.shape, source.channels
    row = width * channels * source.dtype.itemsize

    def read(box: Box) -> NDArray[Any]:
        (x0, y0, z0), (x1, y1, z1) = box.minimum, box.maximum
        voxels = np.empty((*box.shape, channels), source.dtype, order="F")
        for z in range(z0, z1):
            start = ((z - first) * height + y0) * row
            rows = np.frombuffer(os.pread(file.fileno(), (y1 - y0) * row, start), source.dtype)
            voxels[:, :, z - z0] = rows.reshape(y1 - y0, width, channels)[:, x0:x1].transpose(1, 0, 2)
        return voxels

    with tempfile.TemporaryFile(prefix="seuron-sections-") as file:
        os.posix_fallocate(file.fileno(), 0, row * height * count)
        step = max(1, min(1 if source.blocks is None else source.blocks[2], at_once // (row * height)))
        for _, part in Box((0, 0, first), (width, height, first + count)).cells((width, height, step)):
            # Rows of x with their channels, so that some rows are one piece of the file.
            file.write(np.ascontiguousarray(source.read(part).transpose(2, 1, 0, 3)).data)
        file.flush()
        yield read

"""Room on this machine's disk for what a task has no memory for: folders, and arrays."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from seuron.storage import Storage


@contextmanager
def scratch_folders() -> Iterator[Iterator[Storage]]:
    """Empty folders on this machine's disk, which are gone afterwards."""
    with ExitStack() as stack:
        folders = (stack.enter_context(tempfile.TemporaryDirectory(prefix="seuron-round-")) for _ in count())
        yield (Storage(folder, durable=False) for folder in folders)


def on_disk(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Zeros in a file without a name, which is gone with the array; called as `numpy.zeros` is.

    The system keeps of it in memory what there is room for, and what is used. Its disk space is taken at once:
    raises OSError where there is not enough.
    """
    size = math.prod((shape,) if isinstance(shape, int) else shape) * np.dtype(dtype).itemsize
    if size == 0:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(prefix="seuron-array-") as file:
        os.posix_fallocate(file.fileno(), 0, size)  # a hole that finds no room later would kill the process
        return np.asarray(np.memmap(file, dtype, "r+", shape=shape))

"""Arrays of files that are mapped into memory, of which no more is held than the part that was read last."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.errors import VolumeError
from seuron.volumes.sources.grey_values import ToGrey


def mapped_array(
    name: str, file: Any, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int, *, fortran: bool
) -> NDArray[Any]:
    """An array of a file, mapped into memory. Raises VolumeError where the file ends before the array does."""
    try:
        return np.memmap(file, dtype, "r", offset, shape, order="F" if fortran else "C")
    except ValueError as error:
        raise VolumeError(
            f"{name} is cut off: it holds fewer bytes than {shape} {dtype} ({error}); copy it again"
        ) from error


def release(array: Any) -> None:
    """Give back the memory that reading a mapped array has filled; a part that is still in use is read again."""
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    if array is not None and hasattr(mmap, "MADV_DONTNEED"):
        array.madvise(mmap.MADV_DONTNEED)


class MappedArray:
    """An array whose parts are read as they are asked for, become grey values, and are of this machine's byte order."""

    def __init__(self, array: Any, grey: ToGrey | None = None, dtype: np.dtype[Any] | None = None) -> None:
        self._array, self._grey = array, grey
        self.shape, self.dtype = tuple(array.shape), dtype or np.dtype(array.dtype).newbyteorder("=")

    def __getitem__(self, index: Any) -> NDArray[Any]:
        release(self._array)
        part = np.asarray(self._array[index])
        return part if self._grey is None else self._grey(part)

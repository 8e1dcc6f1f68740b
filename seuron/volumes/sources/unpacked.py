"""Arrays that are mapped into memory; those inside compressed files are unpacked to a file without a name before.

That file lies in the folder for temporary files (`TMPDIR`), takes no memory, and is gone when it is closed.
"""

from __future__ import annotations

import gzip
import mmap
import shutil
import tempfile
import zipfile
import zlib
from contextlib import ExitStack
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from seuron.errors import VolumeError

#: Bytes that are copied at once.
PART_BYTES = 16 << 20


def unpacked(name: str, packed: IO[bytes]) -> IO[bytes]:
    """A temporary file with all that `packed` gives, at its beginning.

    Raises VolumeError where the packed data is damaged, or the disk is full.
    """
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile(prefix="seuron-unpacked-"))
        try:
            shutil.copyfileobj(packed, file, PART_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            raise VolumeError(f"{name} is cut off or damaged ({error}); copy it again") from error
        except OSError as error:
            raise VolumeError(
                f"{name} could not be unpacked to {tempfile.gettempdir()} ({error}); give a folder with room as $TMPDIR"
            ) from error
        file.seek(0)
        stack.pop_all()
        return file


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


def let_go(mapped: NDArray[Any]) -> None:
    """Have a mapped file's pages leave this process's memory, so that what was read of a large file does not add up.

    Arrays that are views of it read them again, from the system's cache as long as that holds them.
    """
    file: Any = mapped.base
    if isinstance(file, mmap.mmap):
        file.madvise(mmap.MADV_DONTNEED)

"""Arrays inside compressed files that can only be read from their beginning: unpacked to a file without a name.

It lies in the folder for temporary files (`TMPDIR`), takes no memory, and is gone when it is closed.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zipfile
import zlib
from contextlib import ExitStack
from typing import IO

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

"""What the operating system refuses, in a sentence: the path, the reason, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seuron.errors import StorageError

_ROOM = "free some space, or choose a folder on another disk; then give the command again"
_RIGHTS = "choose a folder that you may write to, or have its rights changed"
_PLACE = "a file lies where a folder has to be; choose another folder"
#: What to do, by the number of the error.
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "raise the largest size that files may have here (`ulimit -f`), then give the command again",
    errno.EROFS: _RIGHTS,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.ENOTDIR: _PLACE,
    errno.EEXIST: _PLACE,
    errno.EISDIR: "a folder lies where a file has to be; remove it",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.EIO: "check the disk",
    errno.ESTALE: "mount the file system again",
}


def is_of_system(error: OSError) -> bool:
    """Whether the state of this machine's disks and folders is the cause, and no fault of the program."""
    return error.errno in _REMEDIES


def sentence(error: OSError, path: str) -> str:
    """The error as a message for users; `path` may be empty where the system does not say which file it is."""
    return f"{path}{': ' if path else ''}{error.strerror}; {_REMEDIES[error.errno or 0]}"


@contextmanager
def named_errors(path: str | Path) -> Iterator[None]:
    """Raise StorageError in place of what the system says of a file, which need not name it."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        if not is_of_system(error):
            raise
        raise StorageError(sentence(error, str(path))) from error

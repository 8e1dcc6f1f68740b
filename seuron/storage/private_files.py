"""Folders and files that nobody but their owner can open, whatever the umask and whoever may write beside them.

A folder that all users may write to, such as /tmp, may hold a symbolic link or another user's folder under the name
that is meant: nothing here follows the one or uses the other.
"""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from seuron.errors import RunError

FOLDER_MODE, FILE_MODE = 0o700, 0o600
#: Of processes that write nothing but the state folder.
PRIVATE_UMASK = 0o077


def private_folder(path: Path, owner: str | None = None) -> Path:
    """The folder, mode 0700, made where it is not there; `owner` is a system user it is given to (as root only).

    Raises RunError where something else has that name: a file, a symbolic link, another user's folder.
    """
    with suppress(FileExistsError):
        path.mkdir(mode=FOLDER_MODE)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise _refusal(path, os.strerror(error.errno or 0)) from error
    try:
        found = os.fstat(descriptor)
        user = pwd.getpwnam(owner) if owner is not None else None
        if found.st_uid not in {os.geteuid(), user.pw_uid if user else os.geteuid()}:
            raise _refusal(path, f"it belongs to the user {found.st_uid}")
        if user is not None:
            os.fchown(descriptor, user.pw_uid, user.pw_gid)
        os.fchmod(descriptor, FOLDER_MODE)
    finally:
        os.close(descriptor)
    return path


def _refusal(path: Path, why: str) -> RunError:
    return RunError(
        f"{path} is not a folder that only this user can open ({why}); remove it, or name another folder "
        "(those for temporary files are in the one of the variable TMPDIR)"
    )


def runtime_folder() -> Path:
    """This user's own folder among the temporary files, for locks that several deployments share."""
    return private_folder(Path(tempfile.gettempdir()) / f"seuron-{os.getuid()}")


def open_private(path: Path, flags: int) -> int:
    """A descriptor of a file, made with mode 0600 where it is not there; raises OSError for a symbolic link."""
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)


def emptied(path: Path) -> IO[bytes]:
    """A file to write to, empty from now on, which its owner alone can read; raises OSError for a symbolic link."""
    descriptor = open_private(path, os.O_WRONLY | os.O_TRUNC)
    os.fchmod(descriptor, FILE_MODE)
    return os.fdopen(descriptor, "wb")


def open_log(path: Path) -> int:
    """A descriptor that appends to a log, which its owner alone can read from now on."""
    descriptor = open_private(path, os.O_WRONLY | os.O_APPEND)
    os.fchmod(descriptor, FILE_MODE)
    return descriptor


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with os.fdopen(open_private(partial, os.O_WRONLY | os.O_TRUNC), "w") as file:
        file.write(text)
    partial.replace(path)


def restrict(folder: Path) -> None:
    """Take from a state folder what others may do there.

    As root its group may still pass through: the database then runs as another user, whose group it is.
    """
    mode = stat.S_IMODE(folder.stat().st_mode)
    allowed = mode & (0o710 if os.geteuid() == 0 else FOLDER_MODE)
    if mode != allowed:
        folder.chmod(allowed)

"""Files by name under one path, on this machine or in an object store.

cloud-files gives every scheme (`file://`, `gs://`, `s3://`, `mem://`). What it does not give
is a local write that is whole or absent: it truncates and then fills the file, so a reader or a
killed writer can leave half of it. Local writes here go to a temporary name and are renamed;
object stores have that property already.
"""

from __future__ import annotations

import gzip
import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudfiles import CloudFiles

#: Fast and good enough: labels are already packed before gzip sees them.
GZIP_LEVEL = 4


def cloud_path(path: str | Path) -> str:
    """The path with its scheme: a bare path means a file on this machine, made absolute."""
    text = str(path).removeprefix("precomputed://").rstrip("/")
    if "://" in text and not text.startswith("file://"):
        return text
    return "file://" + os.path.abspath(os.path.expanduser(text.removeprefix("file://")))


def local_folder(path: str | Path) -> Path | None:
    """The folder that a `file://` path names; None for an object store."""
    full = cloud_path(path)
    return Path(full.removeprefix("file://")) if full.startswith("file://") else None


def join(path: str | Path, *names: str) -> str:
    """`names` below `path`, as a cloud path."""
    return "/".join([cloud_path(path), *names])


class Storage:
    """The files below one path."""

    def __init__(self, path: str | Path) -> None:
        self.path = cloud_path(path)
        self._folder = local_folder(path)

    def _cloud(self) -> CloudFiles:
        from cloudfiles import CloudFiles  # 0.5 s of import that many callers never need

        return CloudFiles(self.path, progress=False, num_threads=4)

    def get(self, name: str) -> bytes | None:
        """The file's content; None when there is no such file."""
        if self._folder is None:
            content: bytes | None = self._cloud().get(name)
            return content
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def local(self, name: str) -> Path | None:
        """Where a file lies on this machine; None in an object store, or when there is no such file."""
        path = None if self._folder is None else self._folder / name
        return path if path is not None and path.exists() else None

    def put(self, name: str, content: bytes, *, compress: bool = False) -> int:
        """Write a file whole or not at all; returns the bytes stored.

        `compress` stores it gzipped the way precomputed volumes expect: as `name.gz` on a file
        system, as a Content-Encoding in an object store. The gzip header carries no time, so
        equal content gives equal bytes.
        """
        if compress:
            content = gzip.compress(content, compresslevel=GZIP_LEVEL, mtime=0)
        if self._folder is None:
            self._cloud().put(
                name, content, compress="gzip" if compress else None, raw=compress, cache_control="no-cache"
            )
            return len(content)
        target = self._folder / (name + ".gz" if compress else name)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.parent / f".{target.name}.{uuid.uuid4().hex[:12]}.partial"
        try:
            partial.write_bytes(content)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return len(content)

    def names(self, folder: str = "") -> list[str]:
        """Names of the finished files and folders directly in `folder`, sorted; none when it does not exist.

        They begin with `folder`, so that `get` takes them as they are. A folder ends in `/`.
        """
        if self._folder is None:
            return sorted(self._cloud().list(folder, flat=True))
        below = self._folder / folder
        if not below.is_dir():
            return []
        return sorted(folder + path.name for path in below.iterdir() if not path.name.endswith(".partial"))

    def free_bytes(self) -> int | None:
        """Free space of the file system; None where that has no meaning (object stores)."""
        if self._folder is None:
            return None
        folder = self._folder
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free

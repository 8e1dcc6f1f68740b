"""Files by name under one path, on this machine or in an object store.

cloud-files gives every scheme (`file://`, `gs://`, `s3://`, `mem://`). What it does not give
is a local write that is whole or absent: it truncates and then fills the file, so a reader or a
killed writer can leave half of it. Local writes here go to a temporary name, are flushed to the disk and renamed, and
the folder is flushed, so that a power cut leaves the file before or the one after; object stores have that property
already. What the system refuses (a full disk, missing rights) is a StorageError that names the path.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tempfile
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from seuron.errors import PermanentError
from seuron.storage.allowed_paths import check_address
from seuron.storage.cloud_paths import cloud_path, local_folder
from seuron.storage.private_files import FILE_MODE, FOLDER_MODE
from seuron.storage.system_errors import named_errors

if TYPE_CHECKING:
    from cloudfiles import CloudFiles

#: Fast and good enough: labels are already packed before gzip sees them.
GZIP_LEVEL = 4
#: What goes to an object store is on this machine's disk until it is sent, and what comes from one is read by parts, if
#: it is larger than this.
SPOOLED_BYTES = 2**26
#: What cloud-files puts behind the names of compressed files on a file system.
SUFFIXES = ("", ".gz", ".br", ".zstd", ".xz", ".bz2")


def decoding_errors() -> tuple[type[Exception], ...]:
    """What reading raises for content that cannot be decompressed or decoded; errors of networks are none of these."""
    from cloudfiles.exceptions import DecompressionError
    from deflate import DeflateError

    return (DecompressionError, DeflateError, ValueError, EOFError, zlib.error)


class Storage:
    """The files below one path; `private` ones on this machine can be read by their owner only.

    What is written need not survive a power cut where it is not `durable`: scratch files, locks.
    """

    def __init__(self, path: str | Path, *, private: bool = False, durable: bool = True) -> None:
        self.path = cloud_path(path)
        self._private = private
        self._folder = local_folder(path)
        self._durable = durable

    def _cloud(self) -> CloudFiles:
        check_address(self.path)
        from cloudfiles import CloudFiles  # 0.5 s of import that many callers never need
        from cloudfiles.exceptions import UnsupportedProtocolError
        from cloudfiles.paths import extract

        try:
            extract(self.path)  # CloudFiles takes what it does not know for a folder of this machine
            return CloudFiles(self.path, progress=False, num_threads=4)
        except UnsupportedProtocolError as error:
            raise PermanentError(
                f"{self.path}: no storage is known by {self.path.partition('://')[0]}://; give a folder of this "
                "machine, or a path that begins with gs:// or s3://"
            ) from error

    def get(self, name: str) -> bytes | None:
        """The file's content; None when there is no such file."""
        if self._folder is None:
            content: bytes | None = self._cloud().get(name)
            return content
        path = self._folder / name
        try:
            with named_errors(path):
                return path.read_bytes()
        except FileNotFoundError:
            return None

    def get_range(self, name: str, start: int, size: int) -> bytes | None:
        """`size` bytes of a file from `start` on, fewer where it ends before; None when there is no such file."""
        if self._folder is None:
            content: bytes | None = self._cloud().get({"path": name, "start": start, "end": start + size})
            # Some web servers send all of a file, whatever part of it they are asked for.
            return content if content is None or len(content) <= size else content[start : start + size]
        path = self._folder / name
        try:
            with named_errors(path), path.open("rb") as file:
                file.seek(start)
                return file.read(size)
        except FileNotFoundError:
            return None

    def get_all(self, names: Sequence[str]) -> dict[str, bytes | None]:
        """The contents of many files, None for those that there are not; an object store is asked for all at once."""
        if self._folder is None:
            found = self._cloud().get(list(names)) if names else []
            for result in found:
                if result["error"] is not None:
                    raise result["error"]
            return {result["path"]: result["content"] for result in found}
        return {name: self.get(name) for name in names}

    def size(self, name: str) -> int | None:
        """Bytes of a file; None when there is no such file."""
        if self._folder is None:
            size: int | None = self._cloud().size(name)
            return size
        try:
            with named_errors(self._folder / name):
                return (self._folder / name).stat().st_size
        except FileNotFoundError:
            return None

    def local(self, name: str) -> Path | None:
        """Where a file lies on this machine; None in an object store, or when there is no such file."""
        path = None if self._folder is None else self._folder / name
        return path if path is not None and path.exists() else None

    def reading(self, name: str) -> IO[bytes] | None:
        """A file to read parts of, which memory need not hold; None when there is no such file."""
        if self._folder is not None:
            path = self._folder / name
            try:
                with named_errors(path):
                    return path.open("rb")
            except FileNotFoundError:
                return None
        cloud = self._cloud()
        size: int | None = cloud.size(name)
        if size is None:
            return None
        if size > SPOOLED_BYTES:
            return io.BufferedReader(_Ranges(cloud, name, size))
        content: bytes = cloud.get(name)
        return io.BytesIO(content)

    def stored(self, name: str) -> bytes | None:
        """The bytes of a block's file as they are stored, still compressed; None when there is none.

        On a file system the file may be called `name` or have one of `SUFFIXES` behind it.
        """
        if self._folder is None:
            content: bytes | None = self._cloud().get(name, raw=True)
            return content
        found = (self.get(name + suffix) for suffix in SUFFIXES)
        return next((content for content in found if content is not None), None)

    def digest(self, name: str) -> str | None:
        """What the digest of a file's content has to be (`digest_of_file`); None where nothing says it."""
        return None

    def versions(self, names: Sequence[str]) -> list[str | None]:
        """For each block's file what changes when it is written anew; None where there is no file.

        That is name, size and time of a file, and what an object store tells of an object: size, entity tag,
        checksum. Nothing is read, but where a store tells neither tag nor checksum nor time.
        """
        if self._folder is not None:
            return [self._file_version(self._folder, name) for name in names]
        cloud = self._cloud()
        exist = cloud.exists(names)
        heads = cloud.head([name for name in names if exist[name]])
        return [self._object_version(name, heads[name]) if exist[name] else None for name in names]

    def _file_version(self, folder: Path, name: str) -> str | None:
        for suffix in SUFFIXES:
            try:
                with named_errors(folder / name):
                    status = (folder / (name + suffix)).stat()
            except FileNotFoundError:
                continue
            return f"{name}{suffix} {status.st_size} {status.st_mtime_ns}"
        return None

    def _object_version(self, name: str, head: Mapping[str, Any]) -> str:
        told = [head.get(word) for word in ("ETag", "Content-Md5", "Last-Modified")]
        content = (self.stored(name) or b"") if not any(told) else b""
        return f"{name} {head.get('Content-Length')} {told} {hashlib.sha256(content).hexdigest() if content else ''}"

    def delete(self, names: Sequence[str], *, blocks: bool = False) -> None:
        """Remove files; what is not there is no error. `blocks` are found with any suffix, as by `stored`."""
        if self._folder is not None:
            for name in (name + suffix for name in names for suffix in (SUFFIXES if blocks else ("",))):
                with named_errors(self._folder / name):
                    (self._folder / name).unlink(missing_ok=True)
        elif names:
            self._cloud().delete(names)

    def delete_folder(self, folder: str) -> None:
        """Remove a folder that nobody writes into any more, and all that lies directly in it."""
        if self._folder is None:
            self.delete(self.names(f"{folder}/"))
        elif (path := self._folder / folder).is_dir():
            for file in path.iterdir():
                file.unlink()
            path.rmdir()

    def delete_tree(self, folder: str) -> None:
        """Remove a folder that nobody writes into any more, with all below it; none there is no error."""
        if self._folder is None:
            cloud = self._cloud()
            cloud.delete(list(cloud.list(f"{folder}/")))
        elif (self._folder / folder).is_dir():
            shutil.rmtree(self._folder / folder)

    def every_name(self) -> list[str]:
        """Names of all finished files below the path, in all folders, sorted."""
        if self._folder is None:
            return sorted(self._cloud().list())
        found = (path for path in self._folder.rglob("*") if path.is_file() and not path.name.endswith(".partial"))
        return sorted(path.relative_to(self._folder).as_posix() for path in found)

    def copy_from(self, source: Storage, names: Sequence[str]) -> None:
        """Have the files of another storage of the same kind here as well; those that are here already stay.

        On a file system both then are one file, until one of them is replaced: files are never written in place.
        """
        if self._folder is None or source._folder is None:
            self._cloud().transfer_from(source._cloud(), paths=list(names), progress=False)
            return
        for name in names:
            target = self._folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                _link_or_copy(source._folder / name, target)

    @property
    def links(self) -> bool:
        """Whether `link` can be used: object stores have no links."""
        return self._folder is not None

    def link(self, name: str, target: str) -> None:
        """Make `name` a link to `target`, both below the path, in one step; what the link was before is replaced."""
        assert self._folder is not None
        path = self._folder / name
        if path.is_symlink() and str(path.readlink()) == target:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.parent / f".{path.name}.{uuid.uuid4().hex[:12]}.partial"
        partial.symlink_to(target)
        partial.replace(path)

    def leftovers(self, older_than: float) -> list[tuple[str, int]]:
        """Names and sizes of what killed writers left: temporary files that are `older_than` seconds old."""
        if self._folder is None or not self._folder.is_dir():
            return []  # an object store keeps nothing of a write that did not end
        before = time.time() - older_than
        found = ((path, path.stat()) for path in self._folder.rglob(".*.partial"))
        return sorted(
            (path.relative_to(self._folder).as_posix(), status.st_size)
            for path, status in found
            if status.st_mtime < before
        )

    def put(self, name: str, content: bytes, *, compress: bool = False) -> int:
        """Write a file whole or not at all; returns the bytes stored.

        `compress` stores it gzipped the way precomputed volumes expect: as `name.gz` on a file
        system, as a Content-Encoding in an object store. The gzip header carries no time, so
        equal content gives equal bytes.
        """
        return self.put_all([(name, content)], compress=compress)

    def put_all(self, files: Iterable[tuple[str, bytes]], *, compress: bool = False) -> int:
        """Write many files, each as `put` does, and flush their folders once; returns the bytes stored."""
        names, stored = [], 0
        for name, content in files:
            content = _gzipped(content) if compress else content
            with self.writing(name, compressed=compress) as file:
                file.write(content)
            names.append(name)
            stored += len(content)
        self._flush_folders(names)
        return stored

    def _flush_folders(self, names: Iterable[str]) -> None:
        """Have the names of files that were written survive a power cut."""
        if self._folder is None or not self._durable:
            return
        for folder in {(self._folder / name).parent for name in names}:
            with named_errors(folder):
                number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(number)
                finally:
                    os.close(number)

    @contextmanager
    def writing(self, name: str, *, compressed: bool = False) -> Iterator[IO[bytes]]:
        """A file to write to, and to read again, which has its name once it is whole and on the disk.

        Memory need not hold its content, except while that is sent to an object store. `compressed` says
        that what is written is gzipped, as by `put`. The name itself survives a power cut once something has been
        `put` into the same folder.
        """
        if self._folder is None:
            with tempfile.SpooledTemporaryFile(max_size=SPOOLED_BYTES) as file:
                yield file
                file.seek(0)
                encoding = "gzip" if compressed else None
                self._cloud().put(name, file.read(), compress=encoding, raw=compressed, cache_control="no-cache")
            return
        target = self._folder / (name + ".gz" if compressed else name)
        partial = target.parent / f".{target.name}.{uuid.uuid4().hex[:12]}.partial"
        with named_errors(target):
            target.parent.mkdir(FOLDER_MODE if self._private else 0o777, parents=True, exist_ok=True)
            try:
                partial.touch(FILE_MODE if self._private else 0o666)
                with partial.open("w+b") as file:
                    yield file
                    if self._durable:
                        file.flush()
                        os.fsync(file.fileno())
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)

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

    def obstacle(self) -> str | None:
        """Why nothing can be written below the path, for a folder of this machine; None where something can.

        Nothing is written: the folder may not be there yet, and then the nearest one above it counts.
        """
        if self._folder is None:
            return None
        folder = self._folder
        try:
            while not folder.exists() and not folder.is_symlink():
                folder = folder.parent
            if not folder.is_dir():
                return f"{folder} is a file" if folder.exists() else f"the link {folder} leads nowhere"
        except OSError as error:
            return f"{folder}: {error.strerror}"
        return None if os.access(folder, os.W_OK | os.X_OK) else f"nothing may be written in {folder}"

    def free_bytes(self) -> int | None:
        """Free space of the file system; None where that has no meaning (object stores)."""
        if self._folder is None:
            return None
        folder = self._folder
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free


class _Ranges(io.RawIOBase):
    """An object of an object store, read by requests for parts of it."""

    def __init__(self, cloud: CloudFiles, name: str, size: int) -> None:
        self._cloud, self._name, self._size, self._at = cloud, name, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        end = min(self._at + len(view), self._size)
        if end <= self._at:
            return 0
        content: bytes = self._cloud.get({"path": self._name, "start": self._at, "end": end})
        view[: len(content)] = content
        self._at += len(content)
        return len(content)


def _gzipped(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=GZIP_LEVEL, mtime=0)


def _link_or_copy(source: Path, target: Path) -> None:
    """A hard link, or a copy that is whole or absent where the file system has no links."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        partial = target.parent / f".{target.name}.{uuid.uuid4().hex[:12]}.partial"
        shutil.copy2(source, partial)
        partial.replace(target)

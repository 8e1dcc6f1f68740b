"""The versions of a dataset, and the one that readers see.

    PUBLISHED/current.json          the version that readers see: the one file that decides
    PUBLISHED/current               a link to its folder; in an object store, `current/LAYER/info` that redirects
    PUBLISHED/versions/0007/        a version: a run's folder, of which nothing changes once it is published
    PUBLISHED/published/0007.json   that the version is complete, since when, and what had changed
    PUBLISHED/store/                the tables that all versions share
    PUBLISHED/run_mutex/            which run may proceed (`run_mutex.py`)
    PUBLISHED/seen.json             what the last check found (`change_detection.py`)

Every change is one file that is written whole, in an order in which each interruption leaves a valid state:
a version is published before readers are sent there, and no reader is sent to one that is being removed.
`recover` finishes what a killed process began. The newest version always stays, as numbers count on from it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from seuron.errors import DamagedFileError, NotFoundError, RunError
from seuron.storage import Storage, join
from seuron.storage.documents import read_document
from seuron.storage.garbage_collection import Garbage, collect
from seuron.storage.object_store import Store

#: The layers of a run that readers may want, as far as it has them.
LAYERS = ("affinities", "supervoxels", "segmentation")
CURRENT = "current.json"


@dataclass(frozen=True)
class Version:
    """A published version: its number, since when (seconds since 1970), its run's key, and what had changed."""

    number: int
    published: float
    key: str
    why: tuple[str, ...]


@dataclass(frozen=True)
class Pointer:
    """What current.json says: the version that readers see, and the newest one when that was decided."""

    version: int
    newest: int


class PublishedVersions:
    """The versions below one path."""

    def __init__(self, path: str, storage: Storage | None = None) -> None:
        self.storage = storage or Storage(path)
        self.path = self.storage.path

    # ------------------------------------------------------------- reading

    def folder(self, number: int) -> str:
        """The folder of a version, published or not."""
        return join(self.path, "versions", _name(number))

    def versions(self) -> list[Version]:
        """The published versions, the oldest first."""
        found = (self._published(name) for name in self.storage.names("published/"))
        return sorted((version for version in found if version is not None), key=lambda version: version.number)

    def _published(self, name: str) -> Version | None:
        """The version that a file in `published/` is about. One that is damaged counts: its folder must stay.

        A file that is called otherwise than by a number is none of ours, and passed over.
        """
        number = name.removeprefix("published/").removesuffix(".json")
        if not (number.isascii() and number.isdigit() and name.endswith(".json")):
            return None
        try:
            return read_document(self.storage, name, Version, "what had changed in this version is not known")
        except DamagedFileError as error:
            return Version(int(number), 0.0, "", (str(error),))

    def newest(self) -> Version | None:
        """The version that was published last, whether readers see it or not."""
        return max(self.versions(), key=lambda version: version.number, default=None)

    def next_number(self) -> int:
        """The number of the version that comes next, or is being made."""
        newest = self.newest()
        return 1 if newest is None else newest.number + 1

    def current(self) -> Version | None:
        """The version that readers see."""
        pointer = self._pointer()
        return None if pointer is None else self.version(pointer.version)

    def current_folder(self) -> str:
        """The folder of the version that readers see now: who opens layers there keeps to that version.

        Raises NotFoundError while nothing is published.
        """
        pointer = self._pointer()
        if pointer is None:
            raise NotFoundError(f"{self.path}: no version is published yet")
        return self.folder(pointer.version)

    def version(self, number: int) -> Version:
        """A published version; raises NotFoundError with those that there are."""
        known = {version.number: version for version in self.versions()}
        if number not in known:
            there = f"there are {', '.join(map(str, known))}" if known else "there is none yet"
            raise NotFoundError(f"{self.path} has no version {number}; {there}")
        return known[number]

    def _pointer(self) -> Pointer | None:
        remedy = "delete it and roll back to the version that readers should see: until then it is the newest"
        return read_document(self.storage, CURRENT, Pointer, remedy)

    # ------------------------------------------------------------- changing

    def publish(self, number: int, key: str, why: Sequence[str]) -> Version:
        """Make a complete version the one that readers see. Doing it again changes nothing."""
        known = {version.number: version for version in self.versions()}
        if number not in known:
            if number != self.next_number():
                raise RunError(f"{self.path}: version {number} cannot be published; the next is {self.next_number()}")
            known[number] = Version(number, time.time(), key, tuple(why))
            self._put(f"published/{_name(number)}.json", asdict(known[number]))
        self.recover()
        return known[number]

    def rollback(self, number: int | None = None) -> Version:
        """Show readers an older version: `number`, or the one before the current one.

        It stands until another version is published, which happens when the input or the parameters change.
        """
        self.recover()
        current, versions = self.current(), self.versions()
        if current is None:
            raise NotFoundError(f"{self.path}: no version is published yet")
        if number is None:
            older = [version.number for version in versions if version.number < current.number]
            if not older:
                raise NotFoundError(f"{self.path}: no version is older than {current.number}, which readers see")
            number = older[-1]
        chosen = self.version(number)
        self._point(Pointer(number, versions[-1].number))
        if chosen not in self.versions():  # removed as an old one just now, before the pointer was there to see
            self._point(Pointer(current.number, versions[-1].number))
            raise NotFoundError(f"{self.path}: version {number} has just been removed as an old one")
        return chosen

    def recover(self) -> None:
        """Finish what a killed process began: a publication, a change of the link, a removal."""
        newest, pointer = self.newest(), self._pointer()
        if newest is not None:
            if pointer is None or pointer.newest < newest.number:
                pointer = Pointer(newest.number, newest.number)
            self._point(pointer)
        # The version that readers see is there, even while a removal that gives way has its record.
        known = {version.number for version in self.versions()} | {self.next_number()}
        known |= {pointer.version} if pointer is not None else set()
        for name in self.storage.names("versions/"):
            text = name.removeprefix("versions/").rstrip("/")
            if text.isdigit() and int(text) not in known:
                self._remove_folder(int(text))

    def prune(self, keep: int) -> tuple[list[int], Garbage | None]:
        """Remove old versions but for the newest `keep` beside the current one, and the tables that only they used.

        Returns their numbers, and what was removed from the store.
        """
        self.recover()
        current = self.current()
        others = [version.number for version in self.versions() if version != current]
        removed = [number for number in others[: max(0, len(others) - max(1, keep))] if self._prune(number)]
        return removed, collect(Store(join(self.path, "store"))) if removed else None

    def _prune(self, number: int) -> bool:
        """Remove a version, unless somebody rolls back to it at the same time."""
        name = f"published/{_name(number)}.json"
        record = self.storage.get(name) or b""
        self.storage.delete([name])
        pointer = self._pointer()
        if pointer is not None and pointer.version == number:
            self.storage.put(name, record)
            return False
        self._remove_folder(number)
        return True

    def _point(self, pointer: Pointer) -> None:
        if self._pointer() != pointer:
            self._put(CURRENT, asdict(pointer))
        if self.storage.links:
            self.storage.link("current", f"versions/{_name(pointer.version)}")
            return
        for layer in LAYERS:
            target = f"{self.folder(pointer.version)}/{layer}"
            if Storage(target).get("info") is not None:
                self._put(f"current/{layer}/info", {"redirect": f"precomputed://{target}"})

    def _remove_folder(self, number: int) -> None:
        """Delete a folder that is no version: run.json first, so that what is left is no run."""
        name = f"versions/{_name(number)}"
        self.storage.delete([f"{name}/run.json"])
        self.storage.delete_tree(name)

    def _put(self, name: str, data: object) -> None:
        self.storage.put(name, json.dumps(data, indent=1).encode())


def _name(number: int) -> str:
    return f"{number:04d}"

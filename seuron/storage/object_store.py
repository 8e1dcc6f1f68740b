"""The store: tables of finished tasks, by the digest of what they were made from.

    STORE/ab/abcdef.../NAME.parquet   the tables of one object
    STORE/ab/abcdef.../object.json    its manifest, written last: without one there is no object
    STORE/runs/DIGEST.json            the output folders of the runs that share the store

Objects are never changed. Runs that share a store take over each other's; `seuron gc` removes those
that no run refers to (`collecting.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO, Annotated, Any

from pydantic import ValidatorFunctionWrapHandler, WrapValidator
from typing_extensions import TypedDict

from seuron.storage import Storage, join
from seuron.storage.digests import DIGITS, digest_of_data, digest_of_file
from seuron.storage.documents import read_document, read_if_whole


def _as_stored(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """The value itself, once it has been checked: a whole number stays one."""
    check(value)
    return value


#: What a task counted, by name; counts of a stage's tasks add up.
Counts = dict[str, float]
#: The same in a file.
StoredCounts = Annotated[Counts, WrapValidator(_as_stored)]

MANIFEST = "object.json"
#: The claim of a process that removes objects.
COLLECTING = "collecting.json"
_NAME = re.compile(rf"[0-9a-f]{{{DIGITS}}}")


@dataclass(frozen=True)
class Manifest:
    """What an object holds: the digest of each table by its name, the bytes of all, what the task counted."""

    task_id: str
    tables: dict[str, str]
    stored_bytes: int
    counts: StoredCounts


class _Registration(TypedDict):
    """A run that uses the store, by its output folder."""

    output: str


class FinishedObject(Storage):
    """The tables of a finished object, and what their content has to be."""

    def __init__(self, path: str, manifest: Manifest) -> None:
        super().__init__(path)
        self.manifest = manifest

    def digest(self, name: str) -> str | None:
        return self.manifest.tables.get(name.removesuffix(".parquet"))


class NewObject(Storage):
    """Where a task that is at work writes its tables; remembers their digests for the manifest."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.tables: dict[str, str] = {}
        self._sizes: dict[str, int] = {}

    @contextmanager
    def writing(self, name: str, *, compressed: bool = False) -> Iterator[IO[bytes]]:
        with super().writing(name, compressed=compressed) as file:
            yield file
            table = name.removesuffix(".parquet")
            self.tables[table], self._sizes[table] = digest_of_file(file), file.tell()

    @property
    def stored_bytes(self) -> int:
        return sum(self._sizes.values())


class Store:
    """The objects below one path."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.storage = Storage(path)

    def _folder(self, name: str) -> str:
        return f"{name[:2]}/{name}"

    def tables(self, name: str) -> FinishedObject | None:
        """The tables of a finished object; None when there is none of that name."""
        manifest = self.manifest(name)
        return None if manifest is None else FinishedObject(join(self.path, self._folder(name)), manifest)

    def new(self, name: str) -> NewObject:
        """The folder of an object that is being made; `finish` makes it one."""
        return NewObject(join(self.path, self._folder(name)))

    def finish(self, new: NewObject, task_id: str, counts: Counts) -> None:
        """Write the manifest: from now on the object is there."""
        manifest = Manifest(task_id, dict(sorted(new.tables.items())), new.stored_bytes, counts)
        Storage(new.path).put(MANIFEST, json.dumps(asdict(manifest), indent=1, sort_keys=True).encode())

    def manifest(self, name: str) -> Manifest | None:
        """What a finished object holds; None when there is none of that name, or its manifest is damaged."""
        return read_if_whole(self.storage, f"{self._folder(name)}/{MANIFEST}", Manifest)

    def withdraw(self, path: str) -> None:
        """Have the object that holds the file at `path`, which is damaged, count as not made."""
        self.storage.delete([f"{path.rpartition('/')[0]}/{MANIFEST}".removeprefix(f"{self.storage.path}/")])

    def objects(self) -> Iterator[str]:
        """The names of all objects, unfinished ones included; other folders that lie there are none."""
        for shelf in self.storage.names():
            if len(shelf.rstrip("/")) == 2:
                for folder in self.storage.names(f"{shelf.rstrip('/')}/"):
                    name = folder.rstrip("/").rsplit("/", 1)[-1]
                    if _NAME.fullmatch(name) and name[:2] == shelf.rstrip("/"):
                        yield name

    def remove(self, name: str) -> None:
        """Delete an object: its manifest first, so that there is never half of one."""
        self.storage.delete([f"{self._folder(name)}/{MANIFEST}"])
        self.storage.delete_folder(self._folder(name))

    def register(self, output: str) -> None:
        """Note that the run in `output` uses the store."""
        self.storage.put(_registration(output), json.dumps({"output": output}).encode())

    def forget(self, output: str) -> None:
        """Drop the note that `register` made."""
        self.storage.delete([_registration(output)])

    def registered(self) -> list[str]:
        """The outputs of all runs that use the store, those that are gone included.

        A run whose own folder holds the store needs no note, and may be moved. Raises DamagedFileError for a note
        that does not say which run it is of: what that needs would be unused.
        """
        remedy = "delete it, and start the run that it was for again, which writes it"
        found = (read_document(self.storage, name, _Registration, remedy) for name in self.storage.names("runs/"))
        outputs = {note["output"] for note in found if note is not None}
        around = self.storage.path.rpartition("/")[0]
        if Storage(around).get("run.json") is not None:
            outputs.add(around)
        return sorted(outputs)


def _registration(output: str) -> str:
    return f"runs/{digest_of_data(output)}.json"

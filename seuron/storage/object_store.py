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
from typing import IO

from seuron.storage import Storage, join
from seuron.storage.digests import DIGITS, digest_of_data, digest_of_file

#: What a task counted, by name; counts of a stage's tasks add up.
Counts = dict[str, float]

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
    counts: Counts


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

    def tables(self, name: str) -> Storage:
        """The tables of an object."""
        return Storage(join(self.path, self._folder(name)))

    def new(self, name: str) -> NewObject:
        """The folder of an object that is being made; `finish` makes it one."""
        return NewObject(join(self.path, self._folder(name)))

    def finish(self, new: NewObject, task_id: str, counts: Counts) -> None:
        """Write the manifest: from now on the object is there."""
        manifest = Manifest(task_id, dict(sorted(new.tables.items())), new.stored_bytes, counts)
        Storage(new.path).put(MANIFEST, json.dumps(asdict(manifest), indent=1, sort_keys=True).encode())

    def manifest(self, name: str) -> Manifest | None:
        """What a finished object holds; None when there is none of that name."""
        content = self.storage.get(f"{self._folder(name)}/{MANIFEST}")
        return None if content is None else Manifest(**json.loads(content))

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

        A run whose own folder holds the store needs no note, and may be moved.
        """
        found = (self.storage.get(name) for name in self.storage.names("runs/"))
        outputs = {json.loads(content)["output"] for content in found if content is not None}
        around = self.storage.path.rpartition("/")[0]
        if Storage(around).get("run.json") is not None:
            outputs.add(around)
        return sorted(outputs)


def _registration(output: str) -> str:
    return f"runs/{digest_of_data(output)}.json"

"""Collecting garbage: objects in a store that no run refers to, and what killed writers left.

A run refers to the objects of all of its records, also of those that other parameters have outdated:
their tasks may yet find that nothing changed for them. While any task is running nothing is removed,
and while something is removed no task starts.
"""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import TypedDict

from seuron.errors import RunError
from seuron.storage import Storage
from seuron.storage.documents import read_if_whole
from seuron.storage.locks import TaskLock, locked, locks, read_lock
from seuron.storage.object_store import COLLECTING, Store

#: A temporary file this old is nobody's any more: writing one takes seconds.
STALE_SECONDS = 3600.0


class _Reference(TypedDict):
    """What is read of a task's record: the object that it refers to."""

    object: str


@dataclass(frozen=True)
class Garbage:
    """What can be removed from a store and its runs.

    `objects` are names of objects, `stored_bytes` their size (0 for those that were never finished);
    `partial` are leftover files by the path they lie below, with sizes; `gone` are outputs that are no
    runs any more.
    """

    objects: tuple[str, ...]
    stored_bytes: int
    partial: dict[str, tuple[tuple[str, int], ...]]
    gone: tuple[str, ...]
    kept_objects: int

    @property
    def partial_bytes(self) -> int:
        return sum(size for files in self.partial.values() for _, size in files)

    @property
    def partial_files(self) -> int:
        return sum(len(files) for files in self.partial.values())


def find_garbage(store: Store) -> Garbage:
    """What no run that is registered in the store refers to; nothing is removed."""
    outputs = store.registered()
    gone = tuple(output for output in outputs if Storage(output).get("run.json") is None)
    needed: set[str] = set()
    for output in outputs:
        needed |= _referred(Storage(output))
    every = list(store.objects())
    unused = tuple(name for name in every if name not in needed)
    manifests = (store.manifest(name) for name in unused)
    places = [store.path, *(output for output in outputs if output not in gone)]
    left = {path: tuple(Storage(path).leftovers(STALE_SECONDS)) for path in places}
    return Garbage(
        objects=unused,
        stored_bytes=sum(manifest.stored_bytes for manifest in manifests if manifest is not None),
        partial={path: files for path, files in left.items() if files},
        gone=gone,
        kept_objects=len(every) - len(unused),
    )


def _referred(storage: Storage) -> set[str]:
    """The objects that the records of a run name."""
    names = (name for folder in ("tasks/", "superseded/") for name in storage.names(folder))
    found = (read_if_whole(storage, name, _Reference) for name in names)  # a damaged record is a task to be done again
    return {reference["object"] for reference in found if reference is not None}


def collect(store: Store) -> Garbage:
    """Remove the garbage; returns what it was. Raises RunError while a task of a registered run is running."""
    refuse_while_collected(store)
    with locked(store.storage, COLLECTING, TaskLock(f"removing unused objects from {store.path}")):
        running = [lock for output in store.registered() for _, lock in locks(Storage(output), "locks/")]
        if running:
            raise RunError(
                f"{store.path}: tasks of its runs are running ({'; '.join(str(lock) for lock in running[:3])}); "
                "wait for their end, then collect again"
            )
        garbage = find_garbage(store)
        for name in garbage.objects:
            store.remove(name)
        for path, files in garbage.partial.items():
            Storage(path).delete([name for name, _ in files])
        for output in garbage.gone:
            store.forget(output)
    return garbage


def refuse_while_collected(store: Store) -> None:
    """Raise RunError while objects of a store are being removed: a task might take over one of them."""
    lock = read_lock(store.storage, COLLECTING)
    if lock is not None:
        raise RunError(f"{lock} is going on; start again when that has ended")

"""A version that is being made: a run's folder that begins as a copy of the version before it.

On a file system the copy is made of hard links, and of server-side copies in an object store. Files of a run
are never written in place but replaced, so a link in the new folder can change without the old one.
A run started in the copy computes what has changed, as it would have in the old folder.
"""

from __future__ import annotations

from collections.abc import Sequence

from seuron.datasets.versions import PublishedVersions, Version
from seuron.engine.run import Run
from seuron.errors import RunError
from seuron.storage import Storage

#: What belongs to one start of a run, not to its results.
LEFT_OUT = ("locks/", "stopped/", "sweep/", "costs.json")
RUN_FILE = "run.json"


def make_draft(published: PublishedVersions, number: int, base: int | None) -> str:
    """Make the folder of version `number` ready for a run, from version `base` or empty; returns its path.

    A run that was begun in it stays. Killed anywhere and called again, it ends the same.
    """
    draft = Storage(published.folder(number))
    if draft.get(RUN_FILE) is not None:
        return draft.path
    if base is None:
        published.storage.delete_tree(f"versions/{number:04d}")
        return draft.path
    source = Storage(published.folder(base))
    names = [name for name in source.every_name() if name != RUN_FILE and not name.startswith(LEFT_OUT)]
    draft.copy_from(source, names)
    draft.copy_from(source, [RUN_FILE])
    return draft.path


def discard_draft(published: PublishedVersions, number: int) -> None:
    """Remove the folder of a version that is not published."""
    published.storage.delete([f"versions/{number:04d}/{RUN_FILE}"])
    published.storage.delete_tree(f"versions/{number:04d}")


def publish_draft(published: PublishedVersions, number: int, why: Sequence[str]) -> Version:
    """Publish a version whose run is complete; raises RunError for one that is not."""
    run = Run.open(published.folder(number))
    done, planned = len(run.records()), len(run.plan.tasks)
    if done < planned:
        raise RunError(f"{run.output} is not published: {done} of {planned} tasks are done; start its run again")
    return published.publish(number, run.key, why)

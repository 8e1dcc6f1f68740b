"""A version that is being made: a run's folder that begins as a copy of the version before it.

On a file system the copy is made of hard links, and of server-side copies in an object store. Files of a run
are never written in place but replaced, so a link in the new folder can change without the old one.
A run started in the copy computes what has changed, as it would have in the old folder.
"""

from __future__ import annotations

from seuron.datasets.versions import Published
from seuron.storage import Storage

#: What belongs to one start of a run, not to its results.
LEFT_OUT = ("working/", "stopped/", "sweep/", "costs.json")
RUN = "run.json"


def make_draft(published: Published, number: int, base: int | None) -> str:
    """Make the folder of version `number` ready for a run, from version `base` or empty; returns its path.

    A run that was begun in it goes on. Killed anywhere and called again, it ends the same.
    """
    draft = Storage(published.folder(number))
    if draft.get(RUN) is not None:
        return draft.path
    if base is None:
        published.storage.delete_tree(f"versions/{number:04d}")
        return draft.path
    source = Storage(published.folder(base))
    names = [name for name in source.every_name() if name != RUN and not name.startswith(LEFT_OUT)]
    draft.copy_from(source, names)
    draft.copy_from(source, [RUN])
    return draft.path


def discard_draft(published: Published, number: int) -> None:
    """Remove the folder of a version that is not published."""
    published.storage.delete([f"versions/{number:04d}/{RUN}"])
    published.storage.delete_tree(f"versions/{number:04d}")

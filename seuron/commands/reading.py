"""Words of commands as what they stand for: thresholds, boxes, ids and voxels, paths.

Every one of these raises ParameterErrors with what was given and what is wanted; `name` is the parameter's.
"""

from __future__ import annotations

import os
from decimal import Decimal, InvalidOperation
from pathlib import Path

from seuron.box import Box
from seuron.commands.answers import Session
from seuron.errors import NotFoundError, ParameterErrors
from seuron.storage import Storage, cloud_path, local_folder

#: A step that is too small by a few zeros must not fill the memory of whoever reads it.
MOST_THRESHOLDS = 1000


def thresholds(text: str, name: str) -> tuple[float, ...]:
    """`0.1:0.9:0.05` as the numbers from the first to the second, the end included; or a list, `0.2,0.25,0.5`.

    Steps are decimal, so that the numbers are those one would write down.
    """
    try:
        if ":" not in text:
            return tuple(float(part) for part in text.split(","))
        first, last, step = (Decimal(part) for part in text.split(":"))
        if step <= 0 or last < first or (last - first) / step >= MOST_THRESHOLDS:
            raise ValueError
        return tuple(float(first + index * step) for index in range(int((last - first) / step) + 1))
    except (ValueError, InvalidOperation):
        raise ParameterErrors(
            [
                f"`{name}`: got {text!r}; give first:last:step, such as 0.1:0.9:0.05, or a list, such as 0.2,0.25,0.5; "
                f"{MOST_THRESHOLDS} at most"
            ]
        ) from None


def piece(text: str, name: str) -> int | tuple[int, int, int]:
    """An id, such as `1234`, or a voxel, `x,y,z`."""
    try:
        if "," not in text:
            return int(text)
        x, y, z = (int(part) for part in text.split(","))
    except ValueError:
        raise ParameterErrors(
            [f"`{name}`: got {text!r}; give the id of a segment or supervoxel, or a voxel as x,y,z"]
        ) from None
    return x, y, z


def box_of(text: str, name: str) -> Box:
    """`x0,y0,z0,x1,y1,z1` as a box that is not empty."""
    try:
        corners = [int(part) for part in text.split(",")]
        box = Box.from_corners(corners) if len(corners) == 6 else None
    except ValueError:
        box = None
    if box is None or box.voxels == 0:
        raise ParameterErrors([f"`{name}`: got {text!r}; give x0,y0,z0,x1,y1,z1 with each end above its start"])
    return box


def is_path(session: Session, text: str) -> bool:
    """Whether a word means a place, not the name of a run: it has a slash, or is a file or folder here."""
    return "/" in text or (session.here and Path(text).exists())


def path_of(session: Session, text: str, name: str) -> str:
    """A path that means the same in every process; what has a scheme (`gs://`) stays.

    Who is not at this machine has no folder that a path could begin at.
    """
    if "://" in text:
        return text
    path = os.path.expanduser(text.strip())
    if not session.here and not Path(path).is_absolute():
        raise ParameterErrors(
            [f"`{name}`: got {text!r}; give the whole path, such as /data/first or gs://bucket/first"]
        )
    return os.path.abspath(path)


def check_reached(session: Session, path: str) -> None:
    """Raise NotFoundError for a folder that another machine's deployment may have and this one has not."""
    folder = local_folder(path)
    if not session.deployment.here and folder is not None and not folder.exists():
        raise NotFoundError(
            f"{folder} is not on this machine, where this is read, and the folders of {session.deployment.url} are not "
            "seen from here; give the command there, or keep the data in a shared folder or a bucket"
        )


def holds_run(path: str) -> bool:
    """Whether a run lies at a path."""
    return Storage(cloud_path(path)).get("run.json") is not None

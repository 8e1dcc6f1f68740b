"""The types of arguments: text as thresholds, boxes, ids and voxels, numbers, sections, paths.

Every one of these raises ParameterErrors with what was given and what is wanted; `name` is the parameter's.
"""

from __future__ import annotations

import os
from decimal import Decimal, InvalidOperation
from pathlib import Path

from seuron.box import Box
from seuron.commands.answers import Session
from seuron.commands.registry import Argument
from seuron.errors import NotFoundError, ParameterErrors
from seuron.storage import Storage, cloud_path, local_folder

#: A run, and why it is ended: arguments of several commands.
RUN = Argument("the run: the last part of its folder, Airflow's id of it, a beginning of them, or `latest`")
WHY = Argument("the reason, for those who look at the run later", metavar="TEXT")
#: A step that is too small by a few zeros must not fill the memory of its reader.
MOST_THRESHOLDS = 1000


def parse_thresholds(text: str, name: str) -> tuple[float, ...]:
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


def id_or_voxel(text: str, name: str) -> int | tuple[int, int, int]:
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


def parse_box(text: str, name: str) -> Box:
    """`x0,y0,z0,x1,y1,z1` as a box that is not empty."""
    try:
        corners = [int(part) for part in text.split(",")]
        box = Box.from_corners(corners) if len(corners) == 6 else None
    except ValueError:
        box = None
    if box is None or box.voxels == 0:
        raise ParameterErrors([f"`{name}`: got {text!r}; give x0,y0,z0,x1,y1,z1 with each end above its start"])
    return box


def three_numbers(text: str, option: str) -> tuple[float, float, float]:
    """`10,10,40` as three numbers."""
    try:
        x, y, z = (float(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        raise ParameterErrors([f"{option}: got {text!r}; give three numbers, x,y,z, such as 10,10,40"]) from None
    return x, y, z


def three_sizes(text: str, option: str) -> tuple[int, int, int]:
    """`256,256,128` as three whole numbers above zero."""
    x, y, z = three_numbers(text, option)
    if any(size != int(size) or size < 1 for size in (x, y, z)):
        raise ParameterErrors([f"{option}: got {text!r}; each of x,y,z must be a whole number above 0"])
    return int(x), int(y), int(z)


def three_integers(text: str, option: str) -> tuple[int, int, int]:
    """`-10,0,128` as three whole numbers."""
    x, y, z = three_numbers(text, option)
    if not all(value.is_integer() for value in (x, y, z)):
        raise ParameterErrors([f"{option}: got {text!r}; each of x,y,z must be a whole number, such as -10,0,128"])
    return int(x), int(y), int(z)


def sections(text: str, option: str) -> tuple[int, ...]:
    """`10,11,40` as section numbers; nothing is no section."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ParameterErrors([f"{option}: got {text!r}; give section numbers, such as 10,11,40"]) from None


def is_path(session: Session, text: str) -> bool:
    """Whether a word is a path and not the name of a run: it has a slash, or is a file or folder of this machine."""
    return "/" in text or (session.is_local and Path(text).exists())


def absolute_path(session: Session, text: str, name: str) -> str:
    """The path as `absolute` gives it; a user at another machine has no folder that a relative one could begin at."""
    if "://" not in text and not session.is_local and not Path(text.strip()).expanduser().is_absolute():
        raise ParameterErrors(
            [f"`{name}`: got {text!r}; give the whole path, such as /data/runs/first or gs://bucket/first"]
        )
    return absolute(text.strip())


def check_reachable(session: Session, path: str) -> None:
    """Raise NotFoundError for a folder that another machine's deployment may have and this one has not."""
    folder = local_folder(path)
    if not session.deployment.is_local and folder is not None and not folder.exists():
        raise NotFoundError(
            f"{folder} is not on this machine, where this is read, and the folders of {session.deployment.url} are not "
            "visible from here; give the command there, or keep the data in a shared folder or a bucket"
        )


def holds_run(path: str) -> bool:
    """Whether a run lies at a path."""
    return Storage(cloud_path(path)).get("run.json") is not None


def absolute(path: str) -> str:
    """A path that means the same in every process; what has a scheme (`gs://`) stays."""
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))

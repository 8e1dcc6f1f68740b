"""Parsing of words that several commands take."""

from __future__ import annotations

import os

from seuron.box import Box
from seuron.errors import ParameterErrors


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


def thresholds(text: str, option: str) -> tuple[float, ...]:
    """`0.1:0.9:0.05` as the numbers from the first to the second, the end included; or a list, `0.2,0.25,0.5`.

    Steps are decimal, so that the numbers are those one would write down.
    """
    from decimal import Decimal, InvalidOperation

    try:
        if ":" not in text:
            return tuple(float(part) for part in text.split(","))
        first, last, step = (Decimal(part) for part in text.split(":"))
        if step <= 0 or last < first:
            raise ValueError
        return tuple(float(first + index * step) for index in range(int((last - first) / step) + 1))
    except (ValueError, InvalidOperation):
        raise ParameterErrors(
            [f"{option}: got {text!r}; give first:last:step, such as 0.1:0.9:0.05, or a list, such as 0.2,0.25,0.5"]
        ) from None


def piece(text: str, name: str) -> int | tuple[int, int, int]:
    """An id, such as `1234`, or a voxel, `x,y,z`."""
    try:
        if "," not in text:
            return int(text)
        x, y, z = (int(part) for part in text.split(","))
    except ValueError:
        raise ParameterErrors(
            [f"{name}: got {text!r}; give the id of a segment or supervoxel, or a voxel as x,y,z"]
        ) from None
    return x, y, z


def sections(text: str, option: str) -> tuple[int, ...]:
    """`10,11,40` as section numbers; nothing is no section."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ParameterErrors([f"{option}: got {text!r}; give section numbers, such as 10,11,40"]) from None


def absolute(path: str) -> str:
    """A path that means the same in every process; what has a scheme (`gs://`) stays."""
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))


def box_of(text: str, option: str) -> Box:
    """`x0,y0,z0,x1,y1,z1` as a box that is not empty."""
    try:
        corners = [int(part) for part in text.split(",")]
        box = Box.from_corners(corners) if len(corners) == 6 else None
    except ValueError:
        box = None
    if box is None or box.voxels == 0:
        raise ParameterErrors([f"{option}: got {text!r}; give x0,y0,z0,x1,y1,z1 with each end above its start"])
    return box

"""Parsing of words that several commands take."""

from __future__ import annotations

import os

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


def sections(text: str, option: str) -> tuple[int, ...]:
    """`10,11,40` as section numbers; nothing is no section."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ParameterErrors([f"{option}: got {text!r}; give section numbers, such as 10,11,40"]) from None


def absolute(path: str) -> str:
    """A path that means the same in every process; what has a scheme (`gs://`) stays."""
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))

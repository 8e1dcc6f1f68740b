"""A value together with where it was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Stated(Generic[T]):
    """A value, and where it was read: for example "attribute `resolution`", "convention of HDF5", "--axes"."""

    value: T
    origin: str

"""What a pipeline adds to the report of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Figure:
    """A headline figure; `help` is shown when a pointer rests on it."""

    label: str
    value: str
    note: str = ""
    help: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page: a title with HTML below it, headline figures, and alerts that must not be missed.

    It stands before the table of stages, as results do, or after it. `sentences` are for the summary of a run in words,
    `pictures` for places that show no HTML: each is drawn when it is asked for, by its name.
    """

    title: str = ""
    html: str = ""
    figures: tuple[Figure, ...] = ()
    alerts: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    pictures: Mapping[str, Callable[[], Image.Image]] = field(default_factory=dict)
    place: Literal["before stages", "after stages"] = "after stages"

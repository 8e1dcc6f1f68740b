"""What a pipeline adds to the report of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image

    from seuron.engine.run import Run


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

    `alerts` are sentences as well, which every summary of the run repeats.

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


def alerts_of(run: Run) -> list[str]:
    """What must not be missed of a run, a sentence for each thing."""
    return [alert for section in run.pipeline.report(run) for alert in section.alerts]

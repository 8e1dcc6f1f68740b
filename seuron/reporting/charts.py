"""Line charts: where curves, ticks and marks lie on a picture of a given size. Templates draw them as SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Steps between ticks, times a power of ten.
NICE = (1, 2, 5, 10)
#: Ticks of an axis, about.
TICKS = 5
#: Least step between ticks: what is closer is one value to floating-point numbers.
LEAST_STEP = 1e-300
#: What a line of text takes, from one to the next.
LINE = 13.0


@dataclass(frozen=True)
class Curve:
    """A curve through `points` (x, y); `colour` is a variable of the style sheet, `dash` an SVG dash pattern.

    The label stands at its end, unless a legend says what the curve is.
    """

    label: str
    colour: str
    points: tuple[tuple[float, float], ...]
    dash: str = ""
    in_legend: bool = False


@dataclass(frozen=True)
class Stroke:
    """An entry of a legend that several charts share: what curves of this colour and dash are."""

    label: str
    colour: str
    dash: str


@dataclass(frozen=True)
class Mark:
    """A value of x that is pointed out."""

    x: float
    label: str


@dataclass(frozen=True)
class Chart:
    """Curves over one x axis, in a frame of `width` x `height`; y begins at 0."""

    title: str
    curves: tuple[Curve, ...]
    marks: tuple[Mark, ...] = ()
    width: float = 430
    height: float = 220

    @property
    def _span(self) -> tuple[float, float]:
        values = [x for curve in self.curves for x, _ in curve.points]
        low, high = min(values), max(values)
        return (low, high) if high > low else (low - 0.05, high + 0.05)

    @property
    def _top(self) -> float:
        return max((y for curve in self.curves for _, y in curve.points), default=0.0) or 1.0

    def x(self, value: float) -> float:
        low, high = self._span
        return (value - low) / (high - low) * self.width

    def y(self, value: float) -> float:
        """Downwards, as pictures count."""
        return (1 - value / self._top) * self.height

    @property
    def x_ticks(self) -> list[float]:
        return ticks(*self._span)

    @property
    def y_ticks(self) -> list[float]:
        return ticks(0, self._top)

    @property
    def label_heights(self) -> list[float]:
        """Where each curve's label stands: at its last point, moved so that no two are closer than a line."""
        return spread([self.y(curve.points[-1][1]) for curve in self.curves], LINE)

    def path(self, curve: Curve) -> str:
        """A curve as the points of an SVG polyline."""
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in curve.points)


def ticks(low: float, high: float) -> list[float]:
    """Round values from `low` to `high`, about `TICKS` of them."""
    raw = (high - low) / TICKS
    if raw < LEAST_STEP:
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(nice for nice in NICE if nice * power >= raw * 0.9999) * power
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def spread(heights: list[float], gap: float) -> list[float]:
    """The heights in their order, moved apart until neighbours are at least `gap` from each other.

    Those that are too close become a block around the middle of where they were.
    """
    blocks: list[list[int]] = []

    def top(block: list[int]) -> float:
        middle = sum(heights[index] for index in block) / len(block)
        return middle - gap * (len(block) - 1) / 2

    for index in sorted(range(len(heights)), key=heights.__getitem__):
        blocks.append([index])
        while len(blocks) > 1 and top(blocks[-2]) + gap * len(blocks[-2]) > top(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    placed = [0.0] * len(heights)
    for block in blocks:
        for rank, index in enumerate(block):
            placed[index] = top(block) + gap * rank
    return placed

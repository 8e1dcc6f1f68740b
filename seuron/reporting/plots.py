"""Scores as pictures of pixels, for places that show no SVG: the plot of a sweep, and where a run loses its bits.

Charts are laid out by `charts.py`, as they are for the SVG; colours are those of the style sheet, on white paper.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from seuron.evaluation import Scores
from seuron.evaluation.scores import ObjectError
from seuron.reporting.charts import Chart, Curve, Mark, Stroke
from seuron.reporting.quantities import big, count

Point: TypeAlias = tuple[float, float]

#: Pixels for one unit of a chart: screens are finer than the units of SVG.
SCALE = 2
#: Units from chart to chart, and around them.
ACROSS, DOWN, LEFT, TOP = 530, 300, 50, 40
_LEGEND_LINE, _STROKE = 20, 30
_PAPER = "#ffffff"
#: Units of a bar from one to the next, of the names before them, and of the longest.
BAR, NAMES, LONGEST_BAR = 22, 205, 220


def chart_picture(charts: Sequence[Chart], legend: Sequence[Stroke] = ()) -> Image.Image:
    """Charts in two columns, above them what strokes mean."""
    above = TOP + _LEGEND_LINE * len(legend)
    paper = _Paper(2 * ACROSS, above + DOWN * ((len(charts) + 1) // 2))
    for number, stroke in enumerate(legend):
        y = 14 + _LEGEND_LINE * number
        paper.line([(LEFT, y), (LEFT + _STROKE, y)], stroke.colour, dash=stroke.dash, width=2)
        paper.text((LEFT + _STROKE + 10, y), stroke.label, "--ink", anchor="lm")
    for number, chart in enumerate(charts):
        _draw(paper.at(LEFT + ACROSS * (number % 2), above + DOWN * (number // 2)), chart)
    return paper.picture


def score_picture(scores: Scores) -> Image.Image:
    """What a segmentation's worst merges and splits cost, a bar for each; the totals stand above."""
    sides = (
        ("VOI merge", scores.voi_merge, "segment", scores.worst_merges, "--evaluation"),
        ("VOI split", scores.voi_split, "true object", scores.worst_splits, "--affinities"),
    )
    rows = max(len(worst) for _, _, _, worst, _ in sides)
    paper = _Paper(2 * ACROSS, TOP + 60 + BAR * max(rows, 1))
    head = f"adapted Rand error {scores.adapted_rand_error:.4f}, over {count(scores.truths)} true objects"
    paper.text((LEFT, 16), head, "--ink", size=13, anchor="lm")
    longest = max((one.bits for _, _, _, worst, _ in sides for one in worst), default=0.0) or 1.0
    for number, (name, total, what, worst, colour) in enumerate(sides):
        side = paper.at(LEFT + ACROSS * number, TOP + 10)
        side.text((0, 10), f"{name}: {total:.4f} bits, the worst {what}s", "--ink", size=13, anchor="lm")
        for row, one in enumerate(worst):
            _bar(side.at(0, 40 + BAR * row), what, one, one.bits / longest, colour)
        if not worst:
            side.text((0, 40), "none", "--soft", anchor="lm")
    return paper.picture


def _bar(paper: _Paper, what: str, one: ObjectError, share: float, colour: str) -> None:
    paper.text((NAMES - 8, 0), f"{what} {one.id}" if one.id else "background", "--soft", anchor="rm")
    end = NAMES + max(share * LONGEST_BAR, 1)
    paper.box((NAMES, -BAR * 0.35), (end, BAR * 0.35), colour)
    paper.text((end + 6, 0), f"{one.bits:.4f}", "--soft", anchor="lm")


def _draw(paper: _Paper, chart: Chart) -> None:
    paper.text((0, -18), chart.title, "--ink", size=13, anchor="lm")
    for tick in chart.y_ticks:
        paper.line([(0, chart.y(tick)), (chart.width, chart.y(tick))], "--line")
        paper.text((-6, chart.y(tick)), big(tick) if tick >= 1000 else f"{tick:.4g}", "--soft", anchor="rm")
    for tick in chart.x_ticks:
        paper.text((chart.x(tick), chart.height + 6), f"{tick:.4g}", "--soft", anchor="ma")
    paper.text((chart.width, chart.height + 22), "threshold", "--soft", anchor="ra")
    for row, mark in enumerate(chart.marks):
        _draw_mark(paper, chart, mark, row)
    for number, curve in enumerate(chart.curves):
        _draw_curve(paper, chart, curve, chart.label_heights[number])


def _draw_mark(paper: _Paper, chart: Chart, mark: Mark, row: int) -> None:
    colour, x = "--good" if row else "--mark", chart.x(mark.x)
    paper.line([(x, 0), (x, chart.height)], colour, dash="4 3")
    late = x > 0.7 * chart.width
    place = (x + (-4 if late else 4), chart.height - 10 - 13 * row)
    paper.text(place, f"{mark.label} {mark.x:.4g}", colour, anchor="rm" if late else "lm")


def _draw_curve(paper: _Paper, chart: Chart, curve: Curve, label_height: float) -> None:
    points = [(chart.x(x), chart.y(y)) for x, y in curve.points]
    paper.line(points, curve.colour, dash=curve.dash, width=2)
    for x, y in points:
        paper.dot((x, y), 2.5, curve.colour)
    if curve.label and not curve.in_legend:
        paper.text((chart.width + 6, label_height), curve.label, curve.colour, anchor="lm")


class _Paper:
    """A picture that is drawn on in units, from a corner of one's own."""

    def __init__(self, width: float, height: float) -> None:
        self.picture = Image.new("RGB", (round(width * SCALE), round(height * SCALE)), _PAPER)
        self._draw = ImageDraw.Draw(self.picture)
        self._corner: Point = (0.0, 0.0)

    def at(self, x: float, y: float) -> _Paper:
        """The same picture, counted from another corner."""
        moved = object.__new__(_Paper)
        moved.picture, moved._draw = self.picture, self._draw
        moved._corner = (self._corner[0] + x, self._corner[1] + y)
        return moved

    def line(self, points: Sequence[Point], colour: str, *, dash: str = "", width: float = 1) -> None:
        lengths = [float(part) for part in dash.split()]
        for piece in dashes(points, lengths) if lengths else [points]:
            self._draw.line([self._pixel(point) for point in piece], _colour(colour), round(width * SCALE), "curve")

    def dot(self, middle: Point, radius: float, colour: str) -> None:
        x, y = self._pixel(middle)
        reach = radius * SCALE
        self._draw.ellipse((x - reach, y - reach, x + reach, y + reach), _colour(colour))

    def box(self, first: Point, last: Point, colour: str) -> None:
        self._draw.rectangle((*self._pixel(first), *self._pixel(last)), _colour(colour))

    def text(self, place: Point, words: str, colour: str, *, size: float = 11, anchor: str = "la") -> None:
        plain = " ".join(words.split())  # the font has no narrow space
        self._draw.text(self._pixel(place), plain, _colour(colour), ImageFont.load_default(size * SCALE), anchor)

    def _pixel(self, point: Point) -> Point:
        return ((self._corner[0] + point[0]) * SCALE, (self._corner[1] + point[1]) * SCALE)


def dashes(points: Sequence[Point], pattern: Sequence[float]) -> Iterator[list[Point]]:
    """The drawn pieces of a line through points: `pattern` has the lengths of strokes and gaps in turn."""
    number, left, piece = 0, pattern[0], list(points[:1])
    for (x0, y0), (x1, y1) in pairwise(points):
        length, gone = math.hypot(x1 - x0, y1 - y0), 0.0
        while length - gone > left:
            gone += left
            corner = (x0 + (x1 - x0) * gone / length, y0 + (y1 - y0) * gone / length)
            if number % 2 == 0:
                yield [*piece, corner]
            number, piece = number + 1, [corner]
            left = pattern[number % len(pattern)]
        left -= length - gone
        piece.append((x1, y1))
    if number % 2 == 0 and len(piece) > 1:
        yield piece


@lru_cache
def _colours() -> dict[str, str]:
    """The colours of the style sheet by their variables, those for white paper, which come first."""
    sheet = (files("seuron.reporting") / "templates" / "style.css").read_text()
    return dict(re.findall(r"(--[a-z]+): (#[0-9a-f]{6});", sheet.partition("}")[0]))


def _colour(variable: str) -> str:
    return _colours()[variable]

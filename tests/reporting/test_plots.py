"""Plots of scores as pictures: what is in a chart or a table of scores is drawn, in its colour and of its length."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from seuron.evaluation import Scores
from seuron.evaluation.scores import ObjectError
from seuron.reporting.charts import Chart, Curve, Mark, Stroke
from seuron.reporting.plots import (
    ACROSS,
    BAR,
    DOWN,
    LEFT,
    LONGEST_BAR,
    NAMES,
    SCALE,
    TOP,
    chart_picture,
    dashes,
    score_picture,
)

MERGE, SPLIT = (0xC2, 0x55, 0x6B), (0x4E, 0x79, 0xA7)
coordinates = st.integers(-50, 50).map(float)
points = st.lists(st.tuples(coordinates, coordinates), min_size=2, max_size=6)


def length(line: list[tuple[float, float]]) -> float:
    return sum(math.dist(a, b) for a, b in pairwise(line))


@given(points, st.lists(st.integers(1, 9).map(float), min_size=2, max_size=4).filter(lambda p: len(p) % 2 == 0))
def test_dashes_are_the_strokes_of_the_pattern(line: list[tuple[float, float]], pattern: list[float]) -> None:
    """Each piece is as long as its stroke, but for the last, and all together as the pattern says of the length."""
    pieces = [length(piece) for piece in dashes(line, pattern)]
    strokes = [pattern[2 * index % len(pattern)] for index in range(len(pieces))]
    assert pieces[:-1] == pytest.approx(strokes[:-1])
    whole, drawn, number = length(line), 0.0, 0
    while whole > 0:
        drawn += 0.0 if number % 2 else min(whole, pattern[number % len(pattern)])
        whole, number = whole - pattern[number % len(pattern)], number + 1
    assert sum(pieces) == pytest.approx(drawn, abs=1e-6)


def is_colour(pixels: NDArray[np.int64], x: float, y: float, colour: tuple[int, int, int]) -> bool:
    found = pixels[round(y * SCALE) - 2 : round(y * SCALE) + 3, round(x * SCALE) - 2 : round(x * SCALE) + 3]
    return bool((found == colour).all(axis=2).any())


@given(st.lists(st.floats(0, 5), min_size=2, max_size=8), st.integers(0, 3))
def test_each_point_of_a_curve_is_drawn(values: list[float], others: int) -> None:
    """Wherever a chart stands, every point of its curve is where the chart's own scale puts it."""
    curve = Curve("both", "--affinities", tuple((0.1 * number, y) for number, y in enumerate(values)))
    chart = Chart("VOI", (curve,), (Mark(0.1, "best"),))
    empty = Chart("Segments", (Curve("", "--labels", ((0.0, 1.0), (0.1, 1.0))),))
    picture = chart_picture([*([empty] * others), chart], [Stroke("none", "--ink", "4 2")])
    pixels = np.asarray(picture).astype(int)
    assert picture.size == (2 * ACROSS * SCALE, (TOP + 20 + DOWN * (others // 2 + 1)) * SCALE)
    left, top = LEFT + ACROSS * (others % 2), TOP + 20 + DOWN * (others // 2)
    for x, y in curve.points:
        assert is_colour(pixels, left + chart.x(x), top + chart.y(y), SPLIT)


def scores(merges: list[float], splits: list[float]) -> Scores:
    worst = [[ObjectError(id=n, voxels=9, bits=b, overlaps=[]) for n, b in enumerate(s)] for s in (merges, splits)]
    return Scores(
        voi_split=sum(splits),
        voi_merge=sum(merges),
        adapted_rand_error=0.5,
        adapted_rand_precision=0.5,
        adapted_rand_recall=0.5,
        voxels=100,
        ignored_voxels=0,
        background_voxels=0,
        segments=5,
        truths=5,
        worst_merges=worst[0],
        worst_splits=worst[1],
    )


@given(*[st.lists(st.floats(1e-3, 3), max_size=10).map(lambda bits: sorted(bits, reverse=True))] * 2)
def test_bars_are_as_long_as_their_bits(merges: list[float], splits: list[float]) -> None:
    """Both sides have one scale, so that one sees which kind of error costs more; no bar stands for nothing."""
    pixels = np.asarray(score_picture(scores(merges, splits))).astype(int)
    longest = max([*merges, *splits], default=1.0)
    for number, (bits, colour) in enumerate(((merges, MERGE), (splits, SPLIT))):
        left = (LEFT + ACROSS * number + NAMES) * SCALE
        for row, value in enumerate(bits):
            y = (TOP + 50 + BAR * row) * SCALE
            drawn = (pixels[y, left : left + (LONGEST_BAR + 2) * SCALE] == colour).all(axis=1).sum()
            assert abs(drawn - max(value / longest * LONGEST_BAR, 1) * SCALE) <= SCALE
        assert (pixels == colour).all(axis=2).any() == bool(bits)

"""A sweep's files: one page that needs nothing else, a plot that is well-formed, a table that says the same."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.engine.run import Run
from seuron.evaluation import Agreement
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.analysis import Sweep, SweepPoint
from seuron.pipelines.segmentation.analysis.sweep import SegmentSizes
from seuron.pipelines.segmentation.analysis.sweep_page import (
    legend,
    point_marks,
    render_plot,
    render_sweep,
    write_sweep,
)
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.reporting.charts import Chart, Curve, spread, ticks
from seuron.storage import Storage
from seuron.storage.tables import read_table

SVG = "{http://www.w3.org/2000/svg}"


def point(variant: str, threshold: float, *, scored: bool) -> SweepPoint:
    sizes = SegmentSizes(segments=int(1000 * threshold), largest=5_000_000, n50=70_000, small_share=threshold / 4)
    agreement = Agreement(
        voi_split=threshold,
        voi_merge=0.2 / threshold,
        adapted_rand_error=abs(threshold - 0.6),
        adapted_rand_precision=0.9,
        adapted_rand_recall=0.8,
    )
    return SweepPoint(
        variant=variant, threshold=threshold, joins=3, sizes=sizes, agreement=agreement if scored else None
    )


def sweep_of(*variants: str, scored: bool = True) -> Sweep:
    points = tuple(point(variant, t, scored=scored) for variant in variants for t in (0.2, 0.4, 0.6, 0.8))
    truth = "file:///data/<truth>" if scored else None
    return Sweep(
        run="file:///runs/a",
        ground_truth=truth,
        own_threshold=0.8,
        own_variant="run" if "run" in variants else None,
        small=10_000,
        points=points,
    )


@pytest.fixture
def run(affinity_run: Run, tmp_path: Path) -> Run:
    return Run(PIPELINE, SegmentationParams(affinities="/a", output=str(tmp_path / "run <b>")), affinity_run.facts)


def test_all_files_say_the_same(run: Run) -> None:
    """Table and JSON hold every point; the page holds every line, and nothing to load."""
    sweep = sweep_of("run")
    page = write_sweep(run, sweep)
    assert page == f"{run.output}/sweep/sweep.html"
    table = read_table(Storage(f"{run.output}/sweep"), "sweep")
    written = json.loads(run.storage.get("sweep/sweep.json") or b"")
    for name, column in table.items():
        assert column.tolist() == [row[name] for row in written["points"]]
    assert table["threshold"].tolist() == [0.2, 0.4, 0.6, 0.8]
    np.testing.assert_allclose(table["voi"], table["voi_split"] + table["voi_merge"])
    assert written["best"]["voi"] == {"variant": "run", "threshold": 0.4}
    html = (run.storage.get("sweep/sweep.html") or b"").decode()
    assert html.count("<tr>") == 5
    assert "run &lt;b&gt;" in html
    assert "&lt;truth&gt;" in html
    assert not re.search(r'(src|href)="(?!data:)', html)
    again = write_sweep(run, sweep_of("run", scored=False))
    assert again == page
    assert "voi" not in read_table(Storage(f"{run.output}/sweep"), "sweep"), "a new sweep takes the old one's place"


def test_points_are_marked(run: Run) -> None:
    """The run's own and the best by each score, in the table and in the plot."""
    sweep = sweep_of("run")
    assert [point_marks(sweep, p) for p in sweep.points] == [[], ["best VOI"], ["best Rand"], ["this run"]]
    html = render_sweep(run, sweep)
    for words in ("best VOI</td>", "best Rand</td>", "this run</td>", "this run 0.8</text>", "best 0.6</text>"):
        assert words in html


@pytest.mark.parametrize(
    ("sweep", "titles", "curves"),
    [
        (sweep_of("run"), 4, 6),
        (sweep_of("run", scored=False), 2, 2),
        (sweep_of("run", "macrina2021", "none"), 6, 18),
        (sweep_of("none", scored=False), 2, 2),
    ],
)
def test_the_plot_is_an_svg_with_a_curve_for_each_quantity_and_variant(sweep: Sweep, titles: int, curves: int) -> None:
    """Well-formed, every curve inside its frame, variants told apart by name and dash."""
    root = ElementTree.fromstring(render_plot(sweep))
    assert root.tag == f"{SVG}svg"
    assert len(root.findall(f"{SVG}g")) == titles
    lines = root.findall(f".//{SVG}polyline")
    assert len(lines) == curves
    for line in lines:
        for pair in line.attrib["points"].split():
            x, y = (float(value) for value in pair.split(","))
            assert 0 <= x <= 430
            assert 0 <= y <= 220
    strokes = {(line.attrib["style"], line.attrib.get("stroke-dasharray")) for line in lines}
    assert len(strokes) >= len(sweep.variants)
    hints = {(title.text or "").split()[0] for title in root.iter(f"{SVG}title")}
    assert sweep.variants == ["run"] or hints == set(sweep.variants)
    names = [text.text for text in root.findall(f"{SVG}text")]
    assert names == ([] if sweep.variants == ["run"] else sweep.variants)


def test_many_variants_are_told_apart() -> None:
    """Ten rule lists have ten strokes, whatever colours and dashes there are."""
    strokes = legend(sweep_of(*(f"rules {n}" for n in range(10))))
    assert len({(stroke.colour, stroke.dash) for stroke in strokes}) == 10


def test_rules_are_told_where_there_are_others_than_the_runs_own(run: Run) -> None:
    """A column in the table, a legend, which rules are best, and that the run's own are not there."""
    html = render_sweep(run, sweep_of("none", "macrina2021"))
    for words in ("<th>rules</th>", "<td>macrina2021</td>", "best: none 0.4</text>", "threshold of the run 0.8</text>"):
        assert words in html
    assert "this run</td>" not in html
    assert "<th>rules</th>" not in render_sweep(run, sweep_of("run"))
    both = sweep_of("macrina2021", "run")
    assert [point.variant for point in both.points if "this run" in point_marks(both, point)] == ["run"]


def test_of_equal_points_the_first_of_the_highest_threshold_is_best() -> None:
    """Rules that change nothing are not better than those named before them."""
    sweep = sweep_of("none", "macrina2021")
    assert {(best.variant, best.threshold) for best in sweep.best.values()} == {("none", 0.4), ("none", 0.6)}


@given(st.lists(st.floats(0, 220), max_size=12))
def test_labels_are_moved_apart_and_keep_their_order(heights: list[float]) -> None:
    """No two are closer than a line; those that are not too close to any stay where they are."""
    placed = spread(heights, 13)
    order = sorted(range(len(heights)), key=heights.__getitem__)
    gaps = [placed[after] - placed[before] for before, after in pairwise(order)]
    assert all(gap >= 13 - 1e-9 for gap in gaps)
    if all(heights[after] - heights[before] >= 13 for before, after in pairwise(order)):
        assert placed == heights


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.1, 0.9, [0.2, 0.4, 0.6, 0.8]),
        (0, 2.7, [0, 1, 2]),
        (0, 12_540, [0, 5000, 10_000]),
        (0, 0.003, [0, 0.001, 0.002, 0.003]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    """Steps of 1, 2 or 5, inside the range."""
    assert ticks(low, high) == pytest.approx(expected)


def test_a_chart_of_one_point_or_of_zeros_has_a_frame() -> None:
    """One threshold, and no segment: nothing is divided by zero."""
    chart = Chart("one", (Curve("", "--ink", ((0.5, 0.0),)),))
    assert chart.x(0.5) == pytest.approx(chart.width / 2)
    assert chart.y(0.0) == chart.height
    assert chart.x_ticks
    assert chart.y_ticks

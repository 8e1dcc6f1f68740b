"""A sweep as files: OUTPUT/sweep/ gets its table, its plot, and a page that shows both.

sweep.parquet    a row for each variant and threshold
sweep.json       the same, with the best points and the run's own
sweep.svg        the plot
sweep.html       plot and table, with nothing to load from elsewhere
"""

from __future__ import annotations

import json
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np

from seuron import __version__
from seuron.pipelines.segmentation.analysis import Sweep, SweepPoint
from seuron.pipelines.segmentation.analysis.named_rules import OWN_RULES
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.reporting.charts import Chart, Curve, Mark, Stroke
from seuron.reporting.page_templates import environment
from seuron.storage import Storage, join
from seuron.storage.tables import write_table

FOLDER = "sweep"
#: What tells variants apart, where their curves lie on each other too: colours of the style sheet, and dash patterns.
COLOURS = ("--ink", "--affinities", "--agglomeration", "--evaluation", "--watershed", "--labels")
DASHES = ("", "7 4", "2 3", "9 3 2 3", "5 2", "2 5")
#: The scores that have a best point, in words.
SCORE_LABELS = {"voi": "best VOI", "adapted_rand_error": "best Rand"}


def write_sweep(run: SegmentationRun, sweep: Sweep) -> str:
    """Write a sweep's files, each whole or not at all, in place of an earlier one's; returns the page's path."""
    folder = Storage(join(run.output, FOLDER))
    write_table(folder, "sweep", sweep_columns(sweep))
    folder.put("sweep.json", json.dumps(sweep_json(sweep), indent=1).encode())
    folder.put("sweep.svg", render_plot(sweep).encode())
    folder.put("sweep.html", render_sweep(run, sweep).encode())
    return f"{folder.path}/sweep.html"


def sweep_columns(sweep: Sweep) -> dict[str, np.ndarray[Any, Any]]:
    """A row for each point; scores are there when the run was scored."""
    rows = [_flat(point) for point in sweep.points]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def sweep_json(sweep: Sweep) -> dict[str, Any]:
    """A sweep as plain data, with its best points."""
    best = {score: {"variant": point.variant, "threshold": point.threshold} for score, point in sweep.best.items()}
    return {**sweep.model_dump(mode="json", exclude={"points"}), "best": best, "points": [*map(_flat, sweep.points)]}


def _flat(point: SweepPoint) -> dict[str, Any]:
    row = {"variant": point.variant, "threshold": point.threshold, "joins": point.joins, **point.sizes.model_dump()}
    if point.agreement is not None:
        row |= {**point.agreement.model_dump(), "voi": point.agreement.voi}
    return row


def point_marks(sweep: Sweep, point: SweepPoint) -> list[str]:
    """What is to be said of a point: that it is the run's own, or the best by a score."""
    own = ["this run"] if point == sweep.own else []
    return own + [SCORE_LABELS[score] for score, best in sweep.best.items() if point == best]


def has_rules(sweep: Sweep) -> bool:
    """Whether points differ in rules: there are others than the run's own."""
    return sweep.variants != [OWN_RULES]


def render_plot(sweep: Sweep) -> str:
    """The plot as an SVG file of its own."""
    return (
        environment("seuron.pipelines.segmentation")
        .get_template("sweep.svg.j2")
        .render(charts=charts(sweep), legend=legend(sweep))
    )


def render_sweep(run: SegmentationRun, sweep: Sweep) -> str:
    """The page as HTML."""
    return (
        environment("seuron.pipelines.segmentation")
        .get_template("sweep.html.j2")
        .render(
            name=run.output.rstrip("/").rsplit("/", 1)[-1],
            sweep=sweep,
            version=__version__,
            charts=charts(sweep),
            legend=legend(sweep),
            has_rules=has_rules(sweep),
            rows=[(point, point_marks(sweep, point)) for point in sweep.points],
        )
    )


def legend(sweep: Sweep) -> list[Stroke]:
    """How the curve of each variant is drawn; the run's own rules alone need no name."""
    if not has_rules(sweep):
        return []
    kinds = len(COLOURS)
    return [
        Stroke(variant, COLOURS[n % kinds], DASHES[(n + n // kinds) % len(DASHES)])
        for n, variant in enumerate(sweep.variants)
    ]


def charts(sweep: Sweep) -> list[Chart]:
    """The scores, where there are any, and the sizes, over the threshold: a curve for each variant.

    Of the run's own rules alone, the parts of the VOI are curves in one chart; else each has a chart.
    """
    found = []
    own = Mark(sweep.own_threshold, "this run" if sweep.own else "threshold of the run")
    if sweep.best:
        voi, rand = (_best(sweep, score) for score in ("voi", "adapted_rand_error"))
        title, parts = "Variation of information, bits", (("split", "--affinities"), ("merge", "--evaluation"))
        total = _curves(sweep, "agreement.voi", "both")
        if has_rules(sweep):
            found.append(Chart(title, total, (own, voi)))
            found += [Chart(f"{title}: {part}", _curves(sweep, f"agreement.voi_{part}"), (own,)) for part, _ in parts]
        else:
            curves = (_curves(sweep, f"agreement.voi_{part}", part, colour) for part, colour in parts)
            found.append(Chart(title, (*chain(*curves), *total), (own, voi)))
        found.append(Chart("Adapted Rand error", _curves(sweep, "agreement.adapted_rand_error"), (own, rand)))
    found.append(Chart("Segments", _curves(sweep, "sizes.segments", colour="--labels"), (own,)))
    small = _curves(sweep, "sizes.small_share", colour="--labels", scale=100)
    found.append(Chart(f"Voxels in segments below {sweep.small:,} voxels, %", small, (own,)))
    return found


def _best(sweep: Sweep, score: str) -> Mark:
    point = sweep.best[score]
    return Mark(point.threshold, f"best: {point.variant}" if has_rules(sweep) else "best")


def _curves(
    sweep: Sweep, quantity: str, label: str = "", colour: str = COLOURS[0], scale: float = 1
) -> tuple[Curve, ...]:
    """A quantity's curve for each variant, as the legend says; without one, a single curve with `label` and `colour`.

    `quantity` is an attribute of a point, dots in it, and is drawn times `scale`.
    """
    of = attrgetter(quantity)
    strokes = legend(sweep)
    if not strokes:
        return (Curve(label, colour, tuple((p.threshold, scale * of(p)) for p in sweep.points)),)
    return tuple(
        Curve(
            label=stroke.label,
            colour=stroke.colour,
            points=tuple((p.threshold, scale * of(p)) for p in sweep.points if p.variant == stroke.label),
            dash=stroke.dash,
            in_legend=True,
        )
        for stroke in strokes
    )

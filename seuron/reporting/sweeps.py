"""A sweep as files: OUTPUT/sweep/ gets its table, its plot, and a page that shows both.

sweep.parquet    a row for each variant and threshold
sweep.json       the same, with the best points and the run's own
sweep.svg        the plot
sweep.html       plot and table, with nothing to load from elsewhere
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from seuron import __version__
from seuron.decisions import Sweep, SweepPoint
from seuron.reporting.charts import Chart, Curve, Mark
from seuron.reporting.templating import environment
from seuron.runs import Run
from seuron.storage import Storage, join
from seuron.tables import write_table

FOLDER = "sweep"
#: Dash patterns that tell variants apart.
DASHES = ("", "6 3", "2 3", "8 3 2 3")
#: The scores that have a best point, in words.
SCORE_LABELS = {"voi": "best VOI", "adapted_rand_error": "best Rand"}


def write_sweep(run: Run, sweep: Sweep) -> str:
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


def render_plot(sweep: Sweep) -> str:
    """The plot as an SVG file of its own."""
    return environment().get_template("sweep.svg.j2").render(charts=charts(sweep))


def render_sweep(run: Run, sweep: Sweep) -> str:
    """The page as HTML."""
    return (
        environment()
        .get_template("sweep.html.j2")
        .render(
            name=run.output.rstrip("/").rsplit("/", 1)[-1],
            sweep=sweep,
            version=__version__,
            charts=charts(sweep),
            rows=[(point, point_marks(sweep, point)) for point in sweep.points],
        )
    )


def charts(sweep: Sweep) -> list[Chart]:
    """The scores, where there are any, and the sizes, over the threshold."""
    found = []
    own = Mark(sweep.own_threshold, "this run")
    if sweep.best:
        voi, rand = (Mark(sweep.best[score].threshold, "best") for score in ("voi", "adapted_rand_error"))
        bits = [
            ("split", "--affinities", lambda p: p.agreement.voi_split),
            ("merge", "--evaluation", lambda p: p.agreement.voi_merge),
            ("both", "--ink", lambda p: p.agreement.voi),
        ]
        found.append(Chart("Variation of information, bits", _curves(sweep, bits), (own, voi)))
        error = [("", "--ink", lambda p: p.agreement.adapted_rand_error)]
        found.append(Chart("Adapted Rand error", _curves(sweep, error), (own, rand)))
    number = [("", "--labels", lambda p: p.sizes.segments)]
    found.append(Chart("Segments", _curves(sweep, number), (own,)))
    share = [("", "--labels", lambda p: 100 * p.sizes.small_share)]
    found.append(Chart(f"Voxels in segments below {sweep.small:,} voxels, %", _curves(sweep, share), (own,)))
    return found


def _curves(sweep: Sweep, quantities: list[tuple[str, str, Any]]) -> tuple[Curve, ...]:
    """A curve for each variant and quantity; the variant's name is told where there are several."""
    several = len(sweep.variants) > 1
    return tuple(
        Curve(
            label=" ".join(word for word in (variant if several else "", label) if word),
            colour=colour,
            points=tuple((p.threshold, float(of(p))) for p in sweep.points if p.variant == variant),
            dash=DASHES[number % len(DASHES)],
        )
        for number, variant in enumerate(sweep.variants)
        for label, colour, of in quantities
    )

"""Commands that ask a finished run: `sweep` over other thresholds and rules, and `explain` two pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from seuron.decisions import Explanation, Sweep
    from seuron.runs import Run

DEFAULT_THRESHOLDS = "0.1:0.9:0.05"


def sweep(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="folder of a finished run")],
    thresholds: Annotated[
        str, typer.Option(metavar="FIRST:LAST:STEP", help="or a list, 0.2,0.25,0.5")
    ] = DEFAULT_THRESHOLDS,
    rules: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULES",
            help="run (its own, the default), none, a preset, or a JSON file with a list of rules; may be repeated",
        ),
    ] = None,
    truth: Annotated[
        str | None, typer.Option(help="precomputed labels to score against; the run's own when left out")
    ] = None,
    small: Annotated[int, typer.Option(min=0, help="segments of fewer voxels count as small")] = 10_000,
    json: Annotated[bool, typer.Option("--json", help="everything, for scripts")] = False,
) -> None:
    """What other thresholds and rules would give: scores and sizes, as a table and OUTPUT/sweep/sweep.html.

    Read from the run's tables, no voxel among them; nothing of the run changes.
    """
    import json as json_format

    from seuron.cli import words
    from seuron.decisions import rules_by_name, sweep_run
    from seuron.reporting.sweeps import sweep_json, write_sweep
    from seuron.runs import Run

    swept = words.thresholds(thresholds, "--thresholds")
    run = Run.open(words.absolute(output))
    found = sweep_run(
        run,
        swept,
        rules=rules_by_name(run, rules) if rules else None,
        ground_truth=words.absolute(truth) if truth is not None else None,
        small=small,
    )
    page = write_sweep(run, found)
    if json:
        typer.echo(json_format.dumps(sweep_json(found), indent=1))
        return
    for line in _table(found):
        typer.echo(line)
    typer.echo(f"\nplot and table: {page}")


def _table(found: Sweep) -> list[str]:
    """A line for each point, what is best or the run's own marked at its end."""
    from seuron.reporting.sweeps import point_marks, tells_rules

    width = max(len(variant) for variant in ("rules", *found.variants)) if tells_rules(found) else 0
    head = f"{'rules':<{width}} " if width else ""
    head += f"{'threshold':>9} {'segments':>9} {'largest':>11} {'N50':>10} {'small':>7}"
    if found.ground_truth is not None:
        head += f" {'VOI split':>10} {'VOI merge':>10} {'VOI':>8} {'Rand error':>11}"
    lines = [head]
    for point in found.points:
        sizes, scored = point.sizes, point.agreement
        line = f"{point.variant:<{width}} " if width else ""
        line += f"{point.threshold:>9.6g} {sizes.segments:>9} {sizes.largest:>11} {sizes.n50:>10}"
        line += f" {sizes.small_share:>7.2%}"
        if scored is not None:
            line += f" {scored.voi_split:>10.4f} {scored.voi_merge:>10.4f} {scored.voi:>8.4f}"
            line += f" {scored.adapted_rand_error:>11.4f}"
        lines.append("  ".join([line, *filter(None, [", ".join(point_marks(found, point))])]))
    return lines


def explain(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="folder of a finished run")],
    first: Annotated[str, typer.Argument(metavar="A", help="id of a segment or supervoxel, or a voxel x,y,z")],
    second: Annotated[str, typer.Argument(metavar="B", help="the same")],
    view: Annotated[
        bool, typer.Option("--view", help="start the viewer's server, and print a link to the place that decides")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="everything, for scripts")] = False,
) -> None:
    """Why two pieces are one segment, or not: their contact, what was joined between them, and where to look."""
    import json as json_format

    from seuron.cli.words import absolute, piece
    from seuron.decisions import explain_run
    from seuron.decisions.wording import sentences
    from seuron.runs import Run

    pieces = piece(first, "A"), piece(second, "B")
    run = Run.open(absolute(output))
    found = explain_run(run, *pieces)
    link = _link(run, found) if view else None
    if json:
        typer.echo(json_format.dumps({**found.model_dump(mode="json"), "view": link}, indent=1))
        return
    for sentence in sentences(found):
        typer.echo(sentence)
    if link is not None:
        typer.echo(link)


def _link(run: Run, found: Explanation) -> str | None:
    """A link to the contact that decides, the segments picked out; None where there is no such contact."""
    from seuron.deployment import Home
    from seuron.viewer import Focus, view_run

    if found.focus is None:
        return None
    return view_run(run, Home.default().viewer, Focus(found.focus.place.voxel, found.segments))

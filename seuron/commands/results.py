"""Commands that ask results: sweep over other thresholds and rules, explain two pieces, evaluate against labels."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from seuron.commands.answers import Answer, Session
from seuron.commands.argument_types import (
    RUN,
    absolute_path,
    check_reachable,
    holds_run,
    id_or_voxel,
    is_path,
    parse_box,
    parse_thresholds,
)
from seuron.commands.formatting import table
from seuron.commands.registry import Argument, command
from seuron.errors import ParameterErrors, RefusedError, RunError
from seuron.storage import cloud_path
from seuron.storage.allowed_paths import check_path

if TYPE_CHECKING:
    from seuron.engine.run import Run
    from seuron.evaluation import Scores
    from seuron.pipelines.segmentation.analysis import Explanation, Sweep

GROUP = "Results"
PIECE = "id of a segment or supervoxel, or a voxel x,y,z"
#: Segments of fewer voxels count as small (seuron.pipelines.segmentation.analysis.sweep says why), and what is swept.
SMALL, THRESHOLDS = 10_000, "0.1:0.9:0.05"
#: Tables of a whole run, or blocks of two layers, are in memory: one such command at a time in a process.
_AT_WORK = threading.Lock()


@command("sweep", aliases=("sweep run",), permission="look", group=GROUP)
def sweep(
    session: Session,
    run: Annotated[str, RUN],
    *,
    thresholds: Annotated[
        str, Argument("first:last:step, or a list such as 0.2,0.25,0.5", metavar="FIRST:LAST:STEP")
    ] = THRESHOLDS,
    rules: Annotated[
        list[str] | None,
        Argument(
            "run (its own, the default), none, a preset, or a JSON file with a list of rules; may be repeated",
            metavar="RULES",
        ),
    ] = None,
    truth: Annotated[str, Argument("precomputed labels to score against; the run's own when left out")] = "",
    small: Annotated[int, Argument("segments of fewer voxels count as small")] = SMALL,
) -> Answer:
    """Say what other thresholds and rules would give: scores and sizes, as a table, a plot and OUTPUT/sweep/sweep.html.

    Read from the tables of a finished run, no voxel among them; nothing of the run changes.
    """
    from seuron.pipelines.segmentation.analysis import rules_by_name, sweep_run
    from seuron.pipelines.segmentation.analysis.sweep_page import sweep_json, write_sweep

    if small < 0:
        raise ParameterErrors([f"`small`: got {small}; give a number of voxels, 0 or more"])
    swept = parse_thresholds(thresholds, "thresholds")
    labels = _read_there(session, truth, "truth") if truth else None
    handle = session.find(run)
    found_run, named = handle.folder(), _rules(session, rules or ())
    others = rules_by_name(found_run, named) if named else None
    with _alone(session):
        session.progress(Answer(f"sweeping {handle.name}: {len(swept)} thresholds{_times(named)}"))
        found = sweep_run(found_run, swept, rules=others, ground_truth=labels, small=small)
    page = write_sweep(found_run, found)
    pictures = _plot_files(found, session.pictures) if session.pictures is not None else []
    text = f"{_sweep_table(found)}\n\nplot and table: {page}"
    return Answer(text, sweep_json(found), {"plot and table": page}, pictures)


@command("explain", aliases=("explain pieces", "why"), permission="look", group=GROUP)
def explain(
    session: Session,
    run: Annotated[str, RUN],
    first: Annotated[str, Argument(PIECE, metavar="A")],
    second: Annotated[str, Argument("the same", metavar="B")],
    *,
    view: Annotated[bool, Argument("start the viewer's server, and give a link to the place that decides")] = False,
) -> Answer:
    """Say why two pieces are one segment, or not: their contact, what was joined between them, and where to look."""
    from seuron.pipelines.segmentation.analysis import explain_run
    from seuron.pipelines.segmentation.analysis.formatting import sentences

    pieces = id_or_voxel(first, "A"), id_or_voxel(second, "B")
    found_run = session.find(run).folder()
    with _alone(session):
        found = explain_run(found_run, *pieces)
    link = _link(session, found_run, found) if view else None
    lines = [*sentences(found), *([link] if link else [])]
    data = {**found.model_dump(mode="json"), "view": link}
    return Answer("\n".join(lines), data, {"viewer": link} if link else {})


@command("evaluate", aliases=("score",), permission="look", group=GROUP)
def evaluate(
    session: Session,
    segmentation: Annotated[str, Argument("a precomputed segmentation, or a run")],
    ground_truth: Annotated[
        str, Argument("precomputed labels, 0 and the ids -1, -2, -3 are ignored; a run's own when left out")
    ] = "",
    *,
    bbox: Annotated[str, Argument("x0,y0,z0,x1,y1,z1; what both have when left out", metavar="BOX")] = "",
    mip: Annotated[
        int, Argument("scale of the segmentation to compare at; of the labels, that with equal voxels is taken")
    ] = 0,
) -> Answer:
    """Score a segmentation: variation of information and adapted Rand error.

    Voxels are read here, both layers once.
    """
    from seuron.commands.summary import score_files
    from seuron.evaluation import compared_text, evaluate_volumes, evaluation_box, labels_like
    from seuron.volumes import open_volume

    box = parse_box(bbox, "bbox") if bbox else None
    if mip < 0:
        raise ParameterErrors([f"`mip`: got {mip}; give a scale, 0 or more"])
    layer, truth = _layers(session, segmentation, ground_truth)
    with _alone(session):
        session.progress(Answer(f"comparing {layer} with {truth}"))
        found = evaluate_volumes(layer, truth, box, mip)
    opened = open_volume(layer, mip)
    labels = labels_like(opened, truth)
    compared = compared_text(evaluation_box(opened, labels, box), opened.box, labels.box)
    pictures = score_files(found, session.pictures) if session.pictures is not None else []
    data = {**found.model_dump(mode="json"), "compared": compared}
    return Answer(f"{_scores_text(found)}\n{compared}", data, pictures=pictures)


@contextmanager
def _alone(session: Session) -> Iterator[None]:
    """Wait until no other command of the process needs that much memory."""
    if not _AT_WORK.acquire(blocking=False):
        session.progress(Answer("waiting until the command of another user is done"))
        _AT_WORK.acquire()
    try:
        yield
    finally:
        _AT_WORK.release()


def _times(named: Sequence[str]) -> str:
    return f" with the rules {', '.join(named)}" if named else ""


def _rules(session: Session, words: Sequence[str]) -> list[str]:
    """The rules that were asked for, files by their whole paths."""
    return [_read_there(session, word, "rules") if word.endswith(".json") else word for word in words]


def _read_there(session: Session, text: str, name: str) -> str:
    """The path of what is no run. The right to look covers runs; to have other places read takes the right to run."""
    if not session.may_run:
        raise RefusedError(
            f"{session.who} may not have {text} read: it takes the right to 'run'; runs take only 'look'"
        )
    path = absolute_path(session, text, name)
    check_path(path, "input", name)
    return path


def _sweep_table(found: Sweep) -> str:
    """A line for each point, what is best or the run's own marked at its end."""
    from seuron.pipelines.segmentation.analysis.sweep_page import has_rules, point_marks

    with_rules, scored = has_rules(found), found.ground_truth is not None
    head = [*(["rules"] if with_rules else []), "threshold", "segments", "largest", "N50", "small"]
    head += ["VOI split", "VOI merge", "VOI", "Rand error"] if scored else []
    rows = []
    for point in found.points:
        sizes, score = point.sizes, point.agreement
        row = [
            *([point.variant] if with_rules else []),
            f"{point.threshold:.6g}",
            str(sizes.segments),
            str(sizes.largest),
        ]
        row += [str(sizes.n50), f"{sizes.small_share:.2%}"]
        if score is not None:
            row += [f"{score.voi_split:.4f}", f"{score.voi_merge:.4f}", f"{score.voi:.4f}"]
            row.append(f"{score.adapted_rand_error:.4f}")
        rows.append([*row, ", ".join(point_marks(found, point))])
    return table([*head, ""], rows, right=range(int(with_rules), len(head)))


def _plot_files(found: Sweep, folder: Path) -> list[Path]:
    from seuron.pipelines.segmentation.analysis.sweep_page import charts, legend
    from seuron.reporting.plots import chart_picture

    folder.mkdir(parents=True, exist_ok=True)
    chart_picture(charts(found), legend(found)).save(folder / "sweep.png")
    return [folder / "sweep.png"]


def _link(session: Session, run: Run, found: Explanation) -> str | None:
    """A link to the contact that decides, the segments picked out; None where there is no such contact."""
    from seuron.web.viewer import Focus, view_run

    if not session.deployment.is_local:
        raise RunError("the viewer's server runs beside the deployment: give `explain` with `view` on its machine")
    if found.focus is None:
        return None
    return view_run(run, session.deployment.embedded.home.viewer, Focus(found.focus.place.voxel, found.segments))


def _layers(session: Session, segmentation: str, ground_truth: str) -> tuple[str, str]:
    """The two layers to compare."""
    from seuron.engine.run import Run

    truth = _read_there(session, ground_truth, "ground_truth") if ground_truth else ""
    place = absolute_path(session, segmentation, "segmentation") if is_path(session, segmentation) else ""
    if place and not session.may_run and cloud_path(place) in {handle.output for handle in session.deployment.runs()}:
        place = ""  # another name of a run that the deployment knows
    if place:
        _read_there(session, place, "segmentation")
    if place and not holds_run(place):
        if not truth:
            raise ParameterErrors(["`ground_truth` is missing: precomputed labels to compare with, 0 is ignored"])
        check_reachable(session, place)
        check_reachable(session, truth)
        return place, truth
    run = Run.open(place) if place else session.find(segmentation).folder()
    own = truth or run.params.ground_truth
    if not own:
        raise ParameterErrors([f"`ground_truth`: {run.output} was given none; say which labels to compare with"])
    check_reachable(session, own)
    return run.layer("segmentation"), own


def _scores_text(found: Scores) -> str:
    return (
        f"VOI split           {found.voi_split:.4f} bits\n"
        f"VOI merge           {found.voi_merge:.4f} bits\n"
        f"adapted Rand error  {found.adapted_rand_error:.4f}\n"
        f"over {found.voxels} voxels, {found.segments} segments, {found.truths} true objects\n"
        f"ignored: {found.ignored_voxels} voxels without ground truth (0 or a reserved id, the three highest)"
    )

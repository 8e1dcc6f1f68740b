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
    from seuron.box import Box
    from seuron.engine.run import Run
    from seuron.evaluation import ObjectError, RunLengths, Scores
    from seuron.pipelines.segmentation.analysis import Explanation, Sweep

GROUP = "Results"
PIECE = "id of a segment or supervoxel, or a voxel x,y,z"
#: Segments of fewer voxels count as small (seuron.pipelines.segmentation.analysis.sweep says why), and what is swept.
SMALL, THRESHOLDS = 10_000, "0.1:0.9:0.05"
#: Worst objects that an answer names.
WORST_SHOWN = 3
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
    with alone(session):
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
    with alone(session):
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
    boundary: Annotated[float, Argument("leave out voxels within so many nm of a boundary of the labels")] = 0.0,
    resample: Annotated[
        bool, Argument("take labels of any voxel size, each voxel that in which the segmentation's centre lies")
    ] = False,
) -> Answer:
    """Score a segmentation: variation of information and adapted Rand error, and where most of it comes from.

    Voxels are read here, both layers once.
    """
    from seuron.commands.summary import score_files
    from seuron.evaluation import evaluate_volumes

    box = parse_box(bbox, "bbox") if bbox else None
    problems = [f"`mip`: got {mip}; give a scale, 0 or more"] if mip < 0 else []
    if not 0 <= boundary < float("inf"):
        problems.append(f"`boundary`: got {boundary}; give a distance in nm, 0 or more")
    if problems:
        raise ParameterErrors(problems)
    layer, truth = _layers(session, segmentation, ground_truth)
    with alone(session):
        session.progress(Answer(f"comparing {layer} with {truth}"))
        found = evaluate_volumes(layer, truth, box, mip, boundary_nm=boundary, resample=resample)
    compared = _compared(layer, truth, box, mip, resample)
    pictures = score_files(found, session.pictures) if session.pictures is not None else []
    data = {**found.model_dump(mode="json"), "compared": compared}
    return Answer(f"{_scores_text(found)}\n{compared}", data, pictures=pictures)


def _compared(layer: str, truth: str, box: Box | None, mip: int, resample: bool) -> str:
    """How much of both was compared, in a sentence."""
    from seuron.evaluation import compared_text, evaluation_box, labels_like, sampled_box, sampled_labels
    from seuron.volumes import open_volume

    opened = open_volume(layer, mip)
    if resample:
        sampled = sampled_labels(opened, truth)
        return compared_text(sampled_box(opened, sampled, box), opened.box, sampled.box)
    labels = labels_like(opened, truth)
    return compared_text(evaluation_box(opened, labels, box), opened.box, labels.box)


@command("trace", aliases=("run length", "erl"), permission="look", group=GROUP)
def trace(
    session: Session,
    segmentation: Annotated[str, Argument("a precomputed segmentation, or a run")],
    skeletons: Annotated[str, Argument("a folder of SWC files in nm, or one of them")],
    *,
    mip: Annotated[int, Argument("scale of the segmentation")] = 0,
    tolerance: Annotated[int, Argument("nodes of a second skeleton from which on a segment counts as merged")] = 2,
) -> Answer:
    """Score a segmentation by true skeletons: expected run length (ERL), its share of the best (NERL), worst merges."""
    from seuron.evaluation import evaluate_skeletons

    wanted = (("mip", mip, 0), ("tolerance", tolerance, 1))
    problems = [f"`{name}`: got {value}; give a number from {least}" for name, value, least in wanted if value < least]
    if problems:
        raise ParameterErrors(problems)
    layer, truth = _layers(session, segmentation, skeletons)
    with alone(session):
        session.progress(Answer(f"following the skeletons of {truth} in {layer}"))
        found = evaluate_skeletons(layer, truth, mip, tolerance)
    return Answer(_run_lengths_text(found), found.model_dump(mode="json"))


@contextmanager
def alone(session: Session) -> Iterator[None]:
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
        f"{_worst_text('worst merges, segments', found.worst_merges)}"
        f"{_worst_text('worst splits, true objects', found.worst_splits)}"
    )


def _worst_text(title: str, worst: Sequence[ObjectError]) -> str:
    """The first of the worst objects in a line; nothing where there is none."""
    named = (f"{error.id} ({error.bits:.4f} bits in {len(error.overlaps)} parts)" for error in worst[:WORST_SHOWN])
    return f"\n{title}: {', '.join(named)}" if worst else ""


def _run_lengths_text(found: RunLengths) -> str:
    shares = (("right", found.right_nm), ("split", found.split_nm), ("merged", found.merged_nm))
    parts = [f"{name} {length / found.length_nm:.2%}" for name, length in (*shares, ("omitted", found.omitted_nm))]
    lines = [
        f"ERL   {found.erl_nm / 1000:.3f} um",
        f"NERL  {found.nerl:.4f}",
        f"over {found.skeletons} skeletons, {found.length_nm / 1000:.3f} um: {', '.join(parts)}",
    ]
    merges = (f"{merged.id} ({merged.nm / 1000:.2f} um of {len(merged.skeletons)})" for merged in found.worst_merges)
    return "\n".join([*lines, *([f"worst merges: {', '.join(merges)}"] if found.worst_merges else [])])

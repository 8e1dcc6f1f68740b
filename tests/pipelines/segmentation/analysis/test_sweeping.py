"""Sweeps: the result at a threshold is that of a run at it, and no voxel is read for it."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from profiles import scaled
from small_runs import RULES, THRESHOLD, blobs, make_run, store
from strategies import affinity_maps
from sweep_checks import agreement_of, check_point

import abiss_py
from seuron.engine.run import Run
from seuron.engine.setup import prepare_run
from seuron.errors import DataError, ParameterErrors, RunError
from seuron.evaluation import Agreement, evaluate_volumes, read_scores
from seuron.pipelines.segmentation.analysis import (
    Sweep,
    Variant,
    merge_tree,
    region_graph,
    supervoxels,
    sweep,
    sweep_run,
)
from seuron.pipelines.segmentation.analysis.sweep import segment_sizes
from seuron.pipelines.segmentation.stages.evaluation import supervoxel_table
from seuron.volumes import open_volume

Volumes = tuple[NDArray[np.uint8], NDArray[np.uint32], str, str]
#: Above, at and below the run's own threshold; some are means of bytes.
THRESHOLDS = [0.0, 0.1, 51 / 255, 0.3, 0.4, 0.5, 0.6, 2 / 3, 0.8, 1.0]


@settings(max_examples=scaled(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    affinities=affinity_maps(20),
    own=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    chunk=st.tuples(*(st.integers(4, 20) for _ in range(3))),
    seed=st.integers(0, 100),
)
def test_a_sweep_gives_what_segmenting_at_each_threshold_gives(
    tmp_path_factory: pytest.TempPathFactory,
    affinities: NDArray[Any],
    own: float,
    chunk: tuple[int, int, int],
    seed: int,
) -> None:
    """Any chunks, any threshold of the run, thresholds above and below it, float32 and uint8."""
    folder = tmp_path_factory.mktemp("sweep")
    truth = np.maximum(blobs(affinities.shape[:3], seed), 1)
    paths = store(folder / "affinities", affinities), store(folder / "truth", truth)
    run = make_run(folder / "run", *paths, chunk_size=chunk, batch_chunks=1, agglomeration_threshold=own)
    found = sweep_run(run, THRESHOLDS, small=50)
    assert found.thresholds == sorted({*THRESHOLDS, own})
    for point in found.points:
        whole = abiss_py.segment(affinities, **RULES, threshold=point.threshold)
        check_point(point, whole.segments, truth, 50)


@pytest.mark.parametrize("threshold", [0.2, 0.6])
def test_a_sweep_gives_the_scores_of_a_run_at_the_threshold(
    chunked: Run, volumes: Volumes, tmp_path: Path, threshold: float
) -> None:
    """Below and above the run's own threshold: scores and sizes of another run's layers, and the merge tree's names."""
    other = make_run(tmp_path, *volumes[2:], chunk_size=(30, 30, 30), agglomeration_threshold=threshold)
    point = next(p for p in sweep_run(chunked, [threshold]).points if p.threshold == threshold)
    layers = [open_volume(other.layer(name)).read(other.facts.box)[..., 0] for name in ("supervoxels", "segmentation")]
    check_point(point, layers[1], volumes[1], 10_000)
    told = read_scores(other.storage)
    assert told is not None
    assert point.agreement == Agreement(**{name: getattr(told, name) for name in Agreement.model_fields})
    tree = merge_tree(chunked, threshold)
    names = tree.names(0, tree.above(threshold)).follow(layers[0].astype(np.int64))
    np.testing.assert_array_equal(names.astype(np.uint64), layers[1])


def test_decisions_do_not_depend_on_the_chunks(chunked: Run, whole: Run) -> None:
    """Region graph, merge tree and supervoxels of three tiers are those of one chunk, row for row."""
    pairs = [
        (region_graph(chunked), region_graph(whole)),
        (merge_tree(chunked, THRESHOLD).joins, merge_tree(whole, THRESHOLD).joins),
        (merge_tree(chunked, 0.0).joins, merge_tree(whole, 0.0).joins),
    ]
    for mine, theirs in pairs:
        assert len(mine) > 100
        for name in ("a", "b", "total", "count", "first"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
    np.testing.assert_array_equal(supervoxels(chunked).ids, supervoxels(whole).ids)
    np.testing.assert_array_equal(supervoxels(chunked).voxels, supervoxels(whole).voxels)


def test_supervoxels_have_the_voxels_of_the_layer(chunked: Run) -> None:
    """Counted by leaves, in parts: their sum is what the layer holds, background included."""
    layer = open_volume(chunked.layer("supervoxels")).read(chunked.facts.box)
    ids, voxels = np.unique(layer, return_counts=True)
    assert ids[0] == 0
    np.testing.assert_array_equal(supervoxels(chunked).ids, ids.astype(np.int64))
    np.testing.assert_array_equal(supervoxels(chunked).voxels, voxels)


def test_the_table_of_a_run_does_not_depend_on_its_agglomeration(
    chunked: Run, volumes: Volumes, tmp_path: Path
) -> None:
    """What the evaluation counts holds for every threshold; the scores are those of the written layer."""
    other = make_run(tmp_path, *volumes[2:], agglomeration_threshold=0.9)
    mine, theirs = supervoxel_table(chunked).columns("supervoxel"), supervoxel_table(other).columns("supervoxel")
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name])
    for run in (chunked, other):
        assert read_scores(run.storage) == evaluate_volumes(run.layer("segmentation"), volumes[3])
    assert read_scores(chunked.storage) != read_scores(other.storage)


def test_no_voxel_is_read(chunked: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep against the run's own ground truth works where no layer can be opened."""

    def closed(*_: Any) -> None:
        raise AssertionError("a sweep opened a layer")

    for place in ("analysis.sweep", "stages.evaluation"):
        monkeypatch.setattr(import_module(f"seuron.pipelines.segmentation.{place}"), "open_volume", closed)
    assert len(sweep_run(chunked, [0.1, 0.7]).points) == 3


def test_other_ground_truth_is_counted_once(chunked: Run, whole: Run, volumes: Volumes, tmp_path: Path) -> None:
    """Labels that the run was not given, for a run with and one without its own; they may cover a part of the box."""
    other = np.maximum(blobs((56, 48, 40), 9), 1)
    path = store(tmp_path / "other", other[:30])
    for run in (chunked, whole):
        found = sweep_run(run, [0.3], ground_truth=path)
        assert found.ground_truth == path
        assert found.own is not None
        segments = open_volume(run.layer("segmentation")).read(run.facts.box)[:30, ..., 0]
        assert found.own.agreement == agreement_of(segments, other[:30])
    mine, given = sweep_run(chunked, [0.3]), sweep_run(whole, [0.3], ground_truth=volumes[3])
    assert [p.agreement for p in mine.points] == [p.agreement for p in given.points]
    empty = store(tmp_path / "empty", np.zeros((56, 48, 40), np.uint32))
    with pytest.raises(DataError, match="none of the 107520 voxels has ground truth"):
        sweep_run(whole, [0.3], ground_truth=empty)


def test_without_ground_truth_there_are_sizes(whole: Run) -> None:
    """No score, nothing that is best, and the run's own threshold among those swept."""
    found = sweep_run(whole, [0.7, 0.2])
    assert found.thresholds == [0.2, THRESHOLD, 0.7]
    assert found.ground_truth is None
    assert found.best == {}
    assert [point.agreement for point in found.points] == [None] * 3
    numbers = [point.sizes.segments for point in found.points]
    assert numbers == sorted(numbers)
    assert found.own is not None
    assert (found.own.variant, found.own.threshold) == ("run", THRESHOLD)


def test_the_best_points_are_those_with_the_lowest_scores(chunked: Run) -> None:
    """By each score; the higher threshold where two are equal: it joins less."""
    found = sweep_run(chunked, THRESHOLDS)
    scored = {point: point.agreement for point in found.points}
    voi = min(a.voi for a in scored.values() if a)
    assert found.best["voi"].threshold == max(p.threshold for p, a in scored.items() if a and a.voi == voi)
    error = min(a.adapted_rand_error for a in scored.values() if a)
    best = [p.threshold for p, a in scored.items() if a and a.adapted_rand_error == error]
    assert found.best["adapted_rand_error"].threshold == max(best)


def test_variants_are_swept_side_by_side(chunked: Run) -> None:
    """Each variant's points follow from its own tree; a tree without joins leaves the supervoxels."""
    tree = merge_tree(chunked, 0.0)
    nothing = type(tree)(tree.joins.take(np.zeros(0, np.int64)), tree.scale, 0.0)
    parts, table = supervoxels(chunked), supervoxel_table(chunked)
    points = sweep([Variant("all", tree), Variant("none", nothing)], [0.5, 0.2], parts, table)
    assert [(p.variant, p.threshold) for p in points] == [("all", 0.2), ("all", 0.5), ("none", 0.2), ("none", 0.5)]
    assert points[:2] == tuple(
        p.model_copy(update={"variant": "all"}) for p in sweep_run(chunked, [0.2, 0.5]).points if p.threshold != 0.4
    )
    assert [p.sizes.segments for p in points[2:]] == [parts.ids.size - 1] * 2


@pytest.mark.parametrize(
    ("voxels", "expected"),
    [
        ([], (0, 0, 0, 0.0)),
        ([7], (1, 7, 7, 1.0)),
        ([10, 30, 20], (3, 30, 30, 1 / 6)),
        ([10, 10, 10, 10], (4, 10, 10, 1.0)),
        ([25, 25, 30, 20], (4, 30, 25, 0.0)),
    ],
)
def test_sizes_in_figures(voxels: list[int], expected: tuple[int, int, int, float]) -> None:
    """N50 is the largest size such that segments of at least it hold half; small is below, not at, the limit."""
    limit = 20 if len(voxels) != 1 else 100
    found = segment_sizes(np.array(voxels, np.int64), limit)
    assert (found.segments, found.largest, found.n50, found.small_share) == pytest.approx(expected)


def test_thresholds_that_cannot_be_are_told_at_once(whole: Run) -> None:
    """Before any table is read, all of them."""
    with pytest.raises(ParameterErrors) as error:
        sweep_run(whole, [0.5, 1.5, -0.1, 2.0**-40])
    assert len(error.value.problems) == 3


def test_a_run_that_has_not_come_so_far_says_so(whole: Run, tmp_path: Path) -> None:
    """No table is taken for an empty one."""
    run = prepare_run(whole.params.model_copy(update={"output": str(tmp_path)}))
    with pytest.raises(RunError, match=r"has no tables yet, or they are gone; start the run again"):
        sweep_run(run, [0.5])


def test_a_sweep_can_be_written_down(chunked: Run) -> None:
    """As JSON and back."""
    found = sweep_run(chunked, [0.5])
    assert Sweep.model_validate(json.loads(found.model_dump_json())) == found

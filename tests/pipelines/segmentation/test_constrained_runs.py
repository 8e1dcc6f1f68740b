"""Runs with rules: what tasks decide in pieces is what one array gives, and wrong rules stop a run before it starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from profiles import scaled
from scipy import ndimage
from strategies import CLASS_NAMES, affinity_maps, constraint_lists, semantic_labels

import abiss_py
from seuron.box import Box
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.engine.setup import prepare_run
from seuron.errors import DataError, ParameterErrors
from seuron.params import parse_parameters
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.storage.tables import read_table
from seuron.volumes import create_volume, open_volume

CORNER = (10, 20, 30)
RULES = {"high": 0.9, "low": 0.1, "size": 10, "dust": 3, "threshold": 0.3}
SETTINGS = {"block_size": (16, 16, 16)} | {
    f"watershed_{name}": value for name, value in RULES.items() if name != "threshold"
}
VETO_COLUMNS = ("a", "b", "rule", "sum", "count", "first_edge")


def save(path: Path, voxels: NDArray[Any]) -> str:
    """Store affinities or labels as a precomputed volume that does not begin at the origin."""
    box = Box.from_shape(CORNER, voxels.shape[:3])
    channels = voxels.shape[3] if voxels.ndim == 4 else 1
    volume = create_volume(
        str(path), box, (8, 8, 40), dtype=str(voxels.dtype), channels=channels, block_size=(16, 16, 16), pyramid=False
    )
    volume.write(box, voxels)
    return volume.path


def parameters(source: str, output: Path, **changes: Any) -> SegmentationParams:
    values = {"affinities": source, "output": str(output), "agglomeration_threshold": 0.3, **SETTINGS, **changes}
    return parse_parameters(SegmentationParams, values)


def stored_vetoes(run: Run) -> list[tuple[int, ...]]:
    tables = (read_table(run.tables(task.id), "vetoes") for task in run.plan.stage("agglomeration").tasks)
    return sorted(row for table in tables for row in zip(*(table[name].tolist() for name in VETO_COLUMNS), strict=True))


def vetoes_of(found: abiss_py.Segmentation) -> list[tuple[int, ...]]:
    columns = (getattr(found.vetoes, name).tolist() for name in ("a", "b", "rule", "total", "count", "first"))
    return sorted(zip(*columns, strict=True))


@settings(max_examples=scaled(6), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    affinities=affinity_maps(20),
    constraints=constraint_lists(),
    seed=st.integers(0, 2**32 - 1),
    chunk=st.tuples(*(st.integers(3, 20) for _ in range(3))),
    batch=st.sampled_from([1, 2]),
)
def test_rules_decide_in_tasks_as_in_one_array(
    tmp_path_factory: pytest.TempPathFactory,
    affinities: NDArray[Any],
    constraints: Any,
    seed: int,
    chunk: tuple[int, int, int],
    batch: int,
) -> None:
    """Any chunk and batch size stores the segments and the vetoes of the whole array."""
    folder = tmp_path_factory.mktemp("run")
    semantic = semantic_labels(affinities.shape[:3], seed)
    run = run_local(
        parameters(
            save(folder / "affinities", affinities),
            folder / "out",
            chunk_size=chunk,
            batch_chunks=batch,
            constraints=abiss_py.dump_constraints(constraints),
            semantic=save(folder / "semantic", semantic),
            semantic_classes=CLASS_NAMES,
        )
    )
    whole = abiss_py.segment(affinities, constraints=constraints, semantic=semantic, class_names=CLASS_NAMES, **RULES)
    np.testing.assert_array_equal(open_volume(run.layer("segmentation")).read(run.facts.box)[..., 0], whole.segments)
    assert stored_vetoes(run) == vetoes_of(whole)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    noise = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal((60, 50, 40, 3)), (2, 2, 2, 0))
    affinities = np.asfortranarray(np.round(255 / (1 + np.exp(-40 * noise + 1))).astype(np.uint8))
    return save(tmp_path_factory.mktemp("input") / "affinities", affinities)


def test_three_tiers_decide_by_a_preset(source: str, tmp_path: Path) -> None:
    """Rules of a named kind, three tiers of merges and two workers: segments and vetoes of one array."""
    constraints = [
        {"rule": "size", "name": "dumbbell", "below": 0.9, "smaller_over": 60, "sum_over": 150},
        {"rule": "twig", "name": "twig", "voxels": 100, "edges": 5, "delta": -0.2},
    ]
    settings = parameters(source, tmp_path, chunk_size=(13, 30, 40), batch_chunks=1, constraints=constraints)
    run = run_local(settings, workers=2)
    assert len(run.plan.stage("agglomeration").tiers) == 3
    affinities = open_volume(source).read(run.facts.box)
    whole = abiss_py.segment(affinities, constraints=abiss_py.parse_constraints(constraints), **RULES)
    np.testing.assert_array_equal(open_volume(run.layer("segmentation")).read(run.facts.box)[..., 0], whole.segments)
    vetoes = stored_vetoes(run)
    assert vetoes == vetoes_of(whole)
    assert {rule for _, _, rule, *_ in vetoes} == {0, 1}


def test_wrong_rules_stop_a_run_before_it_starts(source: str, tmp_path: Path) -> None:
    """Rules that do not parse, classes that a preset does not find, and volumes that do not fit are all named."""
    with pytest.raises(ParameterErrors, match=r"`constraints`: .*no preset is called 'abis'"):
        parameters(source, tmp_path / "out", constraints="abis")
    with pytest.raises(ParameterErrors, match="did you mean 'smaller_over'"):
        parameters(source, tmp_path / "out", constraints=json.dumps([{"rule": "size", "name": "a", "smaller": 1}]))
    with pytest.raises(ParameterErrors, match="go together"):
        parameters(source, tmp_path / "out", constraints="abiss2026", semantic="somewhere")
    with pytest.raises(ParameterErrors, match="no `constraints` that would look at it"):
        parameters(source, tmp_path / "out", semantic="somewhere", semantic_classes="a,b")
    with pytest.raises(ParameterErrors, match="must be different names, got 'a', 'a'"):
        parameters(source, tmp_path / "out", semantic="s", semantic_classes="a, a", constraints="abiss2026")
    volume = create_volume(str(tmp_path / "wrong"), Box((0, 0, 0), (8, 8, 8)), (4, 4, 4), dtype="float32")
    wrong = parameters(
        source, tmp_path / "out", constraints="macrina2021", semantic=volume.path, semantic_classes="axon,glia"
    )
    with pytest.raises(ParameterErrors) as error:
        prepare_run(wrong)
    assert len(error.value.problems) == 4
    for words in ("speaks of dendrite, soma", "are (4, 4, 4) nm", "float32", "does not contain the run's box"):
        assert words in str(error.value).replace(".0", ""), words
    assert not (tmp_path / "out").exists()


def test_predicates_that_cannot_compile_stop_a_run_before_it_starts(source: str, tmp_path: Path) -> None:
    """A function that numba cannot take is an error of the parameters, not of a task hours later."""
    rule = {"rule": "custom", "name": "own", "predicate": "constraint_examples:not_for_numba"}
    with pytest.raises(
        ParameterErrors, match=r"`constraints`: the custom rule 'own': numba cannot compile not_for_numba"
    ):
        prepare_run(parameters(source, tmp_path / "out", constraints=[rule]))


def test_classes_without_a_name_are_an_error_that_names_the_voxel(source: str, tmp_path: Path) -> None:
    """A semantic label beyond the named classes fails for good, with its place and what to do."""
    labels = np.zeros((60, 50, 40), np.uint8, order="F")
    labels[33, 7, 9] = 3
    semantic = save(tmp_path / "semantic", labels)
    wrong = parameters(
        source, tmp_path / "out", constraints="abiss2026", semantic=semantic, semantic_classes="a,b", batch_chunks=1
    )
    with pytest.raises(DataError, match=r"voxel \(33, 7, 9\) is 3; there are 2 classes.*semantic_classes"):
        run_local(wrong)

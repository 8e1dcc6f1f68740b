"""Sweeps and explanations of runs with rules: what they say is what agglomeration by these rules decides."""

from __future__ import annotations

import json
from collections import Counter
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles.segmentation import Row, cluster_rows
from oracles.segmentation import agglomerate as slow_agglomerate
from profiles import scaled
from small_runs import RULES, THRESHOLD, blobs, make_run, store
from strategies import CLASS_NAMES, affinity_maps, constraint_lists, region_graphs, semantic_labels
from sweep_checks import check_point

import abiss_py
from abiss_py import Clusters, Constraint, Contacts, MergeTree, SizeRule, TwigRule, agglomerate, parse_constraints
from seuron.box import Box
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.engine.setup import prepare_run
from seuron.errors import ParameterErrors
from seuron.pipelines.segmentation import estimates
from seuron.pipelines.segmentation.analysis import (
    clusters,
    explain_run,
    merge_tree,
    rules_by_name,
    sweep_run,
    veto_counts,
    vetoes,
)
from seuron.pipelines.segmentation.analysis.formatting import sentences
from seuron.volumes import open_volume

SCALE = 255
NOTHING_OPEN = np.zeros(0, np.int64)


def rows_of(seed: int) -> dict[int, Row]:
    """A row for each of twelve supervoxels, some of one class, some mixed."""
    random = np.random.default_rng(seed)
    classes = random.integers(0, 12, (12, len(CLASS_NAMES))) * random.integers(0, 2, (12, len(CLASS_NAMES)))
    return {
        i: Row(int(own.sum()) + int(random.integers(1, 9)), 1, tuple(own.tolist())) for i, own in enumerate(classes, 1)
    }


def table_of(rows: dict[int, Row]) -> Clusters:
    columns = ([row.voxels for row in rows.values()], [1] * len(rows), [row.classes for row in rows.values()])
    return Clusters(np.array([*rows]), *(np.array(column) for column in columns))


def tree_of(graph: Contacts, rows: dict[int, Row], rules: list[Constraint], threshold: float) -> MergeTree:
    found = agglomerate(
        graph, table_of(rows), NOTHING_OPEN, threshold, SCALE, constraints=rules, class_names=CLASS_NAMES
    )
    return MergeTree.of(found.joins, SCALE, threshold)


@given(region_graphs(), constraint_lists(), st.integers(0, 999), st.sampled_from([0.0, 0.1, 0.33, 0.5]))
def test_a_tree_holds_for_every_threshold_above_its_lowest(
    graph: Contacts, rules: list[Constraint], seed: int, lowest: float
) -> None:
    """Whatever the rules, as long as none depends on the threshold: the joins above it are those of the slow twin."""
    rules, rows = [rule for rule in rules if not rule.depends_on_threshold], rows_of(seed)
    tree = tree_of(graph, rows, rules, lowest)
    pairs = zip(graph.a.tolist(), graph.b.tolist(), strict=True)
    contacts = dict(zip(pairs, np.stack([graph.total, graph.count, graph.first], 1).tolist(), strict=True))
    for threshold in (lowest, 0.5, 0.6, 2 / 3, 0.9):
        expected, _ = slow_agglomerate(contacts, threshold, SCALE, rules, rows, CLASS_NAMES)
        names = tree.names(0, tree.above(threshold)).follow(np.array([*expected], np.int64))
        assert names.tolist() == [*expected.values()]


def test_a_twig_rule_that_reaches_above_the_threshold_depends_on_it() -> None:
    """With a negative delta the same contact is joined at one threshold and vetoed at a higher one."""
    rule = TwigRule(name="twig", voxels=100, edges=5, delta=-0.3)
    graph = Contacts(*(np.array([value]) for value in (1, 2, 153, 1, 0)))
    rows = {i: Row(10, 1, (0,) * len(CLASS_NAMES)) for i in (1, 2)}
    assert len(tree_of(graph, rows, [rule], 0.2).joins) == 1
    assert len(tree_of(graph, rows, [rule], 0.5).joins) == 0
    assert rule.depends_on_threshold
    assert not TwigRule(name="twig", voxels=100, edges=5).depends_on_threshold
    assert not SizeRule(name="size", below=0.4).depends_on_threshold


@settings(max_examples=scaled(8), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    affinities=affinity_maps(16),
    own=constraint_lists(),
    other=constraint_lists(),
    threshold=st.sampled_from([0.0, 0.3, 0.6]),
    chunk=st.tuples(*(st.integers(4, 16) for _ in range(3))),
    seed=st.integers(0, 100),
)
def test_a_sweep_gives_what_segmenting_by_each_rules_at_each_threshold_gives(
    tmp_path_factory: pytest.TempPathFactory,
    affinities: NDArray[Any],
    own: list[Constraint],
    other: list[Constraint],
    threshold: float,
    chunk: tuple[int, int, int],
    seed: int,
) -> None:
    """A run's own rules, none, and others; above and below its threshold; such that depend on it too."""
    folder, shape = tmp_path_factory.mktemp("sweep"), affinities.shape[:3]
    truth, semantic = np.maximum(blobs(shape, seed), 1), semantic_labels(shape, seed)
    run = make_run(
        folder / "run",
        store(folder / "affinities", affinities),
        store(folder / "truth", truth),
        chunk_size=chunk,
        batch_chunks=1,
        agglomeration_threshold=threshold,
        constraints=abiss_py.dump_constraints(own),
        semantic=store(folder / "semantic", semantic.astype(np.uint32)),
        semantic_classes=CLASS_NAMES,
    )
    rules = {"run": run.params.rules, "none": (), "other": tuple(other)}
    found = sweep_run(run, [0.1, 0.3, 0.5, 2 / 3], rules=rules, small=50)
    assert found.variants == [*rules]
    assert [(p.variant, p.threshold) for p in found.points] == [(v, t) for v in rules for t in found.thresholds]
    for point in found.points:
        whole = abiss_py.segment(
            affinities,
            **RULES,
            threshold=point.threshold,
            constraints=abiss_py.import_predicates(rules[point.variant], {"constraint_examples"}),
            semantic=semantic,
            class_names=CLASS_NAMES,
        )
        check_point(point, whole.segments, truth, 50)


def test_rows_of_supervoxels_are_those_of_the_layers(ruled: Run) -> None:
    """Voxels and classes, counted by leaves in parts; each supervoxel is one."""
    box = ruled.facts.box
    layers = (open_volume(path).read(box)[..., 0] for path in (ruled.layer("supervoxels"), str(ruled.params.semantic)))
    ids, semantic = (layer.ravel(order="F").tolist() for layer in layers)
    expected = cluster_rows(ids, semantic, len(CLASS_NAMES))
    found = clusters(ruled)
    assert found.ids.tolist() == sorted(expected.keys() - {0})
    assert found.classes.sum() > 1000
    for i, *numbers, classes in zip(found.ids.tolist(), found.voxels, found.supervoxels, found.classes, strict=True):
        assert Row(*map(int, numbers), tuple(classes.tolist())) == expected[i]


def test_below_its_threshold_a_run_is_agglomerated_anew(
    ruled: Run, ruled_whole: abiss_py.Segmentation, volumes: Any, semantic: NDArray[np.uint8]
) -> None:
    """What was vetoed does not come back: the lower tree begins as the stored one, and ends as its threshold does."""
    stored, lower = merge_tree(ruled, THRESHOLD), merge_tree(ruled, 0.1)
    assert (stored.lowest, lower.lowest) == (THRESHOLD, 0.1)
    above = lower.above(THRESHOLD)
    assert len(stored.joins) == above < len(lower.joins)
    for name in ("a", "b", "total", "count", "first"):
        np.testing.assert_array_equal(getattr(stored.joins, name), getattr(lower.joins, name)[:above])
    expected = abiss_py.segment(
        volumes[0], **RULES, threshold=0.1, constraints=ruled.params.rules, semantic=semantic, class_names=CLASS_NAMES
    )
    names = lower.names(0, len(lower.joins)).follow(ruled_whole.supervoxels.astype(np.int64))
    np.testing.assert_array_equal(names.astype(np.uint64), expected.segments)


def test_runs_that_share_their_root_out_tell_the_same(
    ruled: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks that take part in rounds leave their vetoes to the root: none is told twice, none is missing."""
    monkeypatch.setattr(estimates, "BYTES_PER_CONTACT", 60_000)
    monkeypatch.setattr(estimates, "BYTES_PER_OPEN_ID", 0)
    monkeypatch.setattr(estimates, "BYTES_PER_RULE_COLUMN", 0)
    monkeypatch.setattr(estimates, "CONTACTS_PER_FACE_VOXEL", 10.0)
    run = run_local(ruled.params.model_copy(update={"output": str(tmp_path), "task_memory": 0.51}))
    assert any(tier.role == "bin" for tier in run.plan.stage("agglomeration").tiers)
    assert sorted(vetoes(run), key=attrgetter("first")) == sorted(vetoes(ruled), key=attrgetter("first"))
    assert veto_counts(run) == veto_counts(ruled)
    mine, theirs = (sweep_run(one, [0.2, 0.6], rules=rules_by_name(one, ["run", "none"])) for one in (run, ruled))
    assert mine.points == theirs.points


def test_vetoes_are_told_by_the_names_of_rules(ruled: Run, ruled_whole: abiss_py.Segmentation) -> None:
    """Those of one array, whatever the chunks; each rule's count is how many there are."""
    names = [rule.name for rule in ruled.params.rules]
    expected = ruled_whole.vetoes
    columns = (getattr(expected, name).tolist() for name in ("a", "b", "rule", "total", "count", "first"))
    found = vetoes(ruled)
    assert sorted((v.a, v.b, names.index(v.rule), v.total, v.count, v.first) for v in found) == sorted(
        zip(*columns, strict=True)
    )
    counts = {rule.name: count for rule, count in veto_counts(ruled)}
    assert counts == Counter(veto.rule for veto in found)
    assert set(counts) == set(names)


def test_vetoes_of_tasks_that_are_not_done_are_not_counted(ruled: Run, tmp_path: Path, chunked: Run) -> None:
    """A run that has just been prepared has its rules with zeros; one without rules has none."""
    begun = prepare_run(ruled.params.model_copy(update={"output": str(tmp_path)}))
    assert [(rule.name, count) for rule, count in veto_counts(begun)] == [(r.name, 0) for r in ruled.params.rules]
    assert veto_counts(chunked) == []
    assert vetoes(chunked) == []


def test_what_a_rule_keeps_apart_is_explained_by_it(ruled: Run, ruled_whole: abiss_py.Segmentation) -> None:
    """Every veto between two segments: the rule's name, both clusters, the mean, the count and the place."""
    segment_of = dict(zip(ruled_whole.supervoxels.flat, ruled_whole.segments.flat, strict=True))
    apart = [veto for veto in vetoes(ruled) if segment_of[veto.a] != segment_of[veto.b]]
    assert {veto.rule for veto in apart} == {rule.name for rule in ruled.params.rules}
    for veto in apart[:12]:
        found = explain_run(ruled, veto.a, veto.b)
        assert found.relation == "forbidden"
        assert found.segments == (segment_of[veto.a], segment_of[veto.b])
        mine = [f for f in found.forbidden if (f.contact.a, f.contact.b) == (veto.a, veto.b)]
        assert [f.rule for f in mine] == [veto.rule]
        contact = mine[0].contact
        assert (contact.mean, contact.voxel_edges) == (veto.total / (veto.count * SCALE), veto.count)
        labels = open_volume(ruled.layer("supervoxels")).read(Box.from_shape(contact.place.voxel, (1, 1, 1)))
        assert int(segment_of[labels.item()]) in found.segments
        told = f"The rule {veto.rule} forbade to join clusters {veto.a} and {veto.b}: mean {contact.mean:.6g} over"
        assert any(line.startswith(told) for line in sentences(found))
        assert found.focus == found.forbidden[0].contact
        means = [f.contact.mean for f in found.forbidden]
        assert means == sorted(means, reverse=True)


def test_rules_that_depend_on_the_threshold_tell_of_the_runs_own_alone(volumes: Any, tmp_path: Path) -> None:
    """What a lower threshold would join is not said: there the rule decides anew."""
    rule = {"rule": "twig", "name": "twig", "voxels": 1000, "edges": 3, "delta": -0.3}
    run = make_run(tmp_path, volumes[2], None, constraints=[rule])
    found = next(
        found for found in (explain_run(run, veto.a, veto.b) for veto in vetoes(run)) if found.relation == "forbidden"
    )
    assert found.lowest == THRESHOLD
    assert found.chain == ()
    assert any("its rules depend on the threshold" in line for line in sentences(found))


def test_no_voxel_is_read_for_rules(ruled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes are counted in tables: other rules can be tried where no layer can be opened."""

    def closed(*_: Any) -> None:
        raise AssertionError("a sweep opened a layer")

    for place in ("analysis.sweep", "stages.evaluation"):
        monkeypatch.setattr(import_module(f"seuron.pipelines.segmentation.{place}"), "open_volume", closed)
    found = sweep_run(ruled, [0.2], rules=rules_by_name(ruled, ["run", "none", "abiss2026"]))
    assert len(found.points) == 6
    assert found.own_variant == "run"


def test_the_runs_own_rules_are_known_by_any_name(chunked: Run, ruled: Run) -> None:
    """A run without rules is `none`; where its rules are not swept, no point is the run's own."""
    found = sweep_run(chunked, [0.2], rules=rules_by_name(chunked, ["none"]))
    assert found.own is not None
    assert (found.own.variant, found.own.threshold) == ("none", THRESHOLD)
    assert found.points[0].sizes == sweep_run(chunked, [0.2]).points[0].sizes
    assert sweep_run(ruled, [0.2], rules={"none": ()}).own is None


def test_words_name_rules(ruled: Run, tmp_path: Path) -> None:
    """The run's own, none, presets, and files under their name without the ending."""
    path = tmp_path / "my_rules.json"
    listed = [{"rule": "size", "name": "dumbbell", "smaller_over": 5}]
    path.write_text(json.dumps(listed))
    found = rules_by_name(ruled, ["run", "none", "macrina2021", str(path)])
    assert found == {
        "run": ruled.params.rules,
        "none": (),
        "macrina2021": parse_constraints("macrina2021"),
        "my_rules": parse_constraints(listed),
    }


def test_words_that_name_no_rules_are_told_at_once(ruled: Run, tmp_path: Path) -> None:
    """Unknown names, files that are missing, no JSON or wrong rules, and names that are given twice."""
    (tmp_path / "text.json").write_text("size")
    (tmp_path / "wrong.json").write_text('[{"rule": "size", "name": "s", "smaler_over": 5}]')
    words = ["macrina", "missing.json", *(str(tmp_path / name) for name in ("text.json", "wrong.json")), "run", "run"]
    with pytest.raises(ParameterErrors) as error:
        rules_by_name(ruled, words)
    told = error.value.problems
    assert len(told) == 5
    assert "allowed are run, none, macrina2021, abiss2026, and a JSON file" in told[0]
    assert "No such file" in told[1]
    assert "did you mean 'smaller_over'?" in told[3]
    assert "'run' is there already" in told[4]


def test_rules_about_classes_need_classes(chunked: Run, ruled: Run) -> None:
    """Where a run counted none, other semantic rules are refused by name; so are classes that it does not have."""
    with pytest.raises(ParameterErrors) as error:
        sweep_run(chunked, [0.5], rules=rules_by_name(chunked, ["none", "macrina2021", "abiss2026"]))
    assert len(error.value.problems) == 2
    assert "macrina2021: 'semantic' looks at semantic classes, and this run counted none" in error.value.problems[0]
    unknown = parse_constraints(
        [{"rule": "semantic", "name": "s", "evidence": 5, "dominance": 0.6, "forbidden": [["axon", "myelin"]]}]
    )
    with pytest.raises(ParameterErrors, match="speaks of myelin; the classes are axon, dendrite, soma, glia"):
        sweep_run(ruled, [0.5], rules={"mine": unknown})

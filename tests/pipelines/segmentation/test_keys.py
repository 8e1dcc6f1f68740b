"""Keys: every parameter enters those of the stages that it matters to, and no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_nets import made_up_prediction
from strategies import WITHOUT_JIT

from seuron.box import Box, Triple, triple
from seuron.engine.keys import sources_of
from seuron.engine.run import Run
from seuron.params.run_parameters import WITHOUT_INFLUENCE
from seuron.pipelines.segmentation import PIPELINE, settings
from seuron.pipelines.segmentation.facts import SegmentationRun, VolumeFacts
from seuron.pipelines.segmentation.octree import watershed_octree
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.settings import LAYER_PARAMETERS, PLACE_PARAMETERS, SOURCE_PARAMETERS, leaf_box
from seuron.volumes.fingerprints import MISSING, Fingerprints

BOX = Box((5, -3, 7), (105, 67, 57))
FACTS = VolumeFacts(BOX, (8.0, 8.0, 8.0), "uint8", {"supervoxels": 3, "segmentation": 3})
VALUES: dict[str, Any] = {"output": "o", "ground_truth": "g", "chunk_size": (20, 18, 16), "block_size": (8, 8, 8)}
VALUES |= {"batch_chunks": 1, "affinities": "a"}
IMAGE = {**VALUES, "affinities": None, "image": "i", "patch_size": (16, 16, 16), "patch_overlap": (4, 4, 4)}
NET = made_up_prediction(BOX.grown((9, 9, 9), (9, 9, 9)), (40, 40, 40), origin=BOX.minimum)
IMAGE_FACTS = replace(FACTS, scales={"affinities": 3, **FACTS.scales}, prediction=NET)


STAGES = [stage.name for stage in PIPELINE.stages]


def run_of(values: dict[str, Any], facts: VolumeFacts = FACTS, fingerprints: Any = None) -> SegmentationRun:
    return Run(PIPELINE, SegmentationParams(**values), facts, fingerprints or {})


def keys_of(values: dict[str, Any], facts: VolumeFacts = FACTS, fingerprints: Any = None) -> dict[str, str]:
    run = run_of(values, facts, fingerprints)
    return {task.id: run.keys.of(task) for task in run.plan.tasks}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {task for task in before.keys() & after.keys() if before[task] != after[task]}


def stages(tasks: set[str]) -> set[str]:
    return {task.split("-")[0] for task in tasks}


def test_every_parameter_is_declared_once() -> None:
    """A new parameter must say which stages it matters to, or that none does."""
    stage_parameters = {name for stage in PIPELINE.stages for name in stage.parameters}
    settles_others = {"thresholds"}  # before there is a run
    kinds = [
        *(stage_parameters, {*SOURCE_PARAMETERS}, {*PLACE_PARAMETERS}, {*LAYER_PARAMETERS}),
        *({*WITHOUT_INFLUENCE}, settles_others),
    ]
    assert sum(len(kind) for kind in kinds) == len(set.union(*kinds))
    assert set.union(*kinds) == set(SegmentationParams.model_fields)


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"watershed_size": 7}, "watershed"),
        ({"agglomeration_threshold": 0.7}, "agglomeration"),
        ({"patch_overlap": (6, 6, 6)}, "affinities"),
    ],
)
def test_a_parameter_changes_its_stage_and_what_follows(change: dict[str, Any], first: str) -> None:
    """All tasks of the stage and of those behind it have other keys, those before it the same."""
    before, after = keys_of(IMAGE, IMAGE_FACTS), keys_of({**IMAGE, **change}, IMAGE_FACTS)
    assert stages(changed(before, after)) == {*STAGES[STAGES.index(first) :]} - {
        "edits"
    }  # without a list it has no task
    kept = {task for task in before.keys() - changed(before, after) if "-affinities-" not in task}  # their pyramid
    assert not stages(kept) & set(STAGES[STAGES.index(first) :])


def test_another_edit_list_changes_what_lies_behind_it() -> None:
    """By its content, not by its path; nothing before the stage depends on it."""
    values = {**VALUES, "edits": "first.json"}
    first, same = (
        keys_of(values, replace(FACTS, edits="a")),
        keys_of({**values, "edits": "b"}, replace(FACTS, edits="a")),
    )
    other = keys_of(values, replace(FACTS, edits="b"))
    assert stages(changed(first, same)) == {"report"}  # which shows the path
    assert stages(changed(first, other)) == {"edits", "labels", "pyramid", "evaluation", "report"}
    assert {"agglomeration", "remap_segments"} <= stages(first.keys() & keys_of(VALUES).keys()) - stages(
        changed(first, keys_of(VALUES))
    )


def test_where_a_run_lies_does_not_matter() -> None:
    """Output and store change no key."""
    assert keys_of(VALUES) == keys_of({**VALUES, "output": "elsewhere", "store": "shared"})


def test_facts_of_the_net_matter_to_affinities() -> None:
    """Other weights, another arithmetic and another grey scale are other affinities."""
    before = keys_of(IMAGE, IMAGE_FACTS)
    for net in (
        replace(NET, net="other"),
        replace(NET, precision="bf16"),
        replace(NET, engine="onnx"),
        replace(NET, patch_size=(16, 16, 12)),
        replace(NET, grey_mean=1.0),
        replace(NET, sections=((1.0, 2.0),)),
    ):
        assert set(keys_of(IMAGE, replace(IMAGE_FACTS, prediction=net)).items()).isdisjoint(before.items())


def fingerprints_of(path: str, box: Box, block: Triple) -> Fingerprints:
    indices = box.grid(block, box.minimum)
    values = np.arange(1, indices.voxels + 1, dtype=np.uint64).reshape(indices.shape)
    return Fingerprints(path, "form", box.minimum, block, indices.minimum, values)


@given(place=st.tuples(*(st.integers(0, n - 1) for n in BOX.shape)), block=st.sampled_from([(8, 8, 8), (16, 9, 7)]))
def test_a_changed_block_changes_the_leaves_that_see_it(place: Triple, block: Triple) -> None:
    """Of the watershed's leaves exactly those whose padded box meets the block have another key."""
    sources = fingerprints_of("a", BOX, block)
    index = triple([p // b for p, b in zip(place, block, strict=True)])
    values = sources.values.copy()
    values[index] = 10**6
    other = replace(sources, values=values)
    (box,) = other.changed_since(sources)
    assert box == Box.from_shape([o + b * i for o, b, i in zip(BOX.minimum, block, index, strict=True)], block)
    before, after = (
        keys_of(VALUES, fingerprints={"affinities": sources}),
        keys_of(VALUES, fingerprints={"affinities": other}),
    )
    run = run_of(VALUES)
    leaves = run.plan.stage("watershed").tiers[0]
    see = {task.id for task in leaves if leaf_box(run, task).intersect(box).voxels}
    assert changed(before, after) & {task.id for task in leaves} == see
    assert "watershed-0-leaf-0_0_0" in changed(before, after) or index != (0, 0, 0)


def test_what_a_hole_means_matters_where_there_is_one() -> None:
    """`missing_blocks` changes the keys of those leaves alone that see a missing block."""
    sources = fingerprints_of("a", BOX, (8, 8, 8))
    before = keys_of(VALUES, fingerprints={"affinities": sources})
    lenient = keys_of({**VALUES, "missing_blocks": "zero"}, fingerprints={"affinities": sources})
    assert changed(before, lenient) == {"report-0-0_0_0"}  # which tells all parameters
    values = sources.values.copy()
    values[0, 0, 0] = MISSING
    holed = {"affinities": replace(sources, values=values)}
    strict, lenient = (
        keys_of(VALUES, fingerprints=holed),
        keys_of({**VALUES, "missing_blocks": "zero"}, fingerprints=holed),
    )
    assert {t for t in changed(strict, lenient) if t.startswith("watershed-0-")} == {"watershed-0-leaf-0_0_0"}


@given(
    high=st.tuples(*(st.integers(1, 40) for _ in range(3))),
    growth=st.tuples(*(st.integers(0, 30) for _ in range(3))),
    image=st.booleans(),
)
def test_growing_changes_what_lies_at_the_old_faces(high: Triple, growth: Triple, image: bool) -> None:
    """In a fixed frame, leaves that neither touch a face that moved nor see beyond it keep their keys."""
    frame = Box((0, 0, 0), (90, 90, 90))
    small = Box((0, 0, 0), triple([h + 20 for h in high]))
    large = Box((0, 0, 0), triple([a + g for a, g in zip(small.maximum, growth, strict=True)])).intersect(frame)
    values = IMAGE if image else VALUES
    net = made_up_prediction(frame, (24, 24, 16)) if image else None
    first = replace(IMAGE_FACTS if image else FACTS, box=small, frame=frame, prediction=net)
    second = replace(first, box=large)
    before, after = keys_of(values, first), keys_of(values, second)
    plan, grown = (run_of(values, facts).plan for facts in (first, second))
    moved = [axis for axis in range(3) if small.maximum[axis] != large.maximum[axis]]
    for task in plan.stage("affinities" if image else "watershed").tasks:
        at_face = any(task.box.maximum[axis] == small.maximum[axis] for axis in moved)
        if not image:
            assert (before[task.id] != after[task.id]) == at_face, task.id
        elif task.box != grown.task(task.id).box:
            assert before[task.id] != after[task.id], task.id
        # The net sees the image around the run's box, so a task whose patches all lie in the old one keeps its key.
        elif all(task.box.maximum[axis] + 2 * (16 + 24) <= small.maximum[axis] for axis in moved):
            assert before[task.id] == after[task.id], task.id


@pytest.mark.parametrize(("values", "facts"), [(VALUES, FACTS), (IMAGE, IMAGE_FACTS)])
def test_tasks_come_after_what_they_read(values: dict[str, Any], facts: VolumeFacts) -> None:
    """Every task reads tasks of its plan that stand before it, each once, and knows a source by its parameter."""
    run = run_of(values, facts)
    order = {task.id: number for number, task in enumerate(run.plan.tasks)}
    sources = set()
    for task in run.plan.tasks:
        read = [order[other.id] for other in run.reads(task)]
        assert len(set(read)) == len(read)
        assert max(read, default=-1) < order[task.id]
        sources |= {(name, task.stage) for name in sources_of(run, task)}
    first = {("image", "affinities")} if "image" in values else {("affinities", "watershed")}
    assert sources == {*first, ("ground_truth", "evaluation")}


def test_labels_read_the_leaves_they_meet_and_who_knows_their_ids() -> None:
    """A region's ids are those of the leaves that it meets, after what closed seams and what remaps."""
    run = run_of(IMAGE, IMAGE_FACTS)
    octree = watershed_octree(run.plan)
    for labels in run.plan.stage("labels").tiers[0]:
        meeting = [leaf for leaf in octree.leaves if leaf.box.intersect(labels.box).voxels]
        known = {source for leaf in meeting for source in octree.remap_sources(leaf)}
        stages = ("watershed", "remap_supervoxels")
        assert {task for task in run.reads(labels) if task.stage in stages} == {*meeting, *known}
        assert {closer for leaf in meeting for closer, _ in octree.closers(leaf)} <= known


@pytest.mark.skipif(WITHOUT_JIT, reason="predicates need compiled kernels")
def test_a_changed_predicate_changes_what_depends_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that a rule of one's own is in counts: another content, other keys from the agglomeration on."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SEURON_PREDICATES", "a_rule_of_my_own")
    rule = '[{"rule": "custom", "name": "own", "predicate": "a_rule_of_my_own:never"}]'
    found = []
    for answer in ("False", "count < 0"):
        (tmp_path / "a_rule_of_my_own.py").write_text(f"def never(total, count, a, b):\n    return {answer}\n")
        settings._code_of_predicates.cache_clear()
        found.append(keys_of({**VALUES, "constraints": rule}, FACTS))
    assert stages(changed(*found)) == {"agglomeration", "remap_segments", "labels", "pyramid", "evaluation", "report"}

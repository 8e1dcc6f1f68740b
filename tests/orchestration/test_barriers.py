"""The row of nodes: a run skips what it does not need, and nothing begins before what it depends on has ended."""

from __future__ import annotations

from itertools import pairwise

import toy_pipeline
from hypothesis import given
from hypothesis import strategies as st

from seuron.box import Box
from seuron.engine.run import make_plan
from seuron.orchestration.barriers import barriers, gate_node, skippable
from seuron.orchestration.routing import node
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.facts import VolumeFacts
from seuron.pipelines.segmentation.params import SegmentationParams

ROWS = [barriers(PIPELINE), barriers(toy_pipeline.PIPELINE)]


def test_each_node_waits_for_the_one_before_it() -> None:
    """Without anything skipped the nodes run one after the other; none waits for a later one."""
    for row in ROWS:
        names = list(row)
        assert row[names[0]] == []
        for before, name in pairwise(names):
            assert before in row[name]
            assert {names.index(other) < names.index(name) for other in row[name]} == {True}


@given(st.data())
def test_busy_nodes_run_one_after_the_other(data: st.DataObject) -> None:
    """Whatever is busy: each busy node waits for the one before it, through nodes that are not skipped."""
    row = data.draw(st.sampled_from(ROWS))
    busy = [name for name in row if data.draw(st.booleans())]
    skipped = set(skippable(row, busy))
    assert not skipped & set(busy)
    for first, second in pairwise(busy):
        waits, reached = [second], set()
        while waits:
            reached |= (new := set(row[waits.pop()]) - skipped - reached)
            waits += new
        assert first in reached


def test_a_plan_leaves_nothing_to_find_out() -> None:
    """A run from affinities without gates and ground truth skips all nodes that it has no tasks for."""
    params = SegmentationParams(affinities="a", output="o", chunk_size=(64, 64, 64), batch_chunks=1)
    facts = VolumeFacts(Box((0, 0, 0), (256, 256, 128)), (8, 8, 8), "uint8", {"supervoxels": 3, "segmentation": 3})
    plan = make_plan(PIPELINE, params, facts)
    busy = [node(tier.stage, tier.number) for tier in plan.tiers()]
    assert skippable(ROWS[0], busy) == [name for name in ROWS[0] if name not in busy]


def test_what_lies_between_distant_nodes_passes_them_on() -> None:
    """A run whose earlier results were lost here and there: nodes between stages far apart are not skipped."""
    first, last = node("watershed", 0), node("report", 0)
    kept = set(ROWS[0]) - set(skippable(ROWS[0], [first, last]))
    assert gate_node("labels") in kept
    assert node("affinities", 0) not in kept

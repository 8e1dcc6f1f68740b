"""The row of a pipeline's nodes: what each waits for, and which of them a run can skip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from seuron.engine.pipeline import Pipeline
from seuron.orchestration.routing import node

#: What a gate is called in the group of its stage.
GATE_ID = "inspect"
#: A stage's first node waits for the nodes of so many stages before it, and not for the last of them alone: two
#: stages one behind the other may have nothing to do (edits of the segmentation, and the names that follow).
STAGES_AWAITED = 3


def gate_node(stage: str) -> str:
    """The node of the gate behind a stage."""
    return f"{stage}.{GATE_ID}"


def barriers(pipeline: Pipeline) -> dict[str, list[str]]:
    """The nodes, tiers and gates, in their order, each with those that it waits for: the one before it at least.

    A stage's first tier and its gate wait for others as well, so that a run which needs none of the nodes in between
    can skip these.
    """
    found: dict[str, list[str]] = {}
    stages: list[list[str]] = []
    for stage in pipeline.stages:
        tiers = [node(stage.name, tier) for tier in range(stage.tiers)]
        for tier, name in enumerate(tiers):
            found[name] = list(found)[-1:] if tier else [other for names in stages[-STAGES_AWAITED:] for other in names]
        if stage.name in pipeline.inspectable:
            found[gate_node(stage.name)] = tiers
            tiers = [*tiers, gate_node(stage.name)]
        stages.append(tiers)
    return found


def skippable(awaited: Mapping[str, Sequence[str]], busy: Sequence[str]) -> list[str]:
    """The nodes that a run may skip at its start, where those of `busy` have something to do.

    It takes the scheduler 0.6 s to find out by itself that a node has nothing to do. A node that is skipped at once
    keeps nobody waiting; so two busy nodes of which the second does not wait for the first keep those between them.
    """
    row = list(awaited)
    places = sorted(row.index(name) for name in busy)
    kept = set(places)
    for first, second in pairwise(places):
        if row[first] not in awaited[row[second]]:
            kept |= set(range(first, second))
    return [name for place, name in enumerate(row) if place not in kept]

"""A finished run's region graph, merge tree, vetoes and supervoxels, put together from its tasks' tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from abiss_py import Clusters, Constraint, Contacts, MergeTree, affinity_type, agglomerate
from seuron.engine.plan import Task
from seuron.pipelines.segmentation.chunks import chunk_name, chunks_of
from seuron.pipelines.segmentation.facts import SegmentationRun, affinity_dtype
from seuron.pipelines.segmentation.octree import agglomeration_octree, watershed_octree
from seuron.pipelines.segmentation.predicates import with_predicates
from seuron.pipelines.segmentation.stages.remap import FinalIds, LeafIds
from seuron.pipelines.segmentation.table_schemas import classes_of, read_contacts
from seuron.storage import Storage
from seuron.storage.tables import read_groups, read_table

Int64s = NDArray[np.int64]

VETO_COLUMNS = ("a", "b", "rule", "sum", "count", "first_edge")


@dataclass(frozen=True)
class Supervoxels:
    """Every supervoxel and its voxels, ids ascending; the first row is background, 0."""

    ids: Int64s
    voxels: Int64s


@dataclass(frozen=True)
class Veto:
    """A contact that a rule, by its name, forbade; `a` and `b` are what its clusters were called then."""

    a: int
    b: int
    rule: str
    total: int
    count: int
    first: int


def region_graph(run: SegmentationRun) -> Contacts:
    """All contacts between supervoxels of a run, a row per pair, sorted."""
    rows = _graph_rows(run)
    return rows.renamed(rows.a, rows.b)


def merge_tree(run: SegmentationRun, lowest: float) -> MergeTree:
    """The joins of a run's supervoxels down to the threshold `lowest`, by the run's own rules.

    Those above the run's own threshold are stored. For a lower one agglomeration goes on where the run
    stopped: with the contacts that are left between its segments. Where the run has rules it begins
    again, since what was vetoed must not be pooled into later contacts. Where these depend on the
    threshold, the tree holds for `lowest` alone.
    """
    own, rules = run.params.agglomeration_threshold, run.params.rules
    if lowest != own and (any(rule.depends_on_threshold for rule in rules) or (rules and lowest < own)):
        return Reagglomeration(run).tree(rules, lowest)
    scale = affinity_type(affinity_dtype(run.params, run.facts)).scale
    joins = Contacts.join([read_contacts(tables, "joins") for tables in _agglomeration_tables(run)])
    tree = MergeTree.of(joins, scale, own)
    if lowest >= own:
        return tree
    contacts, names = _graph_rows(run), tree.names(0, len(joins))
    left = contacts.renamed(names.follow(contacts.a), names.follow(contacts.b))
    nothing_open = np.zeros(0, np.int64)
    further = agglomerate(left, Clusters.empty(), nothing_open, lowest, scale)
    return MergeTree.of(Contacts.join([joins, further.joins]), scale, lowest)


class Reagglomeration:
    """A run's region graph, agglomerated again by any rules: read once, when it is first needed."""

    def __init__(self, run: SegmentationRun) -> None:
        self._run = run

    def tree(self, rules: Sequence[Constraint], threshold: float) -> MergeTree:
        """The joins that agglomeration with these rules makes at the threshold."""
        scale = affinity_type(affinity_dtype(self._run.params, self._run.facts)).scale
        result = agglomerate(
            self._graph,
            self._clusters if rules else Clusters.empty(),
            np.zeros(0, np.int64),
            threshold,
            scale,
            constraints=with_predicates(rules),
            class_names=self._run.params.class_names if rules else (),
        )
        return MergeTree.of(result.joins, scale, threshold)

    @cached_property
    def _graph(self) -> Contacts:
        return region_graph(self._run)

    @cached_property
    def _clusters(self) -> Clusters:
        return clusters(self._run)


def clusters(run: SegmentationRun) -> Clusters:
    """What rules look at, a row for every supervoxel: counted where the watershed's leaves found its parts."""
    ids, names, voxels, classes = [], [], [], []
    final = FinalIds(run, watershed_octree(run.plan))
    for task in run.plan.stage("watershed").tiers[0]:
        tables, leaf = run.tables(task.id), LeafIds(run, task, final)
        for index, _ in chunks_of(run, task):
            part = read_table(tables, chunk_name("clusters", index))
            ids.append(part["id"])
            names.append(leaf.follow(part["id"], index))
            voxels.append(part["voxels"])
            classes.append(classes_of(part))
    # A supervoxel is called by its first voxel, so one of its parts is called as it is.
    found = np.concatenate(names)
    begun = (found == np.concatenate(ids)).astype(np.int64)
    return Clusters.summed(found, np.concatenate(voxels), begun, np.concatenate(classes))


def supervoxels(run: SegmentationRun) -> Supervoxels:
    """The voxels of every supervoxel, and of the background."""
    found = clusters(run)
    background = run.facts.box.voxels - found.voxels.sum()
    return Supervoxels(np.concatenate([[0], found.ids]), np.concatenate([[background], found.voxels]))


def vetoes(run: SegmentationRun) -> list[Veto]:
    """Every contact that a rule forbade; none where the run had no rules."""
    found, rules = [], run.params.rules
    for tables in _agglomeration_tables(run) if rules else ():
        columns = read_table(tables, "vetoes")
        rows = zip(*(columns[name].tolist() for name in VETO_COLUMNS), strict=True)
        found += [Veto(a, b, rules[number].name, *contact) for a, b, number, *contact in rows]
    return found


def veto_counts(run: SegmentationRun) -> list[tuple[Constraint, int]]:
    """A run's rules, and how many contacts each forbade in the tasks that are done."""
    rules = run.params.rules
    counts = np.zeros(len(rules), np.int64)
    for task in _octree_tasks(run) if rules else ():
        if run.has_tables(task.id):
            for group in read_groups(run.tables(task.id), "vetoes", ["rule"]):
                counts += np.bincount(group["rule"], minlength=len(rules))
    return list(zip(rules, counts.tolist(), strict=True))


def _graph_rows(run: SegmentationRun) -> Contacts:
    """All contacts between supervoxels; a pair has a row for each task that saw it touch."""
    return Contacts.join([read_contacts(tables, "graph") for tables in _agglomeration_tables(run)])


def _agglomeration_tables(run: SegmentationRun) -> Iterator[Storage]:
    """The folder of each agglomeration task's tables."""
    yield from (run.tables(task.id) for task in _octree_tasks(run))


def _octree_tasks(run: SegmentationRun) -> Iterator[Task]:
    """Leaves and merges: what takes part in a round leaves its results to the root."""
    for tier in agglomeration_octree(run.plan).levels:
        yield from tier

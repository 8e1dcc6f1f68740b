"""A finished run's region graph, merge tree, vetoes and supervoxels, put together from its tasks' tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from abiss_py import Clusters, Contacts, MergeTree, affinity_type, agglomerate
from seuron.runs import Run
from seuron.segmentation.chunks import chunk_name, chunks_of
from seuron.segmentation.columns import read_contacts
from seuron.segmentation.naming import names_after
from seuron.storage import Storage
from seuron.tables import read_table

Int64s = NDArray[np.int64]

VETO_COLUMNS = ("a", "b", "rule", "sum", "count", "first_edge")


@dataclass(frozen=True)
class Supervoxels:
    """Every supervoxel and its voxels, ids ascending; the first row is background, 0."""

    ids: Int64s
    voxels: Int64s


@dataclass(frozen=True)
class Veto:
    """A contact that a rule forbade, by the names its clusters had then."""

    a: int
    b: int
    rule: str
    total: int
    count: int
    first: int


def region_graph(run: Run) -> Contacts:
    """All contacts between supervoxels of a run, a row per pair, sorted."""
    rows = _graph_rows(run)
    return rows.renamed(rows.a, rows.b)


def merge_tree(run: Run, lowest: float) -> MergeTree:
    """The joins of a run's supervoxels down to the threshold `lowest`.

    Those above the run's own threshold are stored. For a lower one agglomeration goes on where the run
    stopped: with the contacts that are left between its segments.
    """
    scale, own = affinity_type(run.affinity_dtype).scale, run.params.agglomeration_threshold
    joins = Contacts.join([read_contacts(tables, "joins") for tables in _agglomeration_tables(run)])
    tree = MergeTree.of(joins, scale, own)
    if lowest >= own:
        return tree
    contacts, names = _graph_rows(run), tree.names(0, len(joins))
    left = contacts.renamed(names.follow(contacts.a), names.follow(contacts.b))
    nothing_open = np.zeros(0, np.int64)
    further = agglomerate(left, Clusters.empty(), nothing_open, lowest, scale)
    return MergeTree.of(Contacts.join([joins, further.joins]), scale, lowest)


def supervoxels(run: Run) -> Supervoxels:
    """The voxels of every supervoxel, counted where the watershed's leaves found its parts."""
    ids, voxels = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
    for task in run.plan.stage("watershed").tiers[0]:
        tables = run.tables(task.id)
        for index, _ in chunks_of(run, task):
            clusters = read_table(tables, chunk_name("clusters", index))
            ids.append(clusters["id"])
            voxels.append(clusters["voxels"])
    names, row = np.unique(names_after(run, "watershed", np.concatenate(ids)), return_inverse=True)
    total = np.zeros(names.size, np.int64)
    np.add.at(total, row, np.concatenate(voxels))
    total[0] = run.facts.box.voxels - total[1:].sum()
    return Supervoxels(names, total)


def vetoes(run: Run) -> list[Veto]:
    """Every contact that a rule forbade; none where the run had no rules."""
    found = []
    for tables in _agglomeration_tables(run):
        if "vetoes.parquet" in tables.names():
            columns = read_table(tables, "vetoes")
            rows = zip(*(columns[name].tolist() for name in VETO_COLUMNS), strict=True)
            found += [Veto(a, b, str(rule), *contact) for a, b, rule, *contact in rows]
    return found


def _graph_rows(run: Run) -> Contacts:
    """All contacts between supervoxels; a pair has a row for each task that saw it touch."""
    return Contacts.join([read_contacts(tables, "graph") for tables in _agglomeration_tables(run)])


def _agglomeration_tables(run: Run) -> Iterator[Storage]:
    """The folder of each agglomeration task's tables."""
    for task in run.plan.stage("agglomeration").tasks:
        if not task.layer:  # what takes part in a round leaves its results to the root
            yield run.tables(task.id)

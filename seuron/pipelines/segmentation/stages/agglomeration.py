"""Stage `agglomeration`: the region graph of the supervoxels, and which of them are one segment.

Works on tables alone. Every task leaves:

    graph          contacts between supervoxels that this task saw first: all tasks' rows together,
                   summed by pair, are the region graph
    joins          the contacts that were joined, in order: the merge tree
    names          what ids are called now
    residual       contacts that could not be decided
    vetoes         contacts that a rule removed, in order, where the run has rules
    clusters       what rules look at, of the ids that may still get another name; likewise
    open-clusters  the ids that may still get another name
    face-*         the supervoxels at each inner face, on their own until the face is closed
    sources        where the contacts are that are left to the tasks above: `residual`, or the tables
                   of tasks below, passed on because they are too many

and the root, for each of its children, `final-X_Y_Z`, as in `watershed.py`. A root that has no room for
its contacts decides them in rounds: `external/planned_rounds.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py import Clusters, Contacts, Mapping, Vetoes
from seuron.box import Triple
from seuron.engine.inputs import inputs_digest, tables_read
from seuron.engine.pipeline import Counts, Inputs
from seuron.engine.plan import Task
from seuron.pipelines.segmentation.chunks import place_of, watershed_leaf
from seuron.pipelines.segmentation.estimates import contacts_that_fit, fits
from seuron.pipelines.segmentation.external.leaf_parts import Decisions, LeafGraph
from seuron.pipelines.segmentation.external.planned_rounds import Source, bin_task, finish, joining_of, split_task
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.pipelines.segmentation.octree import agglomeration_octree, round_of, watershed_octree
from seuron.pipelines.segmentation.seams import closed_seams
from seuron.pipelines.segmentation.stages.remap import FinalIds, propagate_ids, seam_ids
from seuron.pipelines.segmentation.table_schemas import (
    contact_columns,
    face_name,
    read_clusters,
    read_contacts,
    read_faces,
    write_clusters,
    write_contacts,
    write_names,
    write_vetoes,
)
from seuron.pipelines.segmentation.tables_read import leaf_ids_read, rounds_read, seams_read
from seuron.storage import Storage
from seuron.storage.scratch import scratch_folders
from seuron.storage.table_merge import merged
from seuron.storage.tables import Table, count_rows, read_pieces, read_table, write_groups, write_table

Int64s = NDArray[np.int64]

NONE = np.zeros(0, np.int64)
#: Contacts of seams are pooled, and written, this many rows at a time.
GRAPH_ROWS = 2_000_000


@dataclass(frozen=True)
class Work:
    """What a task has to decide: contacts, the rows that rules look at, and the ids that are open.

    `clusters` are none where the run has no rules.
    """

    contacts: Contacts
    clusters: Clusters
    open_ids: Int64s


def inputs(run: SegmentationRun, task: Task) -> Inputs:
    """The watershed's tables of the task's box, what the ids in them are called, and the tables of the tasks below."""
    octree, watershed = agglomeration_octree(run.plan), watershed_octree(run.plan)
    if task.role == "leaf":
        source = watershed_leaf(run, task.index)
        read: Any = [
            tables_read(run, source.id, "clusters-", "contacts-", "seams-", "face-"),
            leaf_ids_read(run, watershed, source),
        ]
    elif task.role == "bin" or (task.role == "split" and task.index[0] > 0):
        read = rounds_read(run, task)
    else:
        merge = octree.root if task.role == "split" else task
        children = list(octree.children(merge))
        below = [tables_read(run, child.id, "open-clusters", "clusters", "face-") for child in children]
        waiting = [tables_read(run, *source) for child in children for source in _sources(run, child)]
        seams = seams_read(run, watershed, watershed.merge_like(merge, octree))
        read = [below, waiting, seams, rounds_read(run, task)]
    return {"tables": inputs_digest(run, task, read)}


def run(run: SegmentationRun, task: Task) -> Counts:
    """Agglomerate a leaf's supervoxels, or what the tasks below could not decide; or take part in a round."""
    if task.role == "bin":
        return bin_task(run, task)
    if task.role == "split" and task.index[0] > 0:
        return split_task(run, task, [], [])
    if task.role == "split":
        octree = agglomeration_octree(run.plan)
        rows, waiting = _write_graph(run, octree.root, run.tables(task.id)), _waiting(run, octree.root)
        children = list(octree.children(octree.root))
        return {"contacts": rows} | split_task(run, task, [*waiting, (task.id, "graph")], children)
    return _leaf(run, task) if task.role == "leaf" else _merge(run, task)


def _decide(run: SegmentationRun, task: Task, work: Work) -> Counts:
    """Agglomerate what fits into memory, and write all that came of it."""
    tables = run.tables(task.id)
    result = joining_of(run).apply(work.contacts, work.clusters, work.open_ids)
    write_contacts(tables, "joins", result.joins)
    write_contacts(tables, "residual", result.contacts)
    if run.params.rules:
        write_vetoes(tables, result.vetoes)
        write_clusters(tables, result.clusters)
    waiting = np.unique(np.concatenate([result.contacts.a, result.contacts.b, work.open_ids]))
    _write_names(run, task, result.mapping, waiting)
    _write_sources(tables, [(task.id, "residual")])
    counts: Counts = {"joins": len(result.joins), "open_contacts": len(result.contacts)}
    return counts | {"vetoes": len(result.vetoes)} if run.params.rules else counts


def _write_names(run: SegmentationRun, task: Task, mapping: Mapping, waiting: Int64s) -> None:
    """Write what ids are called, and which of them may still get another name."""
    tables = run.tables(task.id)
    write_table(tables, "open-clusters", {"id": waiting})
    write_names(tables, mapping)
    octree = agglomeration_octree(run.plan)
    if octree.is_root(task):
        propagate_ids(run, octree, task, Mapping.union([]), tables)


def _leaf(run: SegmentationRun, task: Task) -> Counts:
    """Decide the contacts inside a leaf: at once where they fit into memory, else part by part."""
    graph = LeafGraph(run, task)
    faces = read_faces(run.tables(graph.source.id), place_of(run, task.box))
    at_faces = {side: np.unique(graph.ids.after.follow(face.values)) for side, face in faces.items()}
    for side, ids in at_faces.items():
        write_table(run.tables(task.id), face_name("face", *side), {"id": ids})
    open_ids = np.unique(np.concatenate([NONE, *at_faces.values()]))
    parts = graph.parts(contacts_that_fit(run.params.task_memory, run.params.rule_columns))
    if len(parts) > 1:
        return _leaf_in_parts(run, task, graph, parts, open_ids)
    contacts, rows = graph.read(parts[0])
    write_contacts(run.tables(task.id), "graph", contacts)
    return {"contacts": len(contacts)} | _decide(run, task, Work(contacts, rows, open_ids))


def _leaf_in_parts(
    run: SegmentationRun, task: Task, graph: LeafGraph, parts: list[list[Triple]], open_ids: Int64s
) -> Counts:
    """Decide what each part of a leaf's graph can alone, and then what they left, where that fits into memory."""
    tables, open_to_parts = run.tables(task.id), np.union1d(open_ids, graph.shared(parts))
    with scratch_folders() as folders:
        decisions = Decisions(joining_of(run), next(folders))

        def graphs() -> Iterator[Table]:
            for part in parts:
                contacts, clusters = graph.read(part)
                decisions.decide(contacts, clusters, open_to_parts)
                yield contact_columns(contacts)

        write_groups(tables, "graph", graphs())
        if decisions.contacts_left <= contacts_that_fit(run.params.task_memory, run.params.rule_columns):
            decisions.decide_what_is_left(open_ids)
        rows = decisions.write(tables)
        if run.params.rules:
            write_clusters(tables, decisions.clusters)
        _write_names(run, task, decisions.names(), np.union1d(decisions.waiting(), open_ids))
    _write_sources(tables, [(task.id, "residual")])
    counts: Counts = {"contacts": count_rows(tables, "graph"), "parts": len(parts)}
    counts |= {"joins": rows["joins"], "open_contacts": rows["residual"]}
    return counts | {"vetoes": rows["vetoes"]} if run.params.rules else counts


def _merge(run: SegmentationRun, task: Task) -> Counts:
    """Decide the contacts through the seams that a merge closes, and what its children left.

    Where these are too many for memory, a root goes through rounds; any other merge decides nothing and
    leaves them to those above it, which is always right, and tells where they are.
    """
    tables = run.tables(task.id)
    counts: Counts = {"contacts": _write_graph(run, task, tables)}
    waiting = [*_waiting(run, task), (task.id, "graph")]
    place, octree = place_of(run, task.box), agglomeration_octree(run.plan)
    children = list(octree.children(task))
    for side in place.inner_faces:
        at_side = [child for child in children if place_of(run, child.box).reaches(place, side)]
        write_groups(tables, face_name("face", *side), _merged_below(run, at_side, face_name("face", *side)))

    is_root = octree.is_root(task)
    shared_out = is_root and round_of(run.plan, 0) is not None
    if not shared_out and _fits(run, children, waiting):
        contacts = _summed([read_contacts(run.tables(source), name) for source, name in waiting])
        faces = [read_table(tables, face_name("face", *side))["id"] for side in place.inner_faces]
        open_ids = np.unique(np.concatenate([NONE, *faces]))
        return counts | _decide(run, task, Work(contacts, _clusters_below(run, children), open_ids))
    if not is_root:
        return counts | _pass_on(run, task, children, waiting)
    counts |= finish(run, task, children, waiting)
    write_contacts(tables, "residual", Contacts.empty())
    write_table(tables, "open-clusters", {"id": NONE})
    propagate_ids(run, octree, task, Mapping.union([]), tables)
    _write_sources(tables, [])
    return counts | {"open_contacts": 0}


def _fits(run: SegmentationRun, children: list[Task], waiting: list[Source]) -> bool:
    """Whether there is room for all contacts that wait, and for all ids that come into a merge."""
    rows = sum(count_rows(run.tables(source), name) for source, name in waiting)
    ids = sum(count_rows(run.tables(child.id), "open-clusters") for child in children)
    return fits(run.params.task_memory, rows, ids, run.params.rule_columns)


def _pass_on(run: SegmentationRun, task: Task, children: list[Task], waiting: list[Source]) -> Counts:
    tables = run.tables(task.id)
    write_contacts(tables, "joins", Contacts.empty())
    if run.params.rules:
        write_vetoes(tables, Vetoes.join([]))
        write_groups(tables, "clusters", _merged_below(run, children, "clusters"))
    write_groups(tables, "open-clusters", _merged_below(run, children, "open-clusters"))
    write_names(tables, Mapping.union([]))
    _write_sources(tables, waiting)
    return {"joins": 0, "passed_on": len(waiting)}


def _merged_below(run: SegmentationRun, children: Iterable[Task], table: str) -> Iterator[Table]:
    """A table of several tasks as one, by id; columns beside it are added."""
    return merged(read_pieces(run.tables(child.id), table) for child in children)


def _clusters_below(run: SegmentationRun, children: list[Task]) -> Clusters:
    return Clusters.join([read_clusters(run.tables(child.id)) for child in children if run.params.rules])


def _write_graph(run: SegmentationRun, task: Task, tables: Storage) -> int:
    """Write the contacts through the seams that a merge closes as `graph`, a batch at a time; returns how many."""

    def batches() -> Iterator[Table]:
        batch: list[Contacts] = []
        octree = watershed_octree(run.plan)
        final = FinalIds(run, octree)
        for planned, seam in closed_seams(run, octree, octree.merge_like(task, agglomeration_octree(run.plan))):
            below, above = seam_ids(run, octree, planned, final)
            batch.append(seam.contacts.renamed(below.follow(seam.a), above.follow(seam.b)))
            if sum(map(len, batch)) > GRAPH_ROWS:
                yield contact_columns(_summed(batch))
                batch = []
        yield contact_columns(_summed(batch))

    write_groups(tables, "graph", batches())
    return count_rows(tables, "graph")


def _waiting(run: SegmentationRun, merge: Task) -> list[Source]:
    """Where the contacts are that the tasks below a merge left undecided."""
    return [source for child in agglomeration_octree(run.plan).children(merge) for source in _sources(run, child)]


def _write_sources(tables: Storage, sources: list[Source]) -> None:
    names = ([source for source, _ in sources], [table for _, table in sources])
    write_table(tables, "sources", {"task": np.array(names[0], np.str_), "table": np.array(names[1], np.str_)})


def _sources(run: SegmentationRun, task: Task) -> list[Source]:
    """Where the contacts are that a task left undecided: in its own tables, or in those that it passed on."""
    table = read_table(run.tables(task.id), "sources")
    return list(zip(table["task"].tolist(), table["table"].tolist(), strict=True))


def _summed(tables: list[Contacts]) -> Contacts:
    joined = Contacts.join(tables)
    return joined.renamed(joined.a, joined.b)

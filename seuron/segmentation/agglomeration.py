"""Stage `agglomeration`: the region graph of the supervoxels, and which of them are one segment.

Works on tables alone. Every task leaves:

    graph       contacts between supervoxels that this task saw first: all tasks' rows together,
                summed by pair, are the region graph
    joins       the contacts that were joined, in order: the merge tree
    names       what ids are called now
    residual    contacts that could not be decided
    face-*      the ids at each inner face
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abiss_py import Contacts, affinity_type, agglomerate
from seuron.planning import Task
from seuron.planning.plan import task_id
from seuron.runs import Counts, Run
from seuron.segmentation.chunks import chunk_name, chunks_of, place_of
from seuron.segmentation.columns import (
    face_name,
    read_contacts,
    read_names,
    union_of_names,
    write_contacts,
    write_names,
)
from seuron.segmentation.tree import final_names
from seuron.tables import read_table, write_table

Int64s = NDArray[np.int64]
Faces = dict[tuple[int, int], Int64s]


def run(run: Run, task: Task) -> Counts:
    """Agglomerate a leaf's supervoxels, or what the tasks below could not decide."""
    source = task_id("watershed", task.tier, task.index)
    crossings = _resolved(run, source, read_contacts(run.tables(source), "crossings"))
    if task.tier == 0:
        graph = _summed([crossings, *_chunk_contacts(run, task, source)])
        contacts, faces = graph, _leaf_faces(run, task, source)
    else:
        graph = crossings
        names = union_of_names([read_names(run.tables(child)) for child in task.children])
        residual = [read_contacts(run.tables(child), "residual") for child in task.children]
        contacts = _summed([graph.renamed(names.follow(graph.a), names.follow(graph.b)), *residual])
        faces = _merged_faces(run, task)

    open_ids = np.unique(np.concatenate([np.zeros(0, np.int64), *faces.values()]))
    scale = affinity_type(run.affinity_dtype).scale
    result = agglomerate(contacts, open_ids, run.params.agglomeration_threshold, scale)

    tables = run.tables(task.id)
    write_contacts(tables, "graph", graph)
    write_contacts(tables, "joins", result.joins)
    write_contacts(tables, "residual", result.contacts)
    write_names(tables, result.mapping)
    for (axis, side), ids in faces.items():
        write_table(tables, face_name(axis, side), {"id": np.unique(result.mapping.follow(ids))})
    return {"contacts": len(graph), "joins": len(result.joins), "open_contacts": len(result.contacts)}


def _summed(tables: list[Contacts]) -> Contacts:
    joined = Contacts.join(tables)
    return joined.renamed(joined.a, joined.b)


def _resolved(run: Run, source: str, contacts: Contacts) -> Contacts:
    """A watershed task's contacts between supervoxels."""
    return contacts.renamed(final_names(run, source, contacts.a), final_names(run, source, contacts.b))


def _chunk_contacts(run: Run, task: Task, source: str) -> list[Contacts]:
    """The contacts inside each chunk of a leaf, between supervoxels."""
    tables, found = run.tables(source), []
    for index, _ in chunks_of(run, task):
        ids = final_names(run, source, read_table(tables, chunk_name("clusters", index))["id"])
        contacts = read_contacts(tables, chunk_name("contacts", index))
        found.append(contacts.renamed(ids[contacts.a], ids[contacts.b]))
    return found


def _leaf_faces(run: Run, task: Task, source: str) -> Faces:
    """The supervoxels at each inner face of a leaf."""
    faces = {}
    for axis, side in place_of(run, task.box).inner_faces:
        ids = np.unique(read_table(run.tables(source), face_name(axis, side))["id"])
        faces[axis, side] = np.unique(final_names(run, source, ids[ids > 0]))
    return faces


def _merged_faces(run: Run, task: Task) -> Faces:
    """The clusters at each inner face of a merged box: those at the same face of its children."""
    place, faces = place_of(run, task.box), {}
    for axis, side in place.inner_faces:
        bound = (place.minimum, place.maximum)[side][axis]
        children = (run.plan.tasks[child] for child in task.children)
        at_face = [c for c in children if _corner(run, c, side)[axis] == bound]
        parts = [read_table(run.tables(child.id), face_name(axis, side))["id"] for child in at_face]
        faces[axis, side] = np.unique(np.concatenate(parts))
    return faces


def _corner(run: Run, task: Task, side: int) -> tuple[int, int, int]:
    place = place_of(run, task.box)
    return place.minimum if side == 0 else place.maximum

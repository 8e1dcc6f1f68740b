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

and the root, for each of its children, `final-X_Y_Z`, as in `watershed.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py import Clusters, Contacts, Mapping, Seam, affinity_type, agglomerate
from seuron.planning import Task
from seuron.planning.plan import Seam as PlannedSeam
from seuron.planning.plan import task_id
from seuron.runs import Counts, Run
from seuron.segmentation.chunks import chunk_name, chunks_of, place_of
from seuron.segmentation.columns import (
    Side,
    classes_of,
    face_name,
    read_clusters,
    read_contacts,
    read_faces,
    read_seam,
    write_clusters,
    write_contacts,
    write_names,
    write_vetoes,
)
from seuron.segmentation.inputs import inputs_digest, names_read, supervoxel_seams_read, tables_read
from seuron.segmentation.naming import final_names, hand_down
from seuron.segmentation.seams import closed_seams
from seuron.tables import read_table, write_table


@dataclass(frozen=True)
class Work:
    """What a task has to do: its rows of the region graph, the contacts to decide, and the ids at its faces.

    `clusters` are the rows that rules look at; none where the run has no rules.
    """

    graph: Contacts
    contacts: Contacts
    clusters: Clusters
    faces: dict[Side, NDArray[np.int64]]


def inputs(run: Run, task: Task) -> dict[str, str]:
    """The watershed's tables of the task's box, what the ids in them are called, and the tables of the tasks below."""
    source = task_id("watershed", task.tier, task.index)
    if task.tier == 0:
        read: Any = [tables_read(run, source, "clusters-", "contacts-", "seams", "face-"), names_read(run, source)]
    else:
        below = [tables_read(run, child, "open-clusters", "residual", "clusters", "face-") for child in task.children]
        read = [below, supervoxel_seams_read(run, source)]
    return {"tables": inputs_digest(run, task, read)}


def run(run: Run, task: Task) -> Counts:
    """Agglomerate a leaf's supervoxels, or what the tasks below could not decide."""
    work = _leaf(run, task) if task.tier == 0 else _merge(run, task)
    open_ids = np.unique(np.concatenate([np.zeros(0, np.int64), *work.faces.values()]))
    rules = run.params.rules
    result = agglomerate(
        work.contacts,
        work.clusters,
        open_ids,
        run.params.agglomeration_threshold,
        affinity_type(run.affinity_dtype).scale,
        constraints=rules,
        class_names=run.params.class_names,
    )

    tables = run.tables(task.id)
    waiting = np.unique(np.concatenate([result.contacts.a, result.contacts.b, open_ids]))
    write_contacts(tables, "graph", work.graph)
    write_contacts(tables, "joins", result.joins)
    write_contacts(tables, "residual", result.contacts)
    write_table(tables, "open-clusters", {"id": waiting})
    write_names(tables, result.mapping)
    if rules:
        write_vetoes(tables, result.vetoes)
        write_clusters(tables, result.clusters)
    for side, ids in work.faces.items():
        write_table(tables, face_name("face", *side), {"id": ids})
    if task.id not in run.plan.parents:
        hand_down(run, task.id, Mapping.union([]), tables)
    counts: Counts = {"contacts": len(work.graph), "joins": len(result.joins), "open_contacts": len(result.contacts)}
    return counts | {"vetoes": len(result.vetoes)} if rules else counts


def _leaf(run: Run, task: Task) -> Work:
    """The contacts inside a leaf, and the supervoxels at its inner faces."""
    source = task_id("watershed", 0, task.index)
    tables, found, rows = run.tables(source), [], [Clusters.empty(len(run.params.class_names))]
    for index, _ in chunks_of(run, task):
        clusters = read_table(tables, chunk_name("clusters", index))
        ids = final_names(run, source, clusters["id"])
        if run.params.rules:
            begun = (ids == clusters["id"]).astype(np.int64)
            rows.append(Clusters.summed(ids, clusters["voxels"], begun, classes_of(clusters)))
        contacts = read_contacts(tables, chunk_name("contacts", index))
        found.append(contacts.renamed(ids[contacts.a], ids[contacts.b]))
    seams = read_seam(tables, "seams").contacts
    found.append(seams.renamed(final_names(run, source, seams.a), final_names(run, source, seams.b)))
    graph, faces = _summed(found), read_faces(tables, place_of(run, task.box))
    at_faces = {side: np.unique(final_names(run, source, face.values)) for side, face in faces.items()}
    return Work(graph, graph, Clusters.join(rows), at_faces)


def _merge(run: Run, task: Task) -> Work:
    """The contacts through the seams that a merge closes, with what its children left; its faces."""
    source = run.plan.tasks[task_id("watershed", task.tier, task.index)]
    graph = _summed([_resolved(run, planned, seam) for planned, seam in closed_seams(run, source)])
    residual = [read_contacts(run.tables(child), "residual") for child in task.children]
    place, faces = place_of(run, task.box), {}
    for side in place.inner_faces:
        at_side = (child for child in task.children if place_of(run, run.plan.tasks[child].box).reaches(place, side))
        tables = (read_table(run.tables(child), face_name("face", *side)) for child in at_side)
        faces[side] = np.unique(np.concatenate([table["id"] for table in tables]))
    rows = [read_clusters(run.tables(child)) for child in task.children if run.params.rules]
    return Work(graph, _summed([graph, *residual]), Clusters.join(rows), faces)


def _resolved(run: Run, planned: PlannedSeam, seam: Seam) -> Contacts:
    """A seam's contacts between supervoxels."""
    return seam.contacts.renamed(final_names(run, planned.below, seam.a), final_names(run, planned.above, seam.b))


def _summed(tables: list[Contacts]) -> Contacts:
    joined = Contacts.join(tables)
    return joined.renamed(joined.a, joined.b)

"""Stage `edits`: what proofreaders decided, on the region graph of a run's segments; no voxel is read.

Its one task leaves the table `edited`, the names of those supervoxels that another segment holds than the
agglomeration said. It reads the region graph a row group at a time and keeps the contacts inside segments that edits
name; so its memory goes with these, and with the names of all tasks.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from abiss_py import Contacts
from seuron.box import Box, Triple
from seuron.engine.inputs import inputs_digest, tables_read
from seuron.engine.pipeline import Counts, Inputs
from seuron.engine.plan import Task
from seuron.errors import DataError, ParameterErrors
from seuron.pipelines.segmentation.chunks import chunk_name, chunks_meeting, leaf_index, voxel_at, watershed_leaf
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.pipelines.segmentation.octree import agglomeration_octree
from seuron.pipelines.segmentation.proofreading.edit_list import (
    EditList,
    Piece,
    content_digest,
    parse_edits,
    read_content,
)
from seuron.pipelines.segmentation.proofreading.edited_graph import Cut, edited_segments
from seuron.pipelines.segmentation.stages.remap import EDITED, AgglomeratedSegments, LeafIds
from seuron.pipelines.segmentation.table_schemas import contacts_from, write_names
from seuron.storage.tables import read_groups, read_table

Int64s = NDArray[np.int64]


def inputs(run: SegmentationRun, task: Task) -> Inputs:
    """The region graph, what its ids are called in the end, and the voxels that the edits point at."""
    octree = [other for tier in agglomeration_octree(run.plan).levels for other in tier]
    tables = [tables_read(run, other.id, "graph", "names") for other in octree]
    labels = [tables_read(run, other.id, "labels-", "clusters-") for other in run.plan.stage("watershed").tiers[0]]
    return {"tables": inputs_digest(run, task, [tables, labels])}


def run(run: SegmentationRun, task: Task) -> Counts:
    """Carry out the edits, all together; DataError names each that cannot be."""
    edits = stored_edits(run)
    ids = _supervoxels(run, edits)
    links = [(ids[merge.a], ids[merge.b]) for merge in edits.merges]
    cuts = [
        Cut(tuple(ids[p] for p in split.one), tuple(ids[p] for p in split.other), split.place) for split in edits.splits
    ]
    names = AgglomeratedSegments(run)
    wanted = np.array(sorted(set(ids.values())), np.int64)
    graph = contacts_inside(run, names, np.unique(names.of(wanted)))
    members = np.unique(np.concatenate([graph.a, graph.b, wanted]))
    segments = dict(zip(members.tolist(), names.of(members).tolist(), strict=True))
    try:
        found = edited_segments(graph, segments, links, cuts)
    except DataError as error:
        raise DataError("\n".join(f"`edits`: {line}" for line in str(error).split("\n"))) from error
    write_names(run.tables(task.id), found.names, EDITED)
    counts: Counts = {"merges": len(links), "splits": len(cuts), "renamed_supervoxels": found.names.keys.size}
    return counts | {"joined_already": found.joined_already, "apart_already": found.apart_already}


def stored_edits(run: SegmentationRun) -> EditList:
    """The edits of a run, those that it was prepared with; raises ParameterErrors where the file has changed since."""
    assert run.params.edits is not None
    content = read_content(run.params.edits)
    if content_digest(content) != run.facts.edits:
        raise ParameterErrors([f"`edits`: {run.params.edits} has changed since the run was started; start it again"])
    return parse_edits(content, run.params.edits)


def contacts_inside(run: SegmentationRun, names: AgglomeratedSegments, segments: Int64s) -> Contacts:
    """The contacts between supervoxels of one segment, for these segments, each pair once."""
    found = [Contacts.empty()]
    for tier in agglomeration_octree(run.plan).levels:
        for task in tier:
            for group in read_groups(run.tables(task.id), "graph"):
                contacts = contacts_from(group)
                of_a, of_b = names.of(contacts.a), names.of(contacts.b)
                found.append(contacts.take((of_a == of_b) & np.isin(of_a, segments)))
    joined = Contacts.join(found)
    return joined.renamed(joined.a, joined.b)


def _supervoxels(run: SegmentationRun, edits: EditList) -> dict[Piece, int]:
    """The supervoxel of each piece; DataError names each piece that is in none."""
    at, found, problems = SupervoxelsAt(run), dict[Piece, int](), list[str]()
    for place, piece in sorted(edits.pieces, key=lambda item: at.order(item[1])):
        if piece in found:
            continue
        voxel = piece if isinstance(piece, tuple) else voxel_at(run, piece - 1)
        inside = run.facts.box.contains(Box.from_shape(voxel, (1, 1, 1)))
        label = at(voxel) if inside else 0
        if isinstance(piece, tuple) and label == 0:
            where = "in background" if inside else f"outside the run's box {run.facts.box}"
            problems.append(f"`edits`: {place}: the voxel {list(piece)} is {where}; give one inside a cell")
        elif isinstance(piece, int) and label != piece:
            problems.append(
                f"`edits`: {place}: the run has no supervoxel {piece}; give an id of its layer `supervoxels`, or a "
                "voxel [x, y, z]"
            )
        else:
            found[piece] = label
    if problems:
        raise DataError("\n".join(problems))
    return found


class SupervoxelsAt:
    """The supervoxel of a voxel, from the watershed's tables: layers are written later."""

    def __init__(self, run: SegmentationRun) -> None:
        self._run = run
        self._chunk = lru_cache(maxsize=4)(self._read)

    def order(self, piece: Piece) -> tuple[Triple, Triple]:
        """Pieces of one chunk follow each other: its labels are read once."""
        voxel = piece if isinstance(piece, tuple) else voxel_at(self._run, piece - 1)
        x, y, z = (
            (v - c) // s
            for v, c, s in zip(voxel, self._run.facts.id_frame.minimum, self._run.params.chunk_size, strict=True)
        )
        return (x, y, z), voxel

    def __call__(self, voxel: Triple) -> int:
        index, chunk = next(chunks_meeting(self._run, Box.from_shape(voxel, (1, 1, 1))))
        numbers, ids = self._chunk(index, chunk)
        place = tuple(v - m for v, m in zip(voxel, chunk.minimum, strict=True))
        return int(ids[numbers[place]])

    def _read(self, index: Triple, chunk: Box) -> tuple[NDArray[np.uint32], Int64s]:
        """A chunk's cluster numbers (X, Y, Z), and the supervoxel of each number."""
        leaf = watershed_leaf(self._run, leaf_index(self._run, index))
        tables = self._run.tables(leaf.id)
        numbers = read_table(tables, chunk_name("labels", index))["number"].reshape(chunk.shape, order="F")
        clusters = read_table(tables, chunk_name("clusters", index))["id"]
        return numbers, LeafIds(self._run, leaf).follow(clusters, index)

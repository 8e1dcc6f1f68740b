"""The region graph of an agglomeration leaf, decided in as many parts as memory asks for.

A part is the contacts of some of the leaf's chunks, and those through the seams at their low faces. What
several parts know of is open in each: they may decide all else one after the other, and leave the rest to be
decided with all that the others left, just as tasks of an octree do.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from abiss_py import Clusters, Contacts, Mapping, Vetoes
from seuron.box import Triple
from seuron.engine.plan import Task
from seuron.pipelines.segmentation.chunks import chunk_name, chunks_of, watershed_leaf
from seuron.pipelines.segmentation.external.rounds import Joining
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.pipelines.segmentation.seams import chunks_below
from seuron.pipelines.segmentation.stages.remap import LeafIds
from seuron.pipelines.segmentation.table_schemas import (
    classes_of,
    contact_columns,
    read_contacts,
    read_seam,
    veto_columns,
    write_contacts,
    write_vetoes,
)
from seuron.storage import Storage
from seuron.storage.tables import Table, count_rows, read_groups, read_table, write_groups

Int64s = NDArray[np.int64]


class LeafGraph:
    """Contacts between the supervoxels of a leaf's chunks, and the rows that rules look at."""

    def __init__(self, run: SegmentationRun, task: Task) -> None:
        #: The watershed's leaf of the same box.
        self.source = watershed_leaf(run, task.index)
        self.ids = LeafIds(run, self.source)
        self._run, self._tables = run, run.tables(self.source.id)
        self._chunks = [index for index, _ in chunks_of(run, task)]

    def parts(self, fit: int) -> list[list[Triple]]:
        """The leaf's chunks in order, as many together as have at most `fit` contacts; a chunk is never divided."""
        parts: list[list[Triple]] = []
        room = 0
        for chunk in self._chunks:
            rows = sum(count_rows(self._tables, chunk_name(kind, chunk)) for kind in ("contacts", "seams"))
            if not parts or rows > room:
                parts.append([])
                room = fit
            parts[-1].append(chunk)
            room -= rows
        return parts

    def shared(self, parts: list[list[Triple]]) -> Int64s:
        """The supervoxels that several parts know of."""
        if len(parts) == 1:
            return np.zeros(0, np.int64)
        known = np.concatenate([self._known(part) for part in parts])
        ids, times = np.unique(known, return_counts=True)
        return ids[times > 1]

    def read(self, chunks: list[Triple]) -> tuple[Contacts, Clusters]:
        """The contacts of a part, and the rows of its supervoxels where the run has rules."""
        contacts, rows = [], [Clusters.empty(len(self._run.params.class_names))]
        for chunk in chunks:
            clusters = read_table(self._tables, chunk_name("clusters", chunk))
            ids = self.ids.follow(clusters["id"], chunk)
            if self._run.params.rules:
                begun = (ids == clusters["id"]).astype(np.int64)
                rows.append(Clusters.summed(ids, clusters["voxels"], begun, classes_of(clusters)))
            inside = read_contacts(self._tables, chunk_name("contacts", chunk))
            contacts += [inside.renamed(ids[inside.a], ids[inside.b]), self._through_seams(chunk)]
        joined = Contacts.join(contacts)
        if self._run.params.rules:  # other parts have the voxels of what lies below a seam
            below = np.union1d(joined.a, joined.b)
            none = np.zeros(below.size, np.int64)
            rows.append(Clusters(below, none, none, np.zeros((below.size, rows[0].classes.shape[1]), np.int64)))
        return joined.renamed(joined.a, joined.b), Clusters.join(rows)

    def _through_seams(self, chunk: Triple) -> Contacts:
        found = read_seam(self._tables, chunk_name("seams", chunk)).contacts
        below = [other for other in chunks_below(chunk) if other in self._chunks]
        return found.renamed(self.ids.follow(found.a, *below), self.ids.follow(found.b, chunk))

    def _known(self, chunks: list[Triple]) -> Int64s:
        """The supervoxels that a part has voxels or contacts of, each once."""
        return np.unique(np.concatenate([ids for chunk in chunks for ids in self._ids(chunk)]))

    def _ids(self, chunk: Triple) -> Iterator[Int64s]:
        clusters = read_table(self._tables, chunk_name("clusters", chunk))
        yield self.ids.follow(clusters["id"], chunk)
        through = self._through_seams(chunk)
        yield from (through.a, through.b)


class Decisions:
    """What was decided about the parts of a graph, one after the other; all that is large lies in a scratch folder."""

    def __init__(self, joining: Joining, scratch: Storage) -> None:
        self.clusters = Clusters.empty(len(joining.class_names))
        self._joining, self._scratch = joining, scratch
        self._names: list[Mapping] = []
        self._left: list[str] = []

    def decide(self, contacts: Contacts, clusters: Clusters, open_ids: Int64s) -> None:
        """Decide what can be decided of a part, and add it to what was before."""
        result, number = self._joining.apply(contacts, clusters, open_ids), len(self._names)
        write_contacts(self._scratch, f"joins-{number}", result.joins)
        write_contacts(self._scratch, f"residual-{number}", result.contacts)
        write_vetoes(self._scratch, result.vetoes, f"vetoes-{number}")
        self._names.append(result.mapping)
        self._left.append(f"residual-{number}")
        self.clusters = Clusters.join([self.clusters, result.clusters])

    def decide_what_is_left(self, open_ids: Int64s) -> None:
        """Decide what the parts left, all together."""
        left = Contacts.join([read_contacts(self._scratch, name) for name in self._left])
        clusters, self.clusters = self.clusters, Clusters.empty(len(self._joining.class_names))
        self._left = []
        self.decide(left.renamed(left.a, left.b), clusters, open_ids)

    @property
    def contacts_left(self) -> int:
        return sum(count_rows(self._scratch, name) for name in self._left)

    def names(self) -> Mapping:
        """What ids are called now."""
        *parts, last = self._names
        inside = Mapping.union(parts)
        return Mapping.union([Mapping(inside.keys, last.follow(inside.values)), last])

    def waiting(self) -> Int64s:
        """The ids that have contacts which are left."""
        groups = [np.unique([group["a"], group["b"]]) for group in self._groups(self._left)]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *groups]))

    def write(self, tables: Storage) -> dict[str, int]:
        """Write the tables `joins`, `residual` and `vetoes`; returns how many rows each has."""
        numbers = range(len(self._names))
        contacts, vetoes = contact_columns(Contacts.empty()), veto_columns(Vetoes.join([]))
        kinds = {
            "joins": (contacts, [f"joins-{number}" for number in numbers]),
            "residual": (contacts, self._left),
            "vetoes": (vetoes, [f"vetoes-{number}" for number in numbers]),
        }
        for kind, (empty, parts) in kinds.items():
            write_groups(tables, kind, chain([empty], self._groups(parts)))
        return {kind: count_rows(tables, kind) for kind in kinds}

    def _groups(self, names: list[str]) -> Iterator[Table]:
        return (group for name in names for group in read_groups(self._scratch, name))

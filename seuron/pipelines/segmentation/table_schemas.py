"""How the nouns of `abiss_py` are laid out in tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py import Clusters, Contacts, Edges, Face, Faces, GhostClusters, Mapping, Place, Region, Seam, Vetoes
from seuron.box import Triple
from seuron.storage import Storage
from seuron.storage.tables import Table, read_on_disk, read_table, write_groups, write_table

Int64s = NDArray[np.int64]

#: A face of a box: its axis, and 0 for the low one, 1 for the high one.
Side = tuple[int, int]
SIDES = ("low", "high")
PIN_COLUMNS = tuple(column.name for column in fields(GhostClusters))


def contact_columns(contacts: Contacts) -> Table:
    """`sum` is in steps of the affinities' type: 1/255 for uint8, 2^-24 for float32."""
    return {
        "a": contacts.a,
        "b": contacts.b,
        "sum": contacts.total,
        "count": contacts.count,
        "first_edge": contacts.first,
    }


def write_contacts(storage: Storage, name: str, contacts: Contacts) -> int:
    return write_table(storage, name, contact_columns(contacts))


def read_contacts(storage: Storage, name: str) -> Contacts:
    return contacts_from(read_table(storage, name))


def contacts_from(table: Table) -> Contacts:
    """The contacts that `contact_columns` laid out."""
    return Contacts(table["a"], table["b"], table["sum"], table["count"], table["first_edge"])


def cluster_columns(clusters: Clusters) -> Table:
    """What rules look at, a row for each cluster: `class_K` counts voxels of semantic class K."""
    columns = {"id": clusters.ids, "voxels": clusters.voxels, "supervoxels": clusters.supervoxels}
    return columns | class_columns(clusters.classes)


def write_clusters(storage: Storage, clusters: Clusters) -> int:
    return write_table(storage, "clusters", cluster_columns(clusters))


def read_clusters(storage: Storage) -> Clusters:
    return clusters_from(read_table(storage, "clusters"))


def clusters_from(table: Table) -> Clusters:
    """The clusters that `cluster_columns` laid out."""
    return Clusters(table["id"], table["voxels"], table["supervoxels"], classes_of(table))


def class_columns(classes: Int64s) -> Table:
    """Voxels of each class, (n, K), as columns `class_1` to `class_K`."""
    return {f"class_{k}": column for k, column in enumerate(classes.T, start=1)}


def classes_of(table: Table) -> Int64s:
    """The columns `class_1` to `class_K` of a table as one array, (n, K)."""
    counts = [table[f"class_{k}"] for k in range(1, 1 + sum(name.startswith("class_") for name in table))]
    return np.stack(counts, axis=1) if counts else np.zeros((table["id"].size, 0), np.int64)


def veto_columns(vetoes: Vetoes) -> Table:
    """Contacts that were not joined, by the number of the rule that forbade it; sums as in `contact_columns`."""
    return {
        "a": vetoes.a,
        "b": vetoes.b,
        "rule": vetoes.rule,
        "sum": vetoes.total,
        "count": vetoes.count,
        "first_edge": vetoes.first,
    }


def write_vetoes(storage: Storage, vetoes: Vetoes, name: str = "vetoes") -> int:
    return write_table(storage, name, veto_columns(vetoes))


def write_names(storage: Storage, mapping: Mapping, name: str = "names") -> int:
    """What ids are called after this task: `id` becomes `name`, 0 is background."""
    return write_table(storage, name, _name_columns(mapping))


def write_names_in_pieces(storage: Storage, pieces: Iterable[Mapping], name: str = "names") -> int:
    """As `write_names`, where the names of all ids are too many for memory: in pieces, by rising ids."""
    return write_groups(storage, name, map(_name_columns, chain([Mapping.union([])], pieces)))


def _name_columns(mapping: Mapping) -> Table:
    return {"id": mapping.keys, "name": mapping.values}


def read_names(storage: Storage, name: str = "names") -> Mapping:
    table = read_table(storage, name)
    return Mapping(table["id"], table["name"])


def names_on_disk(storage: Storage, name: str = "names") -> Mapping:
    """As `read_names`, where these need not fit into memory."""
    table = read_on_disk(storage, name)
    return Mapping(table["id"], table["name"])


def write_region(storage: Storage, region: Region, view: str = "") -> int:
    """What is open: clusters, edges between them, and which of them other tasks have copies of (`pins`)."""
    edges, pins = region.edges, region.pins
    stored = write_table(storage, f"open-clusters{view}", {"id": region.keys, "voxels": region.voxels})
    stored += write_table(
        storage, f"open-edges{view}", {"a": edges.a, "b": edges.b, "weight": edges.weight, "edge": edges.index}
    )
    return stored + write_table(storage, f"open-pins{view}", {name: getattr(pins, name) for name in PIN_COLUMNS})


def read_region(storage: Storage, place: Place, view: str = "") -> Region:
    """What `write_region` wrote. The clusters at faces are tables of their own (`read_faces`)."""
    clusters, edges, pins = (read_table(storage, f"open-{kind}{view}") for kind in ("clusters", "edges", "pins"))
    return Region(
        place=place,
        keys=clusters["id"],
        voxels=clusters["voxels"],
        edges=Edges(edges["a"], edges["b"], edges["weight"], edges["edge"]),
        faces={},
        pins=GhostClusters(*(pins[name] for name in PIN_COLUMNS)),
    )


def view_name(side: Side) -> str:
    """What the tables of one of a leaf's views end in."""
    return face_name("", *side)


def write_views(storage: Storage, views: dict[Side, Region]) -> int:
    """A leaf's open clusters, by the face that they lie at: each seam needs only those of one face."""
    stored = sum(write_region(storage, view, view_name(side)) for side, view in views.items())
    return stored + sum(write_faces(storage, view.faces) for view in views.values())


def read_view(storage: Storage, place: Place, side: Side) -> Region:
    return replace(
        read_region(storage, place, view_name(side)), faces={side: read_names(storage, face_name("face", *side))}
    )


def write_faces(storage: Storage, faces: dict[Side, Mapping]) -> int:
    """Which clusters are at each inner face: `id` by which seams know them, `name` today."""
    return sum(write_names(storage, mapping, face_name("face", *side)) for side, mapping in faces.items())


def read_faces(storage: Storage, place: Place) -> dict[Side, Mapping]:
    return {side: read_names(storage, face_name("face", *side)) for side in place.inner_faces}


def write_planes(storage: Storage, leaf: Place, chunks: Sequence[Faces]) -> int:
    """The voxels at a leaf's inner faces: one table a face, its chunks one after the other."""
    stored = 0
    for side in leaf.inner_faces:
        planes = [chunk.planes[side] for chunk in chunks if chunk.place.reaches(leaf, side)]
        columns = {"id": _flat([plane.keys for plane in planes]), "joined": _flat([plane.joined for plane in planes])}
        if side[1] == 0:
            columns["weight"] = _flat([plane.weights for plane in planes if plane.weights is not None])
        stored += write_table(storage, face_name("plane", *side), columns)
    return stored


def read_planes(storage: Storage, leaf: Place, chunks: Sequence[Place], side: Side) -> list[Faces]:
    """The planes of those chunks of a leaf that lie at one of its faces."""
    table, start, found = read_table(storage, face_name("plane", *side)), 0, []
    for place in chunks:
        if not place.reaches(leaf, side):
            continue
        shape = [n for axis, n in enumerate(place.shape) if axis != side[0]]
        part = slice(start, start + shape[0] * shape[1])
        keys, joined = (table[name][part].reshape(shape, order="F") for name in ("id", "joined"))
        weights = table["weight"][part].reshape(shape, order="F") if side[1] == 0 else None
        found.append(Faces(place, {side: Face(keys, joined, weights)}))
        start = part.stop
    return found


def write_seam(storage: Storage, name: str, seam: Seam) -> int:
    """A seam: contacts, and for each pair its strongest edge and whether it is one basin."""
    strongest = {"joined": seam.joined, "weight": seam.weight, "edge": seam.index}
    return write_table(storage, name, contact_columns(seam.contacts) | strongest)


def read_seam(storage: Storage, name: str) -> Seam:
    table = read_table(storage, name)
    names = ("a", "b", "joined", "weight", "edge", "sum", "count", "first_edge")
    return Seam(*(table[column] for column in names))


def face_name(kind: str, axis: int, side: int) -> str:
    return f"{kind}-{'xyz'[axis]}-{SIDES[side]}"


def seam_name(leaf: Triple, axis: int) -> str:
    """The table of the seam through a leaf's low face."""
    return f"seam-{'xyz'[axis]}-{'_'.join(str(i) for i in leaf)}"


def final_name(child: Triple) -> str:
    """The table in which a merge's child hears the final names of what it sent up."""
    return f"final-{'_'.join(str(i) for i in child)}"


def _flat(planes: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate([plane.ravel(order="F") for plane in planes])

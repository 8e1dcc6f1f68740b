"""How the nouns of `abiss_py` are laid out in tables."""

from __future__ import annotations

import numpy as np

from abiss_py import Contacts, Edges, Face, Mapping, Place, Region
from seuron.storage import Storage
from seuron.tables import Table, read_table, write_table

SIDES = ("low", "high")


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
    table = read_table(storage, name)
    return Contacts(table["a"], table["b"], table["sum"], table["count"], table["first_edge"])


def write_names(storage: Storage, mapping: Mapping) -> int:
    """What ids are called after this task: `id` becomes `name`, 0 is background."""
    return write_table(storage, "names", {"id": mapping.keys, "name": mapping.values})


def read_names(storage: Storage) -> Mapping:
    table = read_table(storage, "names")
    return Mapping(table["id"], table["name"])


def write_region(storage: Storage, region: Region) -> int:
    """What the next tier needs: open clusters, edges between them, and the inner faces."""
    stored = write_table(storage, "open-clusters", {"id": region.keys, "voxels": region.voxels})
    edges = region.edges
    stored += write_table(
        storage, "open-edges", {"a": edges.a, "b": edges.b, "weight": edges.weight, "edge": edges.index}
    )
    for (axis, side), face in region.faces.items():
        columns = {"id": face.keys.ravel(), "joined": face.joined.ravel()}
        if face.weights is not None:
            columns["weight"] = face.weights.ravel()
        stored += write_table(storage, face_name(axis, side), columns)
    return stored


def read_region(storage: Storage, place: Place) -> Region:
    clusters, edges = read_table(storage, "open-clusters"), read_table(storage, "open-edges")
    faces = {}
    for axis, side in place.inner_faces:
        table = read_table(storage, face_name(axis, side))
        shape = [n for other, n in enumerate(place.shape) if other != axis]
        weights = table["weight"].reshape(shape) if side == 0 else None
        faces[axis, side] = Face(table["id"].reshape(shape), table["joined"].reshape(shape), weights)
    return Region(
        place=place,
        keys=clusters["id"],
        voxels=clusters["voxels"],
        edges=Edges(edges["a"], edges["b"], edges["weight"], edges["edge"]),
        faces=faces,
    )


def face_name(axis: int, side: int) -> str:
    return f"face-{'xyz'[axis]}-{SIDES[side]}"


def union_of_names(parts: list[Mapping]) -> Mapping:
    """The names of several tasks of one tier together: no id is renamed by two of them."""
    keys = [part.keys for part in parts]
    values = [part.values for part in parts]
    if not parts:
        none = np.zeros(0, np.int64)
        return Mapping(none, none)
    return Mapping.of(np.concatenate(keys), np.concatenate(values))

"""Joining regions of the octree: faces become interior, clusters that touched them close.

A *region* is what is left to decide about a box: the clusters that touch a face behind which the
volume goes on, those that wait for them, the edges between both, and the faces themselves. Clusters
go by their key, 1 + the index of their first voxel in the volume, which is unique across regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.contacts import Contacts
from abiss_py.dtypes import FLOAT_SCALE, AffinityType
from abiss_py.errors import ArgumentError
from abiss_py.kernels import absorption
from abiss_py.place import Place
from abiss_py.relabel import Mapping, roots

if TYPE_CHECKING:
    from abiss_py.watershed import WatershedRules

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Edges:
    """Voxel edges between clusters: keys of both ends, weight, index in the volume."""

    a: Int64s
    b: Int64s
    weight: NDArray[np.uint32]
    index: Int64s

    @classmethod
    def join(cls, parts: Sequence[Edges]) -> Edges:
        names = ("a", "b", "weight", "index")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def take(self, rows: Any) -> Edges:
        return Edges(self.a[rows], self.b[rows], self.weight[rows], self.index[rows])


@dataclass(frozen=True)
class Face:
    """One face of a region, as planes of the two other axes.

    `keys` are the clusters at the face, 0 for background; `joined` says where the voxel there joins
    the one beyond. Edges through a face belong to the region above it, so only a low face has
    `weights`.
    """

    keys: Int64s
    joined: NDArray[np.bool_]
    weights: NDArray[np.uint32] | None


@dataclass(frozen=True)
class Region:
    """What is not decided yet about a box. `keys` are sorted; `voxels` are sizes so far."""

    place: Place
    keys: Int64s
    voxels: Int64s
    edges: Edges
    faces: dict[tuple[int, int], Face]


@dataclass(frozen=True)
class Merge:
    """What joining regions decided.

    `mapping` says what each cluster of the parts is called now (0: it ended as dust). `contacts`
    are those through the faces between the parts, under the new names. `region` goes on upwards.
    """

    region: Region
    mapping: Mapping
    contacts: Contacts


@dataclass(frozen=True)
class _Crossings:
    """All voxel edges between two neighbouring regions, one row each; `a` or `b` may be 0."""

    a: Int64s
    b: Int64s
    joined: NDArray[np.bool_]
    weight: NDArray[np.uint32]
    index: Int64s


def merge_regions(parts: Sequence[Region], rules: WatershedRules, kind: AffinityType) -> Merge:
    """Decide what the parts could not, now that the faces between them are known.

    The parts must fill a box as the cells of a grid. Any grouping of the chunks of a volume, in any
    number of steps, gives the same final clusters.
    """
    place = _hull(parts)
    crossings = _crossings(parts)
    keys = np.concatenate([part.keys for part in parts])
    order = np.argsort(keys)
    keys, voxels = keys[order], np.concatenate([part.voxels for part in parts])[order]
    parent = np.arange(keys.size, dtype=np.uint32)
    _unite(parent, keys, voxels, crossings)

    faces = {face: _paste(parts, place, face) for face in place.inner_faces}
    is_open = np.zeros(keys.size, np.bool_)
    for face in faces.values():
        touching = np.searchsorted(keys, np.unique(face.keys[face.keys > 0]))
        is_open[roots(parent)[touching]] = True

    edges = _in_order(Edges.join([part.edges for part in parts] + [_candidates(crossings, kind.at_most(rules.low))]))
    a, b = _positions(keys, edges.a), _positions(keys, edges.b)
    undecided = np.zeros(a.size, np.bool_)
    absorption.absorb(a, b, rules.size, parent, voxels, is_open, undecided)

    top = roots(parent)
    names = np.where(is_open[top] | (voxels[top] >= rules.dust), keys[top], 0)
    mapping = Mapping(keys, names)
    left = edges.take(undecided)
    waiting = _spanning(Edges(mapping.follow(left.a), mapping.follow(left.b), left.weight, left.index), keys)
    carried = np.flatnonzero((top == np.arange(top.size)) & is_open)
    region = Region(
        place=place,
        keys=keys[carried],
        voxels=voxels[carried],
        edges=waiting,
        faces={at: Face(mapping.follow(face.keys), face.joined, face.weights) for at, face in faces.items()},
    )
    return Merge(region, mapping, _contacts(crossings, mapping, kind))


def _hull(parts: Sequence[Region]) -> Place:
    """The box that the parts fill; raises ArgumentError when they leave gaps."""
    low = np.min([part.place.minimum for part in parts], axis=0)
    high = np.max([part.place.maximum for part in parts], axis=0)
    place = Place(tuple(low.tolist()), tuple(high.tolist()), parts[0].place.whole)
    if sum(int(np.prod(part.place.shape)) for part in parts) != int(np.prod(place.shape)):
        raise ArgumentError(f"the regions to be joined do not fill the box {place.minimum}..{place.maximum}")
    return place


def _crossings(parts: Sequence[Region]) -> _Crossings:
    """The voxel edges through all faces between the parts."""
    rows: list[tuple[NDArray[Any], ...]] = []
    by_corner = {part.place.minimum: part for part in parts}
    for part in parts:
        for axis in range(3):
            corner = list(part.place.minimum)
            corner[axis] = part.place.maximum[axis]
            above = by_corner.get((corner[0], corner[1], corner[2]))
            if above is None:
                continue
            low, high = part.faces[axis, 1], above.faces[axis, 0]
            assert high.weights is not None
            planes = (high.keys, low.keys, high.joined | low.joined, high.weights, above.place.face_edges(axis))
            rows.append(tuple(plane.ravel() for plane in planes))
    if not rows:
        none = np.zeros(0, np.int64)
        return _Crossings(none, none, none.astype(np.bool_), none.astype(np.uint32), none)
    return _Crossings(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def _positions(keys: Int64s, wanted: Int64s) -> NDArray[np.uint32]:
    """Where keys stand in a sorted list that has all of them."""
    return np.searchsorted(keys, wanted).astype(np.uint32)


def _unite(parent: NDArray[np.uint32], keys: Int64s, voxels: Int64s, crossings: _Crossings) -> None:
    """Make one cluster of those that are one basin across a face. Sizes gather at the roots."""
    pairs = np.unique(np.stack([crossings.a[crossings.joined], crossings.b[crossings.joined]]), axis=1)
    absorption.unite(_positions(keys, pairs[0]), _positions(keys, pairs[1]), parent)
    totals = np.zeros_like(voxels)
    np.add.at(totals, roots(parent), voxels)
    voxels[:] = totals


def _candidates(crossings: _Crossings, low: Any) -> Edges:
    """The crossing edges that the size rule may use."""
    rows = ~crossings.joined & (crossings.weight > low) & (crossings.a > 0) & (crossings.b > 0)
    return Edges(crossings.a[rows], crossings.b[rows], crossings.weight[rows], crossings.index[rows])


def _in_order(edges: Edges) -> Edges:
    """Edges in the total order: weight descending, index ascending."""
    return edges.take(np.lexsort((edges.index, -edges.weight.astype(np.int64))))


def _spanning(edges: Edges, keys: Int64s) -> Edges:
    """Of edges in order, those of the maximum spanning forest: no other can ever matter."""
    parent = np.arange(keys.size, dtype=np.uint32)
    return edges.take(absorption.unite(_positions(keys, edges.a), _positions(keys, edges.b), parent))


def _paste(parts: Sequence[Region], place: Place, face: tuple[int, int]) -> Face:
    """The face of a box, put together from those of its parts."""
    axis, side = face
    shape = [n for other, n in enumerate(place.shape) if other != axis]
    keys, joined = np.zeros(shape, np.int64), np.zeros(shape, np.bool_)
    weights = np.zeros(shape, np.uint32) if side == 0 else None
    bound = place.minimum[axis] if side == 0 else place.maximum[axis]
    for part in parts:
        if (part.place.minimum if side == 0 else part.place.maximum)[axis] != bound:
            continue
        at = tuple(
            slice(part.place.minimum[other] - place.minimum[other], part.place.maximum[other] - place.minimum[other])
            for other in range(3)
            if other != axis
        )
        own = part.faces[face]
        keys[at], joined[at] = own.keys, own.joined
        if weights is not None and own.weights is not None:
            weights[at] = own.weights
    return Face(keys, joined, weights)


def _contacts(crossings: _Crossings, mapping: Mapping, kind: AffinityType) -> Contacts:
    """The contacts through the faces between the parts, of clusters that still exist."""
    if kind.dtype == np.uint8:
        total = crossings.weight.astype(np.int64)
    else:
        total = np.rint(crossings.weight.view(np.float32).astype(np.float64) * FLOAT_SCALE).astype(np.int64)
    one = np.ones(total.size, np.int64)
    each = Contacts(crossings.a, crossings.b, total, one, crossings.index)
    return each.renamed(mapping.follow(crossings.a), mapping.follow(crossings.b))

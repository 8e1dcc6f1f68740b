"""Joining regions of the octree: seams become interior, clusters that touched them close.

A *region* is what is left to decide about a box: the clusters that touch a face behind which the
volume goes on, those that wait for them, and the edges between both. Clusters go by their key, 1 + the
index of their first voxel in the volume, which is unique across regions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.dtypes import AffinityType
from abiss_py.errors import ArgumentError
from abiss_py.kernels import absorption
from abiss_py.place import Place
from abiss_py.relabel import Mapping, roots
from abiss_py.seams import Seam

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
class Region:
    """What is not decided yet about a box. `keys` are sorted; `voxels` are sizes so far.

    `faces[axis, side]` tells which clusters are at that face: the name each had in its chunk, by
    which seams know it, and what it is called now.
    """

    place: Place
    keys: Int64s
    voxels: Int64s
    edges: Edges
    faces: dict[tuple[int, int], Mapping]


@dataclass(frozen=True)
class Merge:
    """What joining regions decided.

    `mapping` says what each cluster of the parts is called now (0: it ended as dust). `region` goes
    on upwards.
    """

    region: Region
    mapping: Mapping


def merge_regions(parts: Sequence[Region], seams: Iterable[Seam], rules: WatershedRules, kind: AffinityType) -> Merge:
    """Decide what the parts could not, now that the seams between them are known.

    The parts must fill a box as the cells of a grid, and `seams` must be all between them, by the
    names that clusters had in their chunks. Any grouping of the chunks of a volume, in any number of
    steps, gives the same final clusters.
    """
    place = hull([part.place for part in parts])
    keys = np.concatenate([part.keys for part in parts])
    order = np.argsort(keys)
    keys, voxels = keys[order], np.concatenate([part.voxels for part in parts])[order]
    now = Mapping.union([face for part in parts for face in part.faces.values()])
    large = voxels >= rules.size
    seam = Seam.join([_that_matter(rows, now, keys, large, kind.at_most(rules.low)) for rows in seams])

    parent = np.arange(keys.size, dtype=np.uint32)
    _unite(parent, keys, voxels, seam)
    touching = {
        face: Mapping.union([part.faces[face] for part in parts if part.place.reaches(place, face)])
        for face in place.inner_faces
    }
    is_open = np.zeros(keys.size, np.bool_)
    for face in touching.values():
        is_open[roots(parent)[np.searchsorted(keys, face.values)]] = True

    across = seam.take(~seam.joined)
    edges = _in_order(
        Edges.join([*(part.edges for part in parts), Edges(across.a, across.b, across.weight, across.index)])
    )
    a, b = _positions(keys, edges.a), _positions(keys, edges.b)
    undecided = np.zeros(a.size, np.bool_)
    absorption.absorb(a, b, rules.size, parent, voxels, is_open, undecided)

    top = roots(parent)
    names = np.where(is_open[top] | (voxels[top] >= rules.dust), keys[top], 0)
    mapping = Mapping(keys, names)
    left = edges.take(undecided)
    carried = np.flatnonzero((top == np.arange(top.size)) & is_open)
    region = Region(
        place=place,
        keys=keys[carried],
        voxels=voxels[carried],
        edges=_spanning(Edges(mapping.follow(left.a), mapping.follow(left.b), left.weight, left.index), keys),
        faces={at: Mapping(face.keys, mapping.follow(face.values)) for at, face in touching.items()},
    )
    return Merge(region, mapping)


def hull(places: Sequence[Place]) -> Place:
    """The box that places fill; raises ArgumentError when they leave gaps."""
    low = np.min([place.minimum for place in places], axis=0)
    high = np.max([place.maximum for place in places], axis=0)
    box = replace(places[0], minimum=tuple(low.tolist()), maximum=tuple(high.tolist()))
    if sum(int(np.prod(place.shape)) for place in places) != int(np.prod(box.shape)):
        raise ArgumentError(f"the regions to be joined do not fill the box {box.minimum}..{box.maximum}")
    return box


def _that_matter(seam: Seam, now: Mapping, keys: Int64s, large: NDArray[np.bool_], low: Any) -> Seam:
    """The rows of a seam under today's names, without those that are certain to be refused."""
    a, b = now.follow(seam.a), now.follow(seam.b)
    refused = large[_positions(keys, a)] & large[_positions(keys, b)]
    renamed = Seam(a, b, seam.joined, seam.weight, seam.index, seam.total, seam.count, seam.first)
    return renamed.take(seam.joined | (~refused & (seam.weight > low)))


def _positions(keys: Int64s, wanted: Int64s) -> NDArray[np.uint32]:
    """Where keys stand in a sorted list that has all of them."""
    return np.searchsorted(keys, wanted).astype(np.uint32)


def _unite(parent: NDArray[np.uint32], keys: Int64s, voxels: Int64s, seam: Seam) -> None:
    """Make one cluster of those that are one basin across a seam. Sizes gather at the roots."""
    joined = seam.take(seam.joined)
    absorption.unite(_positions(keys, joined.a), _positions(keys, joined.b), parent)
    totals = np.zeros_like(voxels)
    np.add.at(totals, roots(parent), voxels)
    voxels[:] = totals


def _in_order(edges: Edges) -> Edges:
    """Edges in the total order: weight descending, index ascending."""
    return edges.take(np.lexsort((edges.index, -edges.weight.astype(np.int64))))


def _spanning(edges: Edges, keys: Int64s) -> Edges:
    """Of edges in order, those of the maximum spanning forest: no other can ever matter."""
    parent = np.arange(keys.size, dtype=np.uint32)
    return edges.take(absorption.unite(_positions(keys, edges.a), _positions(keys, edges.b), parent))

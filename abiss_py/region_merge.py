"""Joining regions of the octree: seams become interior, clusters that touched them close.

A *region* is what is left to decide about a box: the clusters that touch a face behind which the
volume goes on, those that wait for them, and the edges between both. Clusters go by their key, 1 + the
index of their first voxel in the volume, which is unique across regions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.dtypes import AffinityType
from abiss_py.errors import ArgumentError
from abiss_py.kernels import absorption
from abiss_py.place import Place
from abiss_py.relabel import Mapping, Positions, roots
from abiss_py.rows import LARGEST, order, taken
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
        """All rows of several tables, as they are."""
        kinds = {"a": np.int64, "b": np.int64, "weight": np.uint32, "index": np.int64}
        return cls(**{name: _joined([getattr(part, name) for part in parts], kind) for name, kind in kinds.items()})

    def take(self, rows: Any) -> Edges:
        return Edges(*taken((self.a, self.b, self.weight, self.index), rows))


@dataclass(frozen=True)
class GhostClusters:
    """Clusters of which other regions have copies (`views.py`).

    A row for each: what it was called when it was copied (`origin`) and in which splitting of a region
    that was (`split`; together they are unique), what it is called now, the voxels that it had and that no
    other row has, as bits into how many views it was copied (`views`), and from which of these copies
    have met in this region (`met`).
    """

    origin: Int64s
    split: Int64s
    name: Int64s
    voxels: Int64s
    views: NDArray[np.uint8]
    met: NDArray[np.uint8]

    @classmethod
    def join(cls, parts: Sequence[GhostClusters]) -> GhostClusters:
        """All rows of several tables, as they are."""
        kinds = dict.fromkeys(("origin", "split", "name", "voxels"), np.int64) | dict.fromkeys(
            ("views", "met"), np.uint8
        )
        return cls(**{name: _joined([getattr(part, name) for part in parts], kind) for name, kind in kinds.items()})

    @property
    def missing(self) -> NDArray[np.uint8]:
        """The views whose copies other regions have still."""
        return self.views & ~self.met

    def take(self, rows: Any) -> GhostClusters:
        return GhostClusters(*taken((getattr(self, field.name) for field in fields(self)), rows))


@dataclass(frozen=True)
class Region:
    """What is not decided yet about a box. `keys` are sorted; `voxels` are sizes so far, but for what `pins` count.

    `faces[axis, side]` tells which clusters are at that face: the name each had in its chunk, by
    which seams know it, and what it is called now. `pins` are clusters that other regions have as well.
    """

    place: Place
    keys: Int64s
    voxels: Int64s
    edges: Edges
    faces: dict[tuple[int, int], Mapping]
    pins: GhostClusters = field(default_factory=lambda: GhostClusters.join([]))


@dataclass(frozen=True)
class Merge:
    """What joining regions decided.

    `mapping` says what each cluster of the parts is called now (0: it ended as dust). `region` goes
    on upwards.
    """

    region: Region
    mapping: Mapping


def merge_regions(
    parts: Sequence[Region],
    seams: Iterable[Seam],
    rules: WatershedRules,
    kind: AffinityType,
    place: Place | None = None,
) -> Merge:
    """Decide what the parts could not, now that the seams between them are known.

    The parts must fill a box as the cells of a grid, or have the box that they fill given as `place`;
    `seams` must be all between them that are not closed yet, by the names that clusters had in their
    chunks. Any grouping of the chunks of a volume, in any number of steps, gives the same final clusters.
    """
    place = place or hull([part.place for part in parts])
    keys, at = np.unique(_joined([part.keys for part in parts], np.int64), return_inverse=True)
    positions = Positions(keys)
    voxels = np.zeros(keys.size, np.int64)
    np.add.at(voxels, at, _joined([part.voxels for part in parts], np.int64))
    parent = np.arange(keys.size, dtype=np.uint32)
    pins = _gather_copies(parent, positions, voxels, GhostClusters.join([part.pins for part in parts]))
    pinned = positions(pins.name)

    now = Mapping.union([face for part in parts for face in part.faces.values()])
    large = voxels[roots(parent)] >= rules.size
    seam = Seam.join([_that_matter(rows, now, positions, large, kind.at_most(rules.low)) for rows in seams])
    _unite(parent, voxels, positions(seam.a[seam.joined]), positions(seam.b[seam.joined]))

    touching = {
        face: Mapping.union(
            [part.faces[face] for part in parts if face in part.faces and part.place.reaches(place, face)]
        )
        for face in place.inner_faces
    }
    is_open = np.zeros(keys.size, np.bool_)
    top = roots(parent)
    is_open[top[pinned[pins.missing > 0]]] = True
    for face in touching.values():
        is_open[top[positions(face.values)]] = True

    across = Edges(seam.a, seam.b, seam.weight, seam.index).take(~seam.joined)
    edges = _in_order(Edges.join([*(part.edges for part in parts), across]))
    a, b = positions(edges.a), positions(edges.b)
    undecided = np.zeros(a.size, np.bool_)
    absorption.absorb(a, b, rules.size, parent, voxels, is_open, undecided)

    top = roots(parent)
    names = np.where(is_open[top] | (voxels[top] >= rules.dust), keys[top], 0)
    mapping = Mapping(keys, names)
    left = edges.take(undecided)
    carried = np.flatnonzero((top == np.arange(top.size)) & is_open)
    kept = _still_needed(pins, top[pinned])
    np.subtract.at(voxels, top[pinned[kept]], pins.voxels[kept])
    renamed = Edges(mapping.follow(left.a), mapping.follow(left.b), left.weight, left.index)
    region = Region(
        place=place,
        keys=keys[carried],
        voxels=voxels[carried],
        edges=_spanning(renamed, positions, keys.size),
        faces={at: Mapping(face.keys, mapping.follow(face.values)) for at, face in touching.items()},
        pins=replace(pins, name=mapping.follow(pins.name)).take(kept),
    )
    return Merge(region, mapping)


def _joined(columns: Sequence[NDArray[Any]], kind: Any) -> NDArray[Any]:
    """One after the other; of no columns an empty one."""
    return np.concatenate([np.zeros(0, kind), *columns])


def _gather_copies(
    parent: NDArray[np.uint32], positions: Positions, voxels: Int64s, pins: GhostClusters
) -> GhostClusters:
    """Make one cluster of the copies of each, and add the voxels that they share; returns a row for each."""
    if pins.origin.size == 0:
        return pins
    pins = pins.take(np.lexsort((pins.split, pins.origin)))
    starts = np.flatnonzero((np.diff(pins.origin, prepend=-1) != 0) | (np.diff(pins.split, prepend=-1) != 0))
    first = positions(pins.name[starts])
    again = np.repeat(first, np.diff(starts, append=pins.origin.size))
    _unite(parent, voxels, positions(pins.name), again)
    gathered = replace(pins.take(starts), met=np.bitwise_or.reduceat(pins.met, starts))
    np.add.at(voxels, roots(parent)[first], gathered.voxels)
    return gathered


def _still_needed(pins: GhostClusters, clusters: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which rows go on upwards: those with copies elsewhere, and those that went with a later copy elsewhere."""
    missing = pins.missing > 0
    copied_again = clusters[missing & (pins.split > 0)]
    return missing | np.isin(clusters, copied_again)


def hull(places: Sequence[Place]) -> Place:
    """The box that places fill; raises ArgumentError when they leave gaps."""
    low = np.min([place.minimum for place in places], axis=0)
    high = np.max([place.maximum for place in places], axis=0)
    box = replace(places[0], minimum=tuple(low.tolist()), maximum=tuple(high.tolist()))
    if sum(int(np.prod(place.shape)) for place in places) != int(np.prod(box.shape)):
        raise ArgumentError(f"the regions to be joined do not fill the box {box.minimum}..{box.maximum}")
    return box


def _that_matter(seam: Seam, now: Mapping, positions: Positions, large: NDArray[np.bool_], low: Any) -> Seam:
    """The rows of a seam under today's names, without those that are certain to be refused."""
    a, b = now.follow(np.stack([seam.a, seam.b]))
    refused = large[positions(a)] & large[positions(b)]
    renamed = Seam(a, b, seam.joined, seam.weight, seam.index, seam.total, seam.count, seam.first)
    return renamed.take(seam.joined | (~refused & (seam.weight > low)))


def _unite(parent: NDArray[np.uint32], voxels: Int64s, a: NDArray[np.uint32], b: NDArray[np.uint32]) -> None:
    """Make one cluster of each two. Sizes, which are kept at roots, gather at the new ones."""
    before = np.flatnonzero(parent == np.arange(parent.size))
    absorption.unite(a, b, parent)
    after = roots(parent)[before]
    sizes = voxels[before]
    voxels[before] = 0
    np.add.at(voxels, after, sizes)


def _in_order(edges: Edges) -> Edges:
    """Edges in the total order: weight descending, index ascending."""
    return edges.take(order(LARGEST - edges.weight, edges.index))


def _spanning(edges: Edges, positions: Positions, clusters: int) -> Edges:
    """Of edges in order, those of the maximum spanning forest: no other can ever matter."""
    parent = np.arange(clusters, dtype=np.uint32)
    return edges.take(absorption.unite(positions(edges.a), positions(edges.b), parent))

"""Closing seams one by one: each needs only what lies at it, not all that a box has left undecided.

A region is split into *views*: one for each of its faces, with the clusters there and those that wait
for them, and one for the rest. Two views that meet in a seam are merged as two regions are. Nearly
every cluster is in one view only, so all is known about it when that view's seam is closed. A cluster
at two faces is copied into both views and stays open (*pinned*) until its copies have met again.
What is left of the seams is therefore what lies at the edges of boxes, and not at their faces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from abiss_py.dtypes import AffinityType
from abiss_py.kernels import absorption
from abiss_py.place import Place
from abiss_py.relabel import Mapping, roots
from abiss_py.seams import Seam
from abiss_py.stitching import Merge, Pins, Region, merge_regions
from abiss_py.watershed import WatershedRules

#: A face of a box: its axis, and 0 for the low one, 1 for the high one.
Side = tuple[int, int]


def split_views(region: Region) -> dict[Side | None, Region]:
    """A region as its views: the clusters at each face, and the rest under None.

    Every edge is in exactly one view. A cluster is in the views of all its faces and of all its
    edges; what waits for clusters of one face only is seen with them.
    """
    sides: list[Side | None] = [*region.faces, None]
    a, b = (np.searchsorted(region.keys, ends).astype(np.uint32) for ends in (region.edges.a, region.edges.b))
    at_faces = np.zeros(region.keys.size, np.uint8)
    for number, face in enumerate(region.faces.values()):
        at_faces[np.searchsorted(region.keys, face.values)] |= np.uint8(1 << number)
    home = _homes(at_faces, a, b, rest=1 << len(region.faces))

    view = np.where(home[b] == 0, home[a], np.where(home[a] == 0, home[b], home[a] & home[b]))
    view[view == 0] = 1 << len(region.faces)
    seen = at_faces | home
    for ends in (a, b):
        np.bitwise_or.at(seen, ends, view)
    copies = np.bitwise_count(seen).astype(np.int64)
    bits = {side: np.uint8(1 << number) for number, side in enumerate(sides)}
    return {side: _view(region, side, seen & bit > 0, view == bit, copies) for side, bit in bits.items()}


@dataclass(frozen=True)
class Closed:
    """What closing seams decided: `region` goes on upwards.

    `pairs[i]` says what the clusters of the i-th pair of views are called after it, and `after` what
    is called otherwise in the end.
    """

    region: Region
    pairs: list[Mapping]
    after: Mapping

    def names(self, pairs: Iterable[int]) -> Mapping:
        """The names of all that these pairs saw, and of all that went on from any pair or was in none."""
        seen = Mapping.union([self.pairs[i] for i in pairs])
        return Mapping.union([Mapping(seen.keys, self.after.follow(seen.values)), self.after])


def close_seams(
    pairs: Iterable[tuple[Region, Region, Seam]],
    rest: Iterable[Region],
    place: Place,
    rules: WatershedRules,
    kind: AffinityType,
    over: Callable[..., Iterable[Merge]] = map,
) -> Closed:
    """Merge what lies in a box, seam by seam: the views on both sides of each, then what is left with the `rest`.

    `rest` are the views that are in no pair, those at faces of the box among them; it is read after the
    pairs. Only one pair is held at a time, unless `over` (the `map` of a pool of threads) takes several.
    """
    merges = over(lambda pair: merge_regions(pair[:2], [pair[2]], rules, kind), pairs)
    closed = [(merge.region, _renamed(merge.mapping)) for merge in merges]
    merge = merge_regions([*(region for region, _ in closed), *rest], [], rules, kind, place)
    return Closed(merge.region, [names for _, names in closed], _renamed(merge.mapping))


def _renamed(mapping: Mapping) -> Mapping:
    """Only what has another name than before."""
    changed = mapping.keys != mapping.values
    return Mapping(mapping.keys[changed], mapping.values[changed])


def _homes(at_faces: NDArray[np.uint8], a: NDArray[np.uint32], b: NDArray[np.uint32], rest: int) -> NDArray[np.uint8]:
    """The view that each cluster belongs to, as a bit; 0 for those at several faces."""
    home = np.where(np.bitwise_count(at_faces) == 1, at_faces, 0).astype(np.uint8)
    waits = at_faces == 0
    parent = np.arange(at_faces.size, dtype=np.uint32)
    inside = waits[a] & waits[b]
    absorption.unite(a[inside], b[inside], parent)
    chain = roots(parent)
    waited_for = np.zeros(at_faces.size, np.uint8)
    for one, other in ((a, b), (b, a)):
        np.bitwise_or.at(waited_for, chain[one], np.where(waits[one], home[other], 0).astype(np.uint8))
    single = np.bitwise_count(waited_for) == 1
    return np.where(waits, np.where(single, waited_for, rest)[chain], home).astype(np.uint8)


def _view(
    region: Region, side: Side | None, members: NDArray[np.bool_], edges: NDArray[np.bool_], copies: NDArray[np.int64]
) -> Region:
    keys, voxels, total = region.keys[members], region.voxels[members], copies[members]
    pinned = total > 1
    ones = np.ones(np.count_nonzero(pinned), np.int64)
    return Region(
        place=region.place,
        keys=keys,
        voxels=voxels,
        edges=region.edges.take(edges),
        faces={} if side is None else {side: region.faces[side]},
        pins=Pins(keys[pinned], keys[pinned], voxels[pinned], ones, total[pinned]),
    )

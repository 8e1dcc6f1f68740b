"""Closing seams one by one: each needs only what lies at it, not all that a box has left undecided.

A region is split into *views*: one for each of its faces, with the clusters there and those that wait
for them. Two views that meet in a seam are merged as two regions are. Nearly every cluster is in one view
only, so all is known about it when that view's seam is closed. A cluster at two faces is copied into
both views and stays open (*pinned*) until its copies have met again. What is left of the seams is therefore
what lies at the edges of boxes, and not at their faces.

What seams leave can be split again, into *shares*: by the line, between four boxes, around which the other copies
of it are. Behind the lines, what is left lies at the corners of boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from abiss_py.dtypes import AffinityType
from abiss_py.kernels import face_views as kernels
from abiss_py.place import Place
from abiss_py.region_merge import GhostClusters, Merge, Region, merge_regions
from abiss_py.relabel import Mapping, Positions
from abiss_py.seams import Seam
from abiss_py.watershed import WatershedRules

#: A face of a box: its axis, and 0 for the low one, 1 for the high one.
Side = tuple[int, int]
#: The bit of the view at a face in `GhostClusters.views`.
BITS: dict[Side, int] = {(axis, side): 1 << (2 * axis + side) for axis in range(3) for side in (0, 1)}


def split_views(region: Region) -> dict[Side, Region]:
    """A region that has no pins as its views: the clusters at each face, and those that wait for them.

    Every edge is in exactly one view; a cluster is in the views of all its faces and of all its edges.
    """
    positions, at = Positions(region.keys), np.zeros(region.keys.size, np.uint8)
    for side, face in region.faces.items():
        at[positions(face.values)] |= BITS[side]
    parts = _split(region, positions, at, [BITS[side] for side in region.faces], split=0)
    return {
        side: replace(part, faces={side: face}) for (side, face), part in zip(region.faces.items(), parts, strict=True)
    }


def split_shares(region: Region) -> list[Region]:
    """What is open behind the three seams at a leaf's low faces, by where the other copies of it are.

    The share at 0 is for those who join it with the seams of the leaves below, the one at 1 + axis for those
    of the leaf above along that axis: these join it with what its other neighbours have. What a cluster
    of the leaf below along x has elsewhere lies at that leaf's own low faces, or at a high face along y or z,
    with the seams of the leaf behind that one: each is known from the view's bit.
    """
    place, missing = region.place, region.pins.missing
    shares = np.zeros(missing.size, np.uint8)
    for (axis, side), bit in BITS.items():
        shares[missing & bit > 0] |= 2 << axis if side == 1 else 1
    positions, at = Positions(region.keys), np.zeros(region.keys.size, np.uint8)
    np.bitwise_or.at(at, positions(region.pins.name), shares)
    return _split(region, positions, at, [1, 2, 4, 8], split=1 + int(place.voxel_index(np.zeros(1, np.int64))[0]))


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


def _split(region: Region, positions: Positions, at: NDArray[np.uint8], bits: list[int], split: int) -> list[Region]:
    """The parts of a region, a bit for each; `at` says in which of them each cluster has to be.

    What has to be nowhere waits for others, and goes where these are. Where an edge leads from one part to
    another, one of its ends is in both.
    """
    a, b = positions(region.edges.a), positions(region.edges.b)
    is_open, found = at > 0, at.copy()
    kernels.follow_open(a, b, is_open, found)
    found = np.where(is_open, found, _lowest(found))
    together = found[a] & found[b]
    # An open cluster stays where it has to be, and what waits for it comes there.
    part = _lowest(np.where(together > 0, together, np.where(is_open[a], found[a], found[b])))
    members = found.copy()
    for ends in (a, b):
        np.bitwise_or.at(members, ends, part)
    pinned = positions(region.pins.name)
    return [_part(region, bit, members, pinned, part == bit, split) for bit in bits]


def _lowest(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    lowest: NDArray[np.uint8] = bits & (~bits + np.uint8(1))
    return lowest


def _part(
    region: Region,
    bit: int,
    members: NDArray[np.uint8],
    pinned: NDArray[np.uint32],
    edges: NDArray[np.bool_],
    split: int,
) -> Region:
    """What a part has of a region. The voxels of a cluster with copies are told in its pins only."""
    here = members & bit > 0
    keys, views = region.keys[here], members[here]
    copied = np.bitwise_count(views) > 1
    origin, voxels = keys[copied], region.voxels[here]
    new = GhostClusters(
        origin=origin,
        split=np.full(origin.size, split, np.int64),
        name=origin,
        voxels=voxels[copied],
        views=views[copied],
        met=np.full(origin.size, bit, np.uint8),
    )
    before = region.pins.take(here[pinned])
    return Region(
        place=region.place,
        keys=keys,
        voxels=np.where(copied, 0, voxels),
        edges=region.edges.take(edges),
        faces={},
        pins=GhostClusters.join([before, new]),
    )

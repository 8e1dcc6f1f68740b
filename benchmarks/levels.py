"""What goes up the octree, level by level: `benchmarks/levels.py --blocks FOLDER [--shape 1024 1024 512] [--chunk 64]`.

FOLDER holds the blocks of affinities that `growth.py` makes. The volume put together from them is cut
into chunks, and eight boxes are joined at a time, first the watershed's, then the agglomeration's. For
each level a row is printed: how many clusters and contacts there were, how many had to go on upwards,
and how many that is for each voxel of the boxes' inner faces. *Behind the seams* are the clusters that are
still open when the seams between the boxes of a level are closed one by one, as the watershed does it
between its leaves, and how many that is for each voxel of the outlines of the boxes' inner faces; *behind the lines*
those that are still open when what is around the lines where seams meet is closed as well, and how many that is
for each box that has neighbours on all sides, or on average where there is none.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from growth import assembled
from kernels import RULES, THRESHOLD
from numpy.typing import NDArray

import abiss_py
from abiss_py import Clusters, Contacts, Faces, Mapping, Place, Region, Seam

Triple = tuple[int, int, int]
#: The size rule of the volumes that have smaller basins.
SIZE = 50


@dataclass
class Level:
    """One level's row of the table."""

    side: int
    boxes: int
    face_voxels: int
    clusters: int
    clusters_up: int
    line_voxels: int
    behind: int
    behind_lines: int
    each: float
    contacts: int = 0
    contacts_up: int = 0

    def row(self) -> str:
        faces = max(1, self.face_voxels)
        cells = [
            f"{self.side}^3",
            str(self.boxes),
            str(self.clusters),
            f"{self.clusters_up} ({self.clusters_up / max(1, self.clusters):.1%})",
            f"{self.clusters_up / faces:.4f}",
            str(self.behind),
            f"{self.behind / max(1, self.line_voxels):.2f}",
            str(self.behind_lines),
            f"{self.each:.0f}",
            str(self.contacts),
            f"{self.contacts_up} ({self.contacts_up / max(1, self.contacts):.1%})",
            f"{self.contacts_up / faces:.4f}",
        ]
        return f"| {' | '.join(cells)} |"


HEAD = (
    "| box | boxes | clusters | clusters going up | for each face voxel | behind the seams | for each line voxel "
    "| behind the lines | for each box | contacts | contacts going up | for each face voxel |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass
class Chunk:
    """What is kept of a chunk: planes, keys, and contacts between keys."""

    faces: Faces
    keys: NDArray[np.int64]
    contacts: Contacts


def inner_face_voxels(place: Place) -> int:
    return sum(int(np.prod(place.shape)) // place.shape[axis] for axis, _ in place.inner_faces)


def grouped(places: dict[Triple, Place]) -> dict[Triple, list[Triple]]:
    groups: dict[Triple, list[Triple]] = {}
    for x, y, z in places:
        groups.setdefault((x // 2, y // 2, z // 2), []).append((x, y, z))
    return groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=Path, required=True)
    parser.add_argument("--shape", type=int, nargs=3, default=(1024, 1024, 512))
    parser.add_argument("--chunk", type=int, default=64)
    given = parser.parse_args()
    shape = (given.shape[0], given.shape[1], given.shape[2])
    affinities = assembled(given.blocks, shape)
    rules = abiss_py.WatershedRules(size=SIZE, **RULES)
    kind = abiss_py.affinity_type(np.uint8)

    side, basins = given.chunk, 0
    chunks: dict[Triple, Chunk] = {}
    regions: dict[Triple, Region] = {}
    clusters = 0
    for at in product(*(range(-(-n // side)) for n in shape)):
        low = (at[0] * side, at[1] * side, at[2] * side)
        high = tuple(min(a + side, n) for a, n in zip(low, shape, strict=True))
        place = Place(low, (high[0], high[1], high[2]), shape)
        cut = tuple(slice(a, a + n) for a, n in zip(low, place.padded, strict=True))
        found = abiss_py.watershed_chunk(affinities[cut], rules, place)
        keys = found.keys
        contacts = found.contacts.renamed(keys[found.contacts.a], keys[found.contacts.b])
        chunks[at[0], at[1], at[2]] = Chunk(found.faces, keys, contacts)
        regions[at[0], at[1], at[2]] = found.region
        clusters += keys.size - 1
        basins += found.basins
    del affinities
    seams = {(at, axis): seam for at, axis, seam in seams_of(chunks, kind)}
    levels = [
        watershed_level(side, regions, clusters, what_is_behind(regions, seams, {at: at for at in chunks}, rules))
    ]

    names, pending = [], dict(seams)
    boxes = {at: at for at in chunks}  # the box of the present level that each chunk is in
    while len(regions) > 1:
        clusters = sum(region.keys.size for region in regions.values())
        groups = grouped({at: region.place for at, region in regions.items()})
        boxes = {chunk: halved(box) for chunk, box in boxes.items()}
        inside = closed(pending, boxes)
        merges = {}
        for at, members in groups.items():
            own = [seams[key] for key in inside.get(at, [])]
            merges[at] = abiss_py.merge_regions([regions[member] for member in members], own, rules, kind)
        regions = {at: merge.region for at, merge in merges.items()}
        names.append(Mapping.union([merge.mapping for merge in merges.values()]))
        side *= 2
        levels.append(watershed_level(side, regions, clusters, what_is_behind(regions, pending, boxes, rules)))
    print(f"{shape[0]}x{shape[1]}x{shape[2]} voxels, {basins} basins")
    agglomeration_levels(chunks, seams, names, levels)
    print(HEAD)
    for level in levels:
        print(level.row())


def seams_of(chunks: dict[Triple, Chunk], kind: abiss_py.AffinityType) -> list[tuple[Triple, int, Seam]]:
    return list(abiss_py.seams_of_grid({at: chunk.faces for at, chunk in chunks.items()}, kind))


def halved(box: Triple) -> Triple:
    return (box[0] // 2, box[1] // 2, box[2] // 2)


def closed(
    pending: dict[tuple[Triple, int], Seam], boxes: dict[Triple, Triple]
) -> dict[Triple, list[tuple[Triple, int]]]:
    """The seams that now lie inside a box, by box; takes them out of `pending`."""
    inside: dict[Triple, list[tuple[Triple, int]]] = {}
    for (x, y, z), axis in list(pending):
        below = (x - (axis == 0), y - (axis == 1), z - (axis == 2))
        if boxes[below] == boxes[x, y, z]:
            inside.setdefault(boxes[below], []).append(((x, y, z), axis))
            del pending[(x, y, z), axis]
    return inside


@dataclass(frozen=True)
class Behind:
    """How many clusters are open, copies counted once each: behind seams, behind lines, and there for each box."""

    seams: int
    lines: int
    each: float


def what_is_behind(
    regions: dict[Triple, Region],
    pending: dict[tuple[Triple, int], Seam],
    boxes: dict[Triple, Triple],
    rules: abiss_py.WatershedRules,
) -> Behind:
    """What is open when each seam between boxes was closed on its own, and then what is around each box's low lines."""
    views = {at: abiss_py.split_views(region) for at, region in regions.items()}
    between: dict[tuple[Triple, int], list[Seam]] = {}
    for (chunk, axis), seam in pending.items():
        between.setdefault((boxes[chunk], axis), []).append(seam)
    kind = abiss_py.affinity_type(np.uint8)
    closed: dict[Triple, list[Region]] = {at: [] for at in regions}
    for (at, axis), seams in between.items():
        pair = [views[beside(at, axis, -1)].pop((axis, 1)), views[at].pop((axis, 0))]
        closed[at].append(abiss_py.merge_regions(pair, [Seam.join(seams)], rules, kind).region)
    joined = {at: abiss_py.merge_regions(parts, [], rules, kind, regions[at].place) for at, parts in closed.items()}
    shares = {at: abiss_py.split_shares(merge.region) for at, merge in joined.items()}
    open_: dict[Triple, int] = {}
    for at, region in regions.items():
        below = ((axis, beside(at, axis, -1)) for axis in range(3))
        met = [shares[at][0], *(shares[other][1 + axis] for axis, other in below if other in shares)]
        open_[at] = abiss_py.merge_regions(met, [], rules, kind, region.place).region.keys.size
    inner = [count for at, count in open_.items() if all(beside(at, a, s) in open_ for a in range(3) for s in (-1, 1))]
    counts = inner or list(open_.values())
    return Behind(
        seams=sum(merge.region.keys.size for merge in joined.values()),
        lines=sum(open_.values()),
        each=sum(counts) / len(counts),
    )


def beside(at: Triple, axis: int, step: int) -> Triple:
    x, y, z = (i + step * (axis == other) for other, i in enumerate(at))
    return x, y, z


def inner_line_voxels(place: Place) -> int:
    """The outlines of a box's inner faces, as `seuron.pipelines.segmentation.plan.seam_lines` counts them."""
    return sum(2 * (sum(place.shape) - place.shape[axis]) for axis, _ in place.inner_faces)


def watershed_level(side: int, regions: dict[Triple, Region], clusters: int, behind: Behind) -> Level:
    return Level(
        side=side,
        boxes=len(regions),
        face_voxels=sum(inner_face_voxels(region.place) for region in regions.values()),
        clusters=clusters,
        clusters_up=sum(region.keys.size for region in regions.values()),
        line_voxels=sum(inner_line_voxels(region.place) for region in regions.values()),
        behind=behind.seams,
        behind_lines=behind.lines,
        each=behind.each,
    )


def agglomeration_levels(
    chunks: dict[Triple, Chunk], seams: dict[tuple[Triple, int], Seam], names: list[Mapping], levels: list[Level]
) -> None:
    """Fill in the contacts of each level."""

    def final(ids: NDArray[np.int64]) -> NDArray[np.int64]:
        for mapping in names:
            ids = mapping.follow(ids)
        return ids

    tables, faces = {}, {}
    for at, chunk in chunks.items():
        tables[at] = chunk.contacts.renamed(final(chunk.contacts.a), final(chunk.contacts.b))
        planes = chunk.faces.planes
        faces[at] = {side: np.unique(final(np.unique(plane.keys[plane.keys > 0]))) for side, plane in planes.items()}
    places = {at: chunk.faces.place for at, chunk in chunks.items()}
    boxes, pending = {at: at for at in chunks}, dict(seams)
    for level in levels:
        level.contacts = sum(map(len, tables.values()))
        left = {}
        for at, table in tables.items():
            open_ids = np.unique(np.concatenate([np.zeros(0, np.int64), *faces[at].values()]))
            decided = abiss_py.agglomerate(table, Clusters.empty(), open_ids, THRESHOLD, 255)
            left[at] = decided.contacts
        level.contacts_up = sum(map(len, left.values()))
        groups = grouped(places)
        boxes = {chunk: halved(box) for chunk, box in boxes.items()}
        inside = closed(pending, boxes)
        places_up = {at: abiss_py.hull([places[member] for member in members]) for at, members in groups.items()}
        tables, faces_up = {}, {}
        for at, members in groups.items():
            across = Contacts.join([seams[key].contacts for key in inside.get(at, [])])
            joined = Contacts.join([across.renamed(final(across.a), final(across.b)), *(left[m] for m in members)])
            tables[at] = joined.renamed(joined.a, joined.b)
            faces_up[at] = {
                side: np.unique(
                    np.concatenate([faces[m][side] for m in members if places[m].reaches(places_up[at], side)])
                )
                for side in places_up[at].inner_faces
            }
        faces, places = faces_up, places_up


if __name__ == "__main__":
    main()

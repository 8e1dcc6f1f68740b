"""Stage `watershed`: affinities become clusters of voxels, all but their final ids.

A leaf reads the affinities of its chunks, once, and leaves for each chunk (chunk indices are those
of the run's grid):

    labels-X_Y_Z      the chunk's clusters, numbered from 1: a value per voxel, x fastest
    clusters-X_Y_Z    id and voxels of each number, its bounding box in the chunk (the maximum is outside), and
                      its voxels of each semantic class, where the run has any; row 0 is background
    contacts-X_Y_Z    contacts of numbers inside the chunk, and the weight of the strongest edge of each
    seams-X_Y_Z       contacts through the chunk's low faces, as far as these lie inside the leaf
    plane-*, face-*   the voxels, and the clusters, at the leaf's inner faces
    names-X_Y_Z       what the chunk's clusters are called after the leaf, where that is another name
    open-*            what it could not decide, by the face at which that lies (`table_schemas.write_views`)

A task of the next tier closes the seams at a leaf's low faces, one at a time. It leaves:

    seam-*            the seams, for the agglomeration (`seams.py`)
    names-own, -x...  what the clusters are called that the leaf left open, and those of the leaves below
    open-*            what is open still: what lies at the edges of leaves, more than at their faces

In volumes of many leaves there is a tier more, which joins what is open around the lines where seams meet; the
seam tasks then leave `open-*` as shares, one for each who takes part in that (`split_shares`):

    names-own, -x...  what the clusters are called that the task below left open, and those of its neighbours
    open-*            what is open still: what lies around the corners of leaves

Merges join what these left, and leave `names` and `open-*` likewise; the root leaves, for each of its children,
`final-X_Y_Z`: what became of that which it sent up. A cluster's supervoxel id is found from there:
`remap.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py import (
    AffinityError,
    AffinityType,
    ArgumentError,
    ChunkWatershed,
    Faces,
    Mapping,
    Region,
    Seam,
    WatershedRules,
    affinity_type,
    close_seams,
    count_classes,
    merge_regions,
    split_shares,
    split_views,
    watershed_chunk,
)
from seuron.box import Box, Triple, triple
from seuron.engine.inputs import filled_blocks, inputs_digest, tables_read
from seuron.engine.pipeline import Counts, Inputs
from seuron.engine.plan import Task
from seuron.errors import DataError
from seuron.pipelines.segmentation.affinity_input import read_affinities, stored_at, voxels_read
from seuron.pipelines.segmentation.chunks import chunk_name, chunks_of, place_of
from seuron.pipelines.segmentation.facts import SegmentationRun, affinity_dtype
from seuron.pipelines.segmentation.layers import affinity_mip
from seuron.pipelines.segmentation.octree import watershed_octree
from seuron.pipelines.segmentation.seams import closable_seams, make_seams
from seuron.pipelines.segmentation.settings import leaf_box
from seuron.pipelines.segmentation.stages.remap import propagate_ids
from seuron.pipelines.segmentation.table_schemas import (
    Side,
    class_columns,
    contact_columns,
    face_name,
    read_region,
    read_view,
    view_name,
    write_names,
    write_planes,
    write_region,
    write_seam,
    write_views,
)
from seuron.storage import Storage
from seuron.storage.tables import write_table
from seuron.volumes import Volume, open_volume
from seuron.volumes.fingerprints import content_digest

Int64s = NDArray[np.int64]
#: How a task that closes seams or lines calls the tasks below, in the order of `split_shares`: that of its own leaf,
#: or that of the leaf below along an axis.
PARTS = ("own", "x", "y", "z")


def inputs(run: SegmentationRun, task: Task) -> Inputs:
    """The affinities' blocks that a leaf sees; or what the tasks below left open, and the planes between leaves."""
    if task.role == "leaf":
        seen = leaf_box(run, task)
        read: Any = [_content(run, _affinities(run), voxels_read(run.params, seen, run.facts.box))]
        if run.params.semantic is not None:
            read.append(_content(run, open_volume(run.params.semantic, run.params.mip), seen))
    elif task.role == "seam":
        read = [tables_read(run, leaf.id, *names) for leaf, names in _read_by_seams(run, task)]
    elif task.role == "line":
        read = [tables_read(run, seams.id, *_open_tables(f"-{part}")) for part, seams in _meeting_at_lines(run, task)]
    else:
        read = [tables_read(run, child.id, "open-") for child in watershed_octree(run.plan).children(task)]
    return {"tables": inputs_digest(run, task, read)}


def run(run: SegmentationRun, task: Task) -> Counts:
    """Watershed of a leaf's chunks, seams between leaves, lines where these meet, or what the tasks below left open."""
    steps = {"leaf": _leaf, "seam": _close_seams, "line": _close_lines, "merge": _merge}
    return steps[task.role](run, task)


def _affinities(run: SegmentationRun) -> Volume:
    return open_volume(run.layer("affinities"), affinity_mip(run))


def _content(run: SegmentationRun, volume: Volume, box: Box) -> str:
    return content_digest(volume, box, run.params.missing_blocks)


def _affinity_type(run: SegmentationRun) -> AffinityType:
    return affinity_type(affinity_dtype(run.params, run.facts))


def rules_of(run: SegmentationRun) -> WatershedRules:
    params = run.params
    return WatershedRules(params.watershed_high, params.watershed_low, params.watershed_size, params.watershed_dust)


def _leaf(run: SegmentationRun, task: Task) -> Counts:
    """Chunks one after the other; the seams between them are closed as soon as both sides are there."""
    volume = _affinities(run)
    kind, tables, place = affinity_type(volume.dtype), run.tables(task.id), place_of(run, task.box)
    counts: Counts = {"voxels": task.box.voxels, "chunks": 0, "basins": 0, "filled_blocks": 0}
    views: dict[Triple, dict[Side, Region]] = {}
    faces: dict[Triple, Faces] = {}
    met: dict[Triple, list[int]] = {}
    next_pair = 0

    def seams() -> Iterator[tuple[Region, Region, Seam]]:
        nonlocal next_pair
        for index, box in chunks_of(run, task):
            chunk = _chunk(run, volume, box)
            _write_chunk(tables, index, chunk, _classes(run, box, chunk))
            views[index], faces[index] = split_views(chunk.region), chunk.faces
            counts["chunks"] += 1
            counts["basins"] += chunk.basins
            counts["filled_blocks"] += filled_blocks(run, "affinities", box)
            made = list(closable_seams(faces, index, kind))
            write_seam(tables, chunk_name("seams", index), Seam.join([seam for _, _, seam in made]))
            met[index] = []
            for below, axis, seam in made:
                for side in (below, index):
                    met[side].append(next_pair)
                next_pair += 1
                yield views[below].pop((axis, 1)), views[index].pop((axis, 0)), seam

    def rest() -> Iterator[Region]:
        for of_chunk in views.values():
            yield from of_chunk.values()

    closed = close_seams(seams(), rest(), place, rules_of(run), kind)
    write_planes(tables, place, list(faces.values()))
    for index, numbers in met.items():
        write_names(tables, closed.names(numbers), chunk_name("names", index))
    write_views(tables, split_views(closed.region))
    return counts | _open_counts(closed.region)


def _close_seams(run: SegmentationRun, task: Task) -> Counts:
    """The seams at the low faces of a leaf, one in memory at a time."""
    octree = watershed_octree(run.plan)
    (leaf,) = octree.children(task)
    place, tables = place_of(run, task.box), run.tables(task.id)
    seen: dict[str, list[Int64s]] = {"own": []}
    counts: Counts = {"seam_pairs": 0}

    def pairs() -> Iterator[tuple[Region, Region, Seam]]:
        for planned, seam in make_seams(run, task):
            counts["seam_pairs"] += len(seam)
            below = _view(run, planned.below, (planned.axis, 1))
            own = _view(run, leaf, (planned.axis, 0))
            seen["xyz"[planned.axis]] = [below.keys]
            seen["own"].append(own.keys)
            yield below, own, seam

    closed = close_seams(pairs(), [], place, rules_of(run), _affinity_type(run))
    names = closed.names(range(len(closed.pairs)))
    for part, keys in seen.items():
        _write_names_of(tables, part, names, np.concatenate([np.zeros(0, np.int64), *keys]))
    parent = octree.parent(task)
    if parent is not None and parent.role == "line":
        for part, share in zip(PARTS, split_shares(closed.region), strict=True):
            write_region(tables, share, f"-{part}")
    else:
        write_region(tables, closed.region)
    return counts | _open_counts(closed.region)


def _close_lines(run: SegmentationRun, task: Task) -> Counts:
    """Join the shares of all seams that meet at a leaf's low edges."""
    place, tables = place_of(run, task.box), run.tables(task.id)
    shares = {
        part: read_region(run.tables(seams.id), place, f"-{part}") for part, seams in _meeting_at_lines(run, task)
    }
    merge = merge_regions(list(shares.values()), [], rules_of(run), _affinity_type(run), place)
    for part, share in shares.items():
        _write_names_of(tables, part, merge.mapping, share.keys)
    write_region(tables, merge.region)
    return _open_counts(merge.region)


def _write_names_of(tables: Storage, part: str, names: Mapping, keys: Int64s) -> None:
    """What became of that which a task read of one of the tasks below."""
    ids = np.unique(keys)
    write_names(tables, Mapping(ids, names.follow(ids)), f"names-{part}")


def _meeting_at_lines(run: SegmentationRun, task: Task) -> Iterator[tuple[str, Task]]:
    """The tasks whose seams meet at a leaf's low edges, with how a task that closes lines calls each."""
    octree = watershed_octree(run.plan)
    (own,) = octree.children(task)
    yield "own", own
    for axis in range(3):
        below = octree.beside(own, axis, -1)
        if below is not None:
            yield "xyz"[axis], below


def _open_tables(suffix: str) -> list[str]:
    return [f"open-{kind}{suffix}" for kind in ("clusters", "edges", "pins")]


def _view(run: SegmentationRun, leaf: Task, side: Side) -> Region:
    return read_view(run.tables(leaf.id), place_of(run, leaf.box), side)


def _read_by_seams(run: SegmentationRun, task: Task) -> Iterator[tuple[Task, list[str]]]:
    """The leaves of which a seam task reads something, and the tables."""
    octree = watershed_octree(run.plan)
    (leaf,) = octree.children(task)
    for planned in octree.seams_made(task):
        for other, side in ((planned.below, (planned.axis, 1)), (leaf, (planned.axis, 0))):
            yield other, _open_tables(view_name(side)) + [face_name(kind, *side) for kind in ("face", "plane")]


def _merge(run: SegmentationRun, task: Task) -> Counts:
    """Join what the tasks below left open: no seam is left, only copies of clusters that meet here."""
    octree = watershed_octree(run.plan)
    parts = [read_region(run.tables(child.id), place_of(run, child.box)) for child in octree.children(task)]
    merge = merge_regions(parts, [], rules_of(run), _affinity_type(run), place_of(run, task.box))
    tables = run.tables(task.id)
    write_names(tables, merge.mapping)
    write_region(tables, merge.region)
    if octree.is_root(task):
        propagate_ids(run, octree, task, Mapping.union([]), tables)
    return _open_counts(merge.region)


def _open_counts(region: Region) -> Counts:
    return {"open_clusters": region.keys.size, "open_edges": region.edges.a.size}


def _chunk(run: SegmentationRun, volume: Volume, box: Box) -> ChunkWatershed:
    """One chunk's watershed; raises DataError with coordinates of the volume for what is no affinity."""
    place = place_of(run, box)
    padded = Box.from_shape(box.minimum, place.padded)
    affinities = read_affinities(run, volume, padded)
    try:
        return watershed_chunk(affinities, rules_of(run), place)
    except AffinityError as error:
        moved = triple([a + v for a, v in zip(box.minimum, error.voxel, strict=True)])
        voxel, channel = stored_at(run.params, moved, error.channel)
        value = error.value if run.params.affinity_values == "affinities" else 1 - error.value
        raise DataError(
            f"{volume.path}: chunk {box}: the affinity at voxel {voxel}, channel {channel}, is {value}; allowed are "
            "numbers from 0 to 1. Repair the affinity map and start the run again"
        ) from error


def _classes(run: SegmentationRun, box: Box, chunk: ChunkWatershed) -> NDArray[np.int64]:
    """The voxels of each semantic class in each of a chunk's clusters, (clusters, classes)."""
    names = run.params.class_names
    if run.params.semantic is None:
        return np.zeros((chunk.keys.size, len(names)), np.int64)
    volume = open_volume(run.params.semantic, run.params.mip)
    semantic = volume.read(box, missing=run.params.missing_blocks)[..., 0]
    try:
        return count_classes(chunk.labels, semantic, chunk.keys.size, len(names))
    except ArgumentError as error:
        raise DataError(
            f"{volume.path}: chunk {box}, voxels counted from its corner: {error}. "
            "Name all classes in `semantic_classes`, or repair the labels"
        ) from error


def _write_chunk(tables: Storage, index: Triple, chunk: ChunkWatershed, classes: NDArray[np.int64]) -> None:
    write_table(tables, chunk_name("labels", index), {"number": chunk.labels.reshape(-1, order="F")})
    corners = {
        f"{end}_{axis}": chunk.boxes[:, i, j] for i, end in enumerate(("min", "max")) for j, axis in enumerate("xyz")
    }
    clusters = {"id": chunk.keys, "voxels": chunk.voxels} | corners
    write_table(tables, chunk_name("clusters", index), clusters | class_columns(classes))
    contacts = contact_columns(chunk.contacts) | {"strongest": chunk.strongest}
    write_table(tables, chunk_name("contacts", index), contacts)

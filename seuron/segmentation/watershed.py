"""Stage `watershed`: affinities become clusters of voxels, all but their final ids.

A leaf reads the affinities of its chunks, once, and leaves for each chunk (chunk indices are those
of the run's grid):

    labels-X_Y_Z      the chunk's clusters, numbered from 1: a value per voxel, x fastest
    clusters-X_Y_Z    id and voxels of each number, its bounding box in the chunk (the maximum is outside), and
                      its voxels of each semantic class, where the run has any; row 0 is background
    contacts-X_Y_Z    contacts of numbers inside the chunk, and the weight of the strongest edge of each
    seams             contacts through the faces between its chunks
    plane-*           the voxels at its inner faces

A merge of the first tier leaves the seams between leaves (`seams.py`). Every task, leaf or merge, leaves:

    names             what the clusters that came from below are called now
    open-*, face-*    what it could not decide (`columns.write_region`)

and the root, for each of its children, `final-X_Y_Z`: what became of that which it sent up. A cluster's
supervoxel id is found from there: `naming.final_names`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py import (
    AffinityError,
    ArgumentError,
    ChunkWatershed,
    Mapping,
    Merge,
    Seam,
    WatershedRules,
    affinity_type,
    count_classes,
    merge_regions,
    seams_of_grid,
    watershed_chunk,
)
from seuron.box import Box, Triple
from seuron.errors import DataError
from seuron.planning import Task
from seuron.runs import Counts, Run
from seuron.segmentation.chunks import chunk_name, chunks_of, filled_blocks, place_of
from seuron.segmentation.columns import (
    class_columns,
    contact_columns,
    read_region,
    write_names,
    write_planes,
    write_region,
    write_seam,
)
from seuron.segmentation.inputs import inputs_digest, seams_read, tables_read, voxels_read
from seuron.segmentation.naming import hand_down
from seuron.segmentation.seams import closed_seams, make_seams
from seuron.storage import Storage
from seuron.tables import write_table
from seuron.volumes import Volume, open_volume


def inputs(run: Run, task: Task) -> dict[str, str]:
    """The affinities' blocks that a leaf sees; or what the tasks below left open, and the seams between them."""
    if task.tier == 0:
        read: Any = [voxels_read(run, task, open_volume(run.layer("affinities"), run.affinity_mip))]
        if run.params.semantic is not None:
            read.append(voxels_read(run, task, open_volume(run.params.semantic, run.params.mip)))
    else:
        read = [[tables_read(run, child, "open-", "face-") for child in task.children], seams_read(run, task)]
    return {"tables": inputs_digest(run, task, read)}


def run(run: Run, task: Task) -> Counts:
    """Watershed of a leaf's chunks, or of what the tasks below left open."""
    return _leaf(run, task) if task.tier == 0 else _merge(run, task)


def rules_of(run: Run) -> WatershedRules:
    params = run.params
    return WatershedRules(params.watershed_high, params.watershed_low, params.watershed_size, params.watershed_dust)


def _leaf(run: Run, task: Task) -> Counts:
    volume = open_volume(run.layer("affinities"), run.affinity_mip)
    tables, regions, faces = run.tables(task.id), [], {}
    counts: Counts = {"voxels": task.box.voxels, "chunks": 0, "basins": 0, "filled_blocks": 0}
    for index, box in chunks_of(run, task):
        chunk = _chunk(run, volume, box)
        _write_chunk(tables, index, chunk, _classes(run, box, chunk))
        regions.append(chunk.region)
        faces[index] = chunk.faces
        counts["chunks"] += 1
        counts["basins"] += chunk.basins
        counts["filled_blocks"] += filled_blocks(run, volume, box)
    kind = affinity_type(volume.dtype)
    seam = Seam.join([seam for _, _, seam in seams_of_grid(faces, kind)])
    write_seam(tables, "seams", seam)
    write_planes(tables, place_of(run, task.box), list(faces.values()))
    return counts | _finish(run, task, merge_regions(regions, [seam], rules_of(run), kind))


def _merge(run: Run, task: Task) -> Counts:
    counts: Counts = {"seam_pairs": make_seams(run, task)} if task.tier == 1 else {}
    children = (run.plan.tasks[child] for child in task.children)
    parts = [read_region(run.tables(child.id), place_of(run, child.box)) for child in children]
    seams = (seam for _, seam in closed_seams(run, task))
    merge = merge_regions(parts, seams, rules_of(run), affinity_type(run.affinity_dtype))
    return counts | _finish(run, task, merge)


def _chunk(run: Run, volume: Volume, box: Box) -> ChunkWatershed:
    """One chunk's watershed; raises DataError with coordinates of the volume for what is no affinity."""
    place = place_of(run, box)
    padded = Box.from_shape(box.minimum, place.padded)
    try:
        affinities = volume.read(padded, missing=run.params.missing_blocks)
        return watershed_chunk(affinities, rules_of(run), place)
    except AffinityError as error:
        x, y, z = (a + v for a, v in zip(box.minimum, error.voxel, strict=True))
        raise DataError(
            f"{volume.path}: chunk {box}: the affinity at voxel ({x}, {y}, {z}), channel {error.channel}, is "
            f"{error.value}; allowed are numbers from 0 to 1. Repair the affinity map and start the run again"
        ) from error


def _classes(run: Run, box: Box, chunk: ChunkWatershed) -> NDArray[np.int64]:
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


def _finish(run: Run, task: Task, merge: Merge) -> Counts:
    tables = run.tables(task.id)
    write_names(tables, merge.mapping)
    write_region(tables, merge.region)
    if task.id not in run.plan.parents:
        hand_down(run, task.id, Mapping.union([]), tables)
    return {"open_clusters": merge.region.keys.size, "open_edges": merge.region.edges.a.size}

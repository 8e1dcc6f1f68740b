"""What the stages `meshes` and `skeletons` share: parts of shapes from cells to files, and the list of all.

parts-N.parquet (of a cell's task)     the parts of the segments whose shapes go to file N: `id`, the cell `x, y, z`,
                                       how many `voxels` of the cell the segment has, and arrays as bytes
objects.parquet (of a file's task)     the `id` of each segment in the file
OUTPUT/meshes, OUTPUT/skeletons        the files, and an `info`, which comes last: then all can be seen
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple
from seuron.engine.inputs import inputs_digest, source_read, tables_read
from seuron.engine.pipeline import Counts, Inputs
from seuron.engine.plan import Task
from seuron.errors import RunError
from seuron.pipelines.products.facts import ProductsRun
from seuron.pipelines.products.shapes import CELL, SHARD, CellGrid, shard_bits
from seuron.storage import Storage, join
from seuron.storage.tables import read_table, write_table
from seuron.volumes import open_volume
from seuron.volumes.object_shards import ObjectSharding, StoredShapes

#: Model coordinates are nm.
NO_TRANSFORM = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
OBJECTS = "objects"


class ShapePart(NamedTuple):
    """What a cell has of a segment: how many voxels of its own, and the arrays of the shape there, by name."""

    id: int
    cell: Triple
    voxels: int
    arrays: Mapping[str, NDArray[Any]]


def parts_table(shard: int) -> str:
    """The name of the table of the parts that go to a file."""
    return f"parts-{shard}"


def inputs(run: ProductsRun, task: Task) -> Inputs:
    """The voxels that the task's cells see, or the tables of the tier below."""
    if task.role == CELL:
        return {"parts": inputs_digest(run, task, source_read(run, task, "segmentation"))}
    wanted = parts_table(task.index[0]) if task.role == SHARD else OBJECTS
    return {"shapes": inputs_digest(run, task, [_digests(run, other, wanted) for other in run.reads(task)])}


def _digests(run: ProductsRun, task: Task, table: str) -> dict[str, str]:
    return tables_read(run, task.id, table) if run.has_tables(task.id) else {}


def labels_seen(run: ProductsRun, grid: CellGrid, index: Triple, *, padded: bool) -> NDArray[Any]:
    """The labels that a cell sees, (X, Y, Z), Fortran order: cut to the volume, or with zeros beyond it."""
    source = run.sources["segmentation"]
    seen = grid.seen(index)
    inside = seen.intersect(grid.box)
    labels = open_volume(source.path, source.mip).read(inside, missing=source.missing)[..., 0]
    dtype = np.uint32 if labels.dtype.itemsize < 8 else np.uint64
    if not padded or inside == seen:
        return np.asfortranarray(labels, dtype)
    whole = np.zeros(seen.shape, dtype, order="F")
    whole[inside.within(seen)] = labels
    return whole


def own_voxels(grid: CellGrid, index: Triple, labels: NDArray[Any], seen: Box) -> dict[int, int]:
    """How many of a cell's own voxels each segment has; `labels` are those of the box `seen`."""
    from abiss_py.segment_statistics import segment_sums

    found = segment_sums(labels[grid.own(index).within(seen)])
    return dict(zip(found.ids.tolist(), found.voxels.tolist(), strict=True))


def dust(labels: NDArray[Any], voxels: Mapping[int, int], threshold: int) -> set[int]:
    """The segments of a cell that are smaller than `threshold` and reach no face of what it sees: nothing else is."""
    if threshold <= 0:
        return set()
    faces = [labels[(slice(None),) * axis + ([0, -1],)] for axis in range(3)]
    reaching = {int(number) for face in faces for number in np.unique(face)}
    return {number for number, count in voxels.items() if count < threshold and number not in reaching}


def write_parts(run: ProductsRun, task: Task, parts: Iterable[ShapePart]) -> Counts:
    """The tables of a cell's task: one for each file that one of its segments goes to."""
    sharding, found = ObjectSharding(shard_bits(run.facts)), list(parts)
    shards = sharding.shards([part.id for part in found])
    for shard in np.unique(shards).tolist():
        rows = [found[i] for i in np.flatnonzero(shards == shard)]
        columns: dict[str, NDArray[Any]] = {"id": np.array([row.id for row in rows], np.uint64)}
        columns |= {axis: np.array([row.cell[i] for row in rows], np.int32) for i, axis in enumerate("xyz")}
        columns["voxels"] = np.array([row.voxels for row in rows], np.int64)
        for name in rows[0].arrays:
            column = np.empty(len(rows), object)
            column[:] = [row.arrays[name].tobytes() for row in rows]
            columns[name] = column
        write_table(run.tables(task.id), parts_table(shard), columns)
    return {"voxels": task.box.intersect(run.facts.box).voxels, "parts": len(found)}


def segments_of(
    run: ProductsRun, task: Task, types: Mapping[str, type[np.generic]]
) -> Iterator[tuple[int, list[ShapePart]]]:
    """The segments of a file that are no dust, ids ascending, each with its parts in the order of their cells."""
    parts = sorted(_parts(run, task, types), key=lambda part: (part.id, part.cell[::-1]))
    for number, group in groupby(parts, key=lambda part: part.id):
        found = list(group)
        if sum(part.voxels for part in found) >= run.params.dust_threshold:
            yield number, found


def _parts(run: ProductsRun, task: Task, types: Mapping[str, type[np.generic]]) -> Iterator[ShapePart]:
    name = parts_table(task.index[0])
    for other in run.reads(task):
        if not _digests(run, other, name):
            continue
        rows = read_table(run.tables(other.id), name)
        for i in range(rows["id"].size):
            arrays = {key: np.frombuffer(rows[key][i], dtype) for key, dtype in types.items()}
            cell = (int(rows["x"][i]), int(rows["y"][i]), int(rows["z"][i]))
            yield ShapePart(int(rows["id"][i]), cell, int(rows["voxels"][i]), arrays)


def write_shard(run: ProductsRun, task: Task, objects: Mapping[int, bytes], before: Mapping[int, int] | None) -> Counts:
    """A file, where it has any object, and the list of what is in it."""
    sharding, storage = ObjectSharding(shard_bits(run.facts)), Storage(join(run.output, task.stage))
    name = sharding.file(task.index[0])
    if objects:
        stored = storage.put(name, sharding.content(objects, before))
    else:
        storage.delete([name])
        stored = 0
    write_table(run.tables(task.id), OBJECTS, {"id": np.array(sorted(objects), np.uint64)})
    return {"segments": len(objects), "stored_bytes": stored}


def list_shapes(run: ProductsRun, task: Task, info: Mapping[str, Any]) -> Counts:
    """Compare what a viewer finds in the files with what was made, and only then write the info that shows it.

    Raises RunError where they differ.
    """
    sharding, path = ObjectSharding(shard_bits(run.facts)), join(run.output, task.stage)
    storage, tables = Storage(path), [read_table(run.tables(other.id), OBJECTS)["id"] for other in run.reads(task)]
    made = np.sort(np.concatenate(tables))
    files = {sharding.file(shard) for shard, ids in enumerate(tables) if ids.size}
    storage.delete([name for name in storage.names() if name.endswith(".shard") and name not in files])
    seen = StoredShapes(path, sharding).ids()
    if not np.array_equal(seen, made):
        odd = np.setxor1d(seen, made)
        raise RunError(
            f"{path}: {made.size} segments were made, and a viewer finds {seen.size}; "
            f"{odd.size} differ, such as {odd[:5].tolist()}. `redo` the stage {task.stage} of the run"
        )
    storage.put("info", json.dumps({**info, "sharding": sharding.info}, indent=1, sort_keys=True).encode())
    return {"listed": made.size}

"""Stage `segment_table`: what each segment has, as a table, and as properties that a viewer can search.

Cells are gone through twice. First each counts voxels, sums of their coordinates and boxes, in whole numbers; sums of
these are added up to the last (*count*, *sum*). Then each cell finds the voxel of its own that is nearest to a
segment's centroid, and the nearest of all is chosen (*inside*, *nearest*). The last task writes

    OUTPUT/segments.parquet             a row for each segment, ids ascending
    OUTPUT/segment_properties/info      Neuroglancer's segment properties
    OUTPUT/largest_segments.json        ids of the largest, which a viewer selects at first
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box
from seuron.engine.inputs import inputs_digest, source_read, tables_read
from seuron.engine.pipeline import Counts, Inputs
from seuron.engine.plan import Task
from seuron.pipelines.products.cells import below, is_last, last_of
from seuron.pipelines.products.facts import ProductsFacts, ProductsRun
from seuron.pipelines.products.segment_table import LARGEST, NAME, PROPERTIES, TABLE
from seuron.storage import Storage
from seuron.storage.table_merge import combined, first_rows, reduced
from seuron.storage.tables import Table, read_groups, read_keys, read_pieces, write_groups, write_table
from seuron.volumes import open_volume

#: Segments that are listed in the properties, the largest: a viewer loads them whole.
MOST_LISTED = 200_000
#: Segments that a viewer selects at first.
MOST_SELECTED = 24

_SUMS, _LEAST, _ENDS = ("sum_x", "sum_y", "sum_z"), ("x0", "y0", "z0"), ("x1", "y1", "z1")
_PLACE = ("inside_x", "inside_y", "inside_z")


def inputs(run: ProductsRun, task: Task) -> Inputs:
    """The voxels of a cell, and what was summed; or the tables below."""
    read: list[Any] = [tables_read(run, other.id, "segments", "nearest") for other in run.reads(task)]
    if task.role in ("count", "inside"):
        read.append(source_read(run, task, "segmentation"))
    return {"tables": inputs_digest(run, task, read)}


def run(run: ProductsRun, task: Task) -> Counts:
    """What a task's role says."""
    if task.role == "count":
        return _count(run, task)
    if task.role == "inside":
        return _find_inside(run, task)
    parts = (read_pieces(run.tables(child.id), _table_of(task)) for child in below(run, task))
    if task.role == "sum":
        rows = combined(parts, "id", lambda table: reduced(table, ("id",), smallest=_LEAST, largest=_ENDS))
        write_groups(run.tables(task.id), "segments", rows)
        return {}
    nearest = combined(parts, "id", lambda table: first_rows(table, ("id",), ("square", *_PLACE)))
    if not is_last(run, task):
        write_groups(run.tables(task.id), "nearest", nearest)
        return {}
    return _write_table(run, nearest)


def _table_of(task: Task) -> str:
    return "segments" if task.role == "sum" else "nearest"


def _labels(run: ProductsRun, box: Box) -> NDArray[Any]:
    source = run.sources["segmentation"]
    return open_volume(source.path, source.mip).read(box, missing=source.missing)[..., 0]


def _count(run: ProductsRun, task: Task) -> Counts:
    from abiss_py.segment_statistics import segment_sums

    found = segment_sums(_labels(run, task.box), task.box.minimum)
    columns = {"id": found.ids, "voxels": found.voxels}
    for names, values in ((_SUMS, found.sums), (_LEAST, found.least), (_ENDS, found.ends)):
        columns |= {name: values[:, axis] for axis, name in enumerate(names)}
    write_table(run.tables(task.id), "segments", columns)
    return {"voxels": task.box.voxels}


def _find_inside(run: ProductsRun, task: Task) -> Counts:
    from abiss_py.segment_statistics import nearest_voxels, segment_sums

    labels = _labels(run, task.box)
    ids = segment_sums(labels).ids
    sums = read_keys(run.tables(last_of(run, NAME, "sum").id), "segments", "id", ids)
    found = nearest_voxels(labels, ids, _centroids(sums), run.facts.resolution_nm, task.box.minimum)
    places = {name: found.voxels[:, axis] for axis, name in enumerate(_PLACE)}
    write_table(run.tables(task.id), "nearest", {"id": ids, "square": found.squares, **places})
    return {}


def _centroids(sums: Table) -> NDArray[np.float64]:
    """The mean coordinates (N, 3) of segments' voxels, in voxels."""
    found: NDArray[np.float64] = np.stack([sums[name] / sums["voxels"] for name in _SUMS], axis=1)
    return found


def _write_table(run: ProductsRun, nearest: Iterator[Table]) -> Counts:
    """The table and the properties, from the sums and the voxels inside: both have the same ids, group by group."""
    sums = read_groups(run.tables(last_of(run, NAME, "sum").id), "segments")
    listed: list[Table] = []
    counts = {"segments": 0.0, "labelled_voxels": 0.0}

    def groups() -> Iterator[Table]:
        for group, places in zip(sums, nearest, strict=True):
            rows = segment_rows(group, places, run.facts)
            counts["segments"] += rows["id"].size
            counts["labelled_voxels"] += float(rows["voxels"].sum())
            listed[:] = [_largest([*listed, rows], run.params.dust_threshold)]
            yield rows

    stored = write_groups(run.storage, TABLE, groups())
    stored += _write_properties(run.storage, listed[0])
    order = np.lexsort([listed[0]["id"], -listed[0]["voxels"]])[:MOST_SELECTED]
    run.storage.put(LARGEST, json.dumps(listed[0]["id"][order].tolist()).encode())
    return {**counts, "stored_bytes": stored}


def segment_rows(sums: Table, places: Table, facts: ProductsFacts) -> Table:
    """What the table has of each segment.

    `id`, `voxels`, `volume_um3`; the box `x0, y0, z0, x1, y1, z1` in voxels, the end not included; the centroid in nm,
    `centroid_x_nm` and so on, where a voxel's middle is half a voxel behind its corner; the voxel `inside_x, inside_y,
    inside_z` of the segment that is nearest to it; `touches_border`: whether it lies at a face of the run's box.
    """
    voxel_um3 = np.prod(np.array(facts.resolution_nm) / 1000)
    rows = {"id": sums["id"], "voxels": sums["voxels"], "volume_um3": sums["voxels"] * voxel_um3}
    rows |= {name: sums[name] for name in (*_LEAST, *_ENDS)}
    centroids = (_centroids(sums) + 0.5) * facts.resolution_nm
    rows |= {f"centroid_{axis}_nm": centroids[:, at] for at, axis in enumerate("xyz")}
    rows |= {name: places[name] for name in _PLACE}
    faces = [sums[name] == at for name, at in zip((*_LEAST, *_ENDS), facts.box.corners, strict=True)]
    return {**rows, "touches_border": np.any(faces, axis=0)}


def _largest(tables: list[Table], dust_threshold: int) -> Table:
    """The segments that are listed: the largest of those that are no dust, ids ascending."""
    rows = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    order = np.lexsort([rows["id"], -rows["voxels"]])[:MOST_LISTED]
    chosen = np.sort(order[rows["voxels"][order] >= dust_threshold])
    return {name: column[chosen] for name, column in rows.items()}


def _write_properties(storage: Storage, rows: Table) -> int:
    """Neuroglancer's segment properties: what its list of segments shows, sorts and searches."""
    numbers = [
        {
            "id": name,
            "type": "number",
            "description": text,
            "data_type": "float32",
            "values": [float(value) for value in values.astype(np.float32)],
        }
        for name, text, values in (
            ("voxels", "voxels", rows["voxels"]),
            ("um3", "volume in cubic micrometres", rows["volume_um3"]),
        )
    ]
    tags = {"id": "tags", "type": "tags", "tags": ["border", "inner"]}
    label = {"id": "label", "type": "label", "values": [str(value) for value in rows["id"].tolist()]}
    properties = [label, *numbers, {**tags, "values": [[0] if border else [1] for border in rows["touches_border"]]}]
    inline = {"ids": [str(value) for value in rows["id"].tolist()], "properties": properties}
    content = json.dumps({"@type": "neuroglancer_segment_properties", "inline": inline}).encode()
    storage.put(f"{PROPERTIES}/info", content)
    return len(content)

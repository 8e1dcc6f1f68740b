"""Stage `skeletons`: the branches of each segment as lines with radii, for Neuroglancer.

    OUTPUT/skeletons/info, *.shard     the format `neuroglancer_skeletons`, coordinates and radii in nm

Each cell pools its labels and traces all of them; a file's task joins the parts of a segment (`seuron/skeletons`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seuron.box import Triple
from seuron.engine.pipeline import Counts
from seuron.engine.plan import Task
from seuron.pipelines.products.facts import ProductsRun
from seuron.pipelines.products.params import ProductsParams
from seuron.pipelines.products.shapes import CELL, SHARD, CellGrid
from seuron.pipelines.products.skeletons import skeleton_grid
from seuron.pipelines.products.stages.shapes import (
    NO_TRANSFORM,
    ShapePart,
    dust,
    inputs,
    labels_seen,
    list_shapes,
    own_voxels,
    segments_of,
    write_parts,
    write_shard,
)
from seuron.skeletons.skeleton import ATTRIBUTES, SkeletonPart, Tracing, encoded, trace, whole
from seuron.volumes.pyramid import pool

__all__ = ["inputs", "run"]

_TYPES: dict[str, type[np.generic]] = {"vertices": np.int32, "edges": np.uint32, "radii": np.float32}
_INFO = {"@type": "neuroglancer_skeletons", "transform": NO_TRANSFORM, "vertex_attributes": ATTRIBUTES}


def run(run: ProductsRun, task: Task) -> Counts:
    """What a task's role says."""
    if task.role == CELL:
        grid = skeleton_grid(run.params, run.facts)
        return write_parts(run, task, (part for cell in grid.of_task(task) for part in _cell_parts(run, grid, cell)))
    if task.role == SHARD:
        return _write_skeletons(run, task)
    return list_shapes(run, task, _INFO)


def _tracing(params: ProductsParams) -> Tracing:
    lengths = (params.skeleton_constant_nm, params.skeleton_shortest_nm, params.skeleton_branch_nm)
    return Tracing(params.skeleton_scale, *lengths)


def _pooled_nm(run: ProductsRun) -> list[float]:
    return [nm * f for nm, f in zip(run.facts.resolution_nm, run.params.skeleton_factor, strict=True)]


def _cell_parts(run: ProductsRun, grid: CellGrid, cell: Triple) -> Iterator[ShapePart]:
    labels = labels_seen(run, grid, cell, padded=False)
    voxels = own_voxels(grid, cell, labels, grid.seen(cell).intersect(grid.box))
    small = dust(labels, voxels, run.params.dust_threshold)
    pooled = pool(labels[..., None], run.params.skeleton_factor, "segmentation")[..., 0]
    if small:
        pooled[np.isin(pooled, np.fromiter(small, pooled.dtype, len(small)))] = 0
    factor = run.params.skeleton_factor
    offset = [c * e // f for c, e, f in zip(cell, grid.edge, factor, strict=True)]
    for number, part in trace(pooled, _pooled_nm(run), _tracing(run.params)):
        yield _part(number, cell, voxels.pop(number, 0), part.shifted(offset))
    nothing = SkeletonPart(np.zeros((0, 3), np.int32), np.zeros((0, 2), np.uint32), np.zeros(0, np.float32))
    for number in sorted(voxels.keys() - small):  # too small for a skeleton here
        yield _part(number, cell, voxels[number], nothing)


def _part(number: int, cell: Triple, voxels: int, part: SkeletonPart) -> ShapePart:
    return ShapePart(number, cell, voxels, {"vertices": part.voxels, "edges": part.edges, "radii": part.radii})


def _write_skeletons(run: ProductsRun, task: Task) -> Counts:
    voxel_nm, corner = _pooled_nm(run), run.facts.box.minimum
    origin_nm = [m * nm + p / 2 for m, nm, p in zip(corner, run.facts.resolution_nm, voxel_nm, strict=True)]
    objects, cable = {}, 0.0
    for number, parts in segments_of(run, task, _TYPES):
        pieces = [_skeleton(part) for part in parts if part.arrays["vertices"].size]
        if pieces:
            skeleton = whole(number, pieces, origin_nm, voxel_nm, _tracing(run.params))
            cable += float(skeleton.cable_length())
            objects[number] = encoded(skeleton)
    return {**write_shard(run, task, objects, None), "cable_um": cable / 1000}


def _skeleton(part: ShapePart) -> SkeletonPart:
    arrays = part.arrays
    return SkeletonPart(arrays["vertices"].reshape(-1, 3), arrays["edges"].reshape(-1, 2), arrays["radii"])

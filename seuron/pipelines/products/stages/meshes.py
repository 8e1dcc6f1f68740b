"""Stage `meshes`: the surface of each segment at several levels of detail, for Neuroglancer.

    OUTPUT/meshes/info, *.shard     the format `neuroglancer_multilod_draco`, coordinates in nm

Each cell makes the surfaces of all labels that it sees, and simplifies them but for their open edges on the planes to
other cells. A file's task puts the cells of a segment together and makes the coarser levels (`meshes/levels.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from seuron.box import Triple
from seuron.engine.pipeline import Counts
from seuron.engine.plan import Task
from seuron.meshes.levels import (
    ERROR_FACTOR,
    QUANTIZATION_BITS,
    encoded_fragment,
    in_curve_order,
    levels_of_detail,
)
from seuron.meshes.marching_cubes import label_surfaces
from seuron.meshes.simplification import simplified
from seuron.meshes.surface import LatticeSurface, joined
from seuron.pipelines.products.facts import ProductsRun
from seuron.pipelines.products.meshes import mesh_grid
from seuron.pipelines.products.shapes import CELL, SHARD, CellGrid
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
from seuron.volumes.object_shards import mesh_manifest

__all__ = ["inputs", "run"]

#: Corners of a cell's surface are stored in half voxels of the cell: 16 bits hold them.
_TYPES: dict[str, type[np.generic]] = {"corners": np.uint16, "triangles": np.uint32}
_INFO = {
    "@type": "neuroglancer_multilod_draco",
    "vertex_quantization_bits": QUANTIZATION_BITS,
    "lod_scale_multiplier": 1.0,
    "transform": NO_TRANSFORM,
}


def run(run: ProductsRun, task: Task) -> Counts:
    """What a task's role says."""
    if task.role == CELL:
        grid = mesh_grid(run.params, run.facts)
        return write_parts(run, task, (part for cell in grid.of_task(task) for part in _cell_parts(run, grid, cell)))
    if task.role == SHARD:
        return _write_meshes(run, task)
    return list_shapes(run, task, _INFO)


def _half_voxel(run: ProductsRun) -> list[float]:
    return [nm / 2 for nm in run.facts.resolution_nm]


def _cell_parts(run: ProductsRun, grid: CellGrid, cell: Triple) -> Iterator[ShapePart]:
    labels = labels_seen(run, grid, cell, padded=True)
    voxels = own_voxels(grid, cell, labels, grid.seen(cell))
    small = dust(labels, voxels, run.params.dust_threshold)
    for number, surface in label_surfaces(labels):
        count = voxels.pop(number, 0)
        if number not in small:
            found = simplified(surface, _half_voxel(run), run.params.mesh_error_nm, [2 * e for e in grid.edge])
            yield _part(number, cell, count, found)
    nothing = LatticeSurface(np.zeros((0, 3), np.int32), np.zeros((0, 3), np.uint32))
    for number in sorted(voxels):  # these fill what the cell sees: they have voxels here, and no surface
        yield _part(number, cell, voxels[number], nothing)


def _part(number: int, cell: Triple, voxels: int, surface: LatticeSurface) -> ShapePart:
    return ShapePart(
        number, cell, voxels, {"corners": surface.corners.astype(np.uint16), "triangles": surface.triangles}
    )


def _write_meshes(run: ProductsRun, task: Task) -> Counts:
    edge = mesh_grid(run.params, run.facts).edge
    objects, before, triangles, open_edges = {}, {}, 0, 0
    for number, parts in segments_of(run, task, _TYPES):
        pieces = {part.cell: _surface(part, edge) for part in parts if part.arrays["triangles"].size}
        if pieces:
            triangles += sum(len(surface.triangles) for surface in pieces.values())
            open_edges += joined(list(pieces.values())).open_edges()
            fragments, manifest = _encoded(run, pieces, edge)
            objects[number], before[number] = fragments + manifest, len(fragments)
    return {**write_shard(run, task, objects, before), "triangles": triangles, "open_edges": open_edges}


def _surface(part: ShapePart, edge: Triple) -> LatticeSurface:
    corners = part.arrays["corners"].reshape(-1, 3).astype(np.int32)
    return LatticeSurface(corners, part.arrays["triangles"].reshape(-1, 3)).shifted(
        [2 * c * e for c, e in zip(part.cell, edge, strict=True)]
    )


def _encoded(run: ProductsRun, pieces: dict[Triple, LatticeSurface], edge: Triple) -> tuple[bytes, bytes]:
    """A mesh's fragments one after the other, and its manifest."""
    params, (x, y, z) = run.params, run.facts.resolution_nm
    levels = levels_of_detail(pieces, params.mesh_levels, edge, _half_voxel(run), params.mesh_error_nm)
    fragments = []
    for level, found in enumerate(levels):
        size = [2 * e << level for e in edge]
        ordered = in_curve_order(list(found))
        fragments.append({place: encoded_fragment(found[place], place, size) for place in ordered})
    errors = [params.mesh_error_nm * ERROR_FACTOR**level for level in range(len(levels))]
    fragment_nm = [e * nm for e, nm in zip(edge, (x, y, z), strict=True)]
    manifest = mesh_manifest(_origin_nm(run), fragment_nm, errors, fragments)
    return b"".join(content for level in fragments for content in level.values()), manifest


def _origin_nm(run: ProductsRun) -> Sequence[float]:
    """The middle of the voxel before the volume's first one, where the first cell begins."""
    return [(m - 0.5) * nm for m, nm in zip(run.facts.box.minimum, run.facts.resolution_nm, strict=True)]

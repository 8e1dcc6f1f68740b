"""The stage `meshes`: its cells and what they depend on. `stages/meshes.py` does the work."""

from __future__ import annotations

from seuron.box import triple
from seuron.pipelines.products.facts import ProductsFacts
from seuron.pipelines.products.params import ProductsParams
from seuron.pipelines.products.shapes import CellGrid, ShapeKind, even_edge


def mesh_grid(params: ProductsParams, facts: ProductsFacts) -> CellGrid:
    """Cells of about `mesh_cell` voxels.

    The planes between cells go through the middles of voxels. The last one has to lie behind the last voxel, where
    nothing is: so the last cell is never a full one. A cell sees the last voxels of the cells before it.
    """
    edges = [even_edge(n, wanted, 0) for n, wanted in zip(facts.box.shape, params.mesh_cell, strict=True)]
    return CellGrid(facts.box, triple([max(2, edge) for edge in edges]), before=(1, 1, 1), after=(0, 0, 0))


MESHES = ShapeKind(
    name="meshes",
    parameters=("mesh_cell", "mesh_error_nm", "mesh_levels"),
    grid=mesh_grid,
    rate=1.5,
    bytes_per_voxel=60,
)

"""The stage `skeletons`: its cells and what they depend on. `stages/skeletons.py` does the work."""

from __future__ import annotations

from seuron.box import triple
from seuron.pipelines.products.facts import ProductsFacts
from seuron.pipelines.products.params import ProductsParams
from seuron.pipelines.products.shapes import CellGrid, ShapeKind, even_edge


def skeleton_grid(params: ProductsParams, facts: ProductsFacts) -> CellGrid:
    """Cells of about `skeleton_cell` voxels that are whole pooled voxels; none is one pooled voxel thick.

    A cell sees one pooled voxel of the cells behind it, where skeletons meet.
    """
    edges = []
    for n, wanted, factor in zip(facts.box.shape, params.skeleton_cell, params.skeleton_factor, strict=True):
        pooled = even_edge(-(-n // factor), max(2, wanted // factor), 1)
        edges.append(max(2, pooled) * factor)
    return CellGrid(facts.box, triple(edges), before=(0, 0, 0), after=params.skeleton_factor)


SKELETONS = ShapeKind(
    name="skeletons",
    parameters=(
        "skeleton_cell",
        "skeleton_factor",
        "skeleton_scale",
        "skeleton_constant_nm",
        "skeleton_shortest_nm",
        "skeleton_branch_nm",
    ),
    grid=skeleton_grid,
    rate=1.2,
    bytes_per_voxel=40,
)

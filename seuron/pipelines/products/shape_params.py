"""The parameters of meshes and skeletons."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from seuron.params.fields import Number, Size, Whole, parameter
from seuron.params.run_parameters import RunParameters

#: Voxels along a side of a mesh's cell: zmesh takes 511, and cells may be half as long again as was asked for.
MESH_SIDES = (4, 320)
#: Voxels that are pooled along a side at most, and pooled voxels along a side of a skeleton's cell at least.
MOST_POOLED, LEAST_SIDE = 16, 4

Extent = Annotated[Number, Field(ge=0, le=1e6)]


class ShapeParams(RunParameters):
    """How meshes and skeletons are made. Cells are no matter of tasks: results depend on them, hardly to be seen."""

    mesh_cell: Size = parameter(
        (256, 256, 256),
        "Meshes",
        "cell in which surfaces are found and simplified, about; no triangle crosses its faces",
        unit="voxels",
    )
    mesh_error_nm: Extent = parameter(
        10.0, "Meshes", "error of simplified surfaces; 0 keeps all triangles at all levels", unit="nm"
    )
    mesh_levels: Whole = parameter(
        3, "Meshes", "levels of detail, each with four times the error of the one before", ge=1, le=8
    )
    skeleton_cell: Size = parameter(
        (512, 512, 256), "Skeletons", "cell in which skeletons are traced, about; they are joined then", unit="voxels"
    )
    skeleton_factor: Size = parameter(
        (2, 2, 1),
        "Skeletons",
        "labels are pooled so before they are traced; 1,1,1 is several times slower",
        unit="voxels",
    )
    skeleton_scale: Extent = parameter(
        4.0, "Skeletons", "around a path there is no other within its distance from the surface times this"
    )
    skeleton_constant_nm: Extent = parameter(500.0, "Skeletons", "and within so much more", unit="nm")
    skeleton_shortest_nm: Extent = parameter(
        500.0, "Skeletons", "pieces of a skeleton that are shorter are left out, unless nothing were left", unit="nm"
    )
    skeleton_branch_nm: Extent = parameter(500.0, "Skeletons", "side branches that are shorter are left out", unit="nm")

    def shape_problems(self) -> list[str]:
        """A sentence for each size that shapes cannot be made with."""
        problems = []
        low, high = MESH_SIDES
        if min(self.mesh_cell) < low or max(self.mesh_cell) > high:
            problems.append(f"`mesh_cell` {self.mesh_cell}: allowed are {low} to {high} voxels along each side")
        if max(self.skeleton_factor) > MOST_POOLED:
            problems.append(f"`skeleton_factor` {self.skeleton_factor}: allowed are 1 to {MOST_POOLED} voxels")
        sides = [cell // factor for cell, factor in zip(self.skeleton_cell, self.skeleton_factor, strict=True)]
        if min(sides) < LEAST_SIDE:
            problems.append(
                f"`skeleton_cell` {self.skeleton_cell} is {sides} pooled voxels; allowed are {LEAST_SIDE} along each "
                "side at least: give a larger one, or a smaller `skeleton_factor`"
            )
        return problems

"""The parameters of a products run."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from seuron.box import Box
from seuron.engine.pipeline import Source
from seuron.errors import did_you_mean
from seuron.params.fields import MOST_VOXELS, Corners, Names, Path, Size, Whole, checked_path, parameter
from seuron.pipelines.products.shape_params import ShapeParams

#: What can be made of a segmentation, each by the stage of the same name.
PRODUCTS = ("segment_table", "contacts", "meshes", "skeletons")
_ALLOWED = f"allowed are {', '.join(PRODUCTS)}"
#: Voxels of a cell at most: a task holds its labels, eight bytes each.
CELL_VOXELS = 2**30


class ProductsParams(ShapeParams):
    """A segmentation becomes what people use, any part of it alone."""

    segmentation: Annotated[str, AfterValidator(checked_path)] = parameter(
        ...,
        "Input",
        "labels, precomputed, OME-Zarr or N5, such as the layer `segmentation` of a run; 0 is no segment",
        examples=["file:///data/runs/first/segmentation"],
    )
    mip: Whole = parameter(0, "Input", "scale of the segmentation to work at; 0 is the finest", ge=0, le=63)
    affinities: Path = parameter(
        None,
        "Input",
        "affinities of the same voxels, such as the layer of a segmentation run, for the mean affinity of contacts; "
        "channels x, y, z, each of the edge to the voxel before",
    )
    affinities_mip: Whole = parameter(0, "Input", "scale of the affinities", ge=0, le=63)
    image: Path = parameter(
        None, "Input", "image that a viewer and the report show beneath the segments; nothing is computed from it"
    )
    bbox: Corners = parameter(
        None,
        "Input",
        "box to work on: x0, y0, z0, x1, y1, z1, the end not included; the whole segmentation when left out",
        unit="voxels",
    )
    missing_blocks: Literal["error", "zero"] = parameter(
        "error", "Input", "what a block that the input does not hold means: an error, or zeros"
    )
    products: Names = parameter(
        (), "Products", f"what is made, any of {', '.join(PRODUCTS)}; all of them when left out"
    )
    dust_threshold: Whole = parameter(
        0,
        "Products",
        "segments of fewer voxels are left out of what is shown of single segments; tables have all",
        ge=0,
        le=MOST_VOXELS,
        unit="voxels",
    )
    cell_size: Size = parameter(
        (512, 512, 256), "Cells", "cell that a task works on; the result does not depend on it", unit="voxels"
    )

    def wants(self, product: str) -> bool:
        """Whether a product is to be made."""
        return product in self.products or not self.products

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        problems = [
            f"`products`: {name!r} is none; {did_you_mean(name, PRODUCTS, _ALLOWED)}"
            for name in self.products
            if name not in PRODUCTS
        ]
        problems += self.shape_problems()
        if self.bbox is not None:
            problems += _box_problems(self.bbox)
        if math.prod(self.cell_size) > CELL_VOXELS:
            problems.append(
                f"`cell_size` {self.cell_size} is {math.prod(self.cell_size)} voxels; allowed are {CELL_VOXELS}"
            )
        if self.affinities is not None and not problems and not self.wants("contacts"):
            problems.append("`affinities` are for the product `contacts`; add it to `products`, or leave them out")
        if problems:
            raise ValueError("\n".join(problems))
        return self


def _box_problems(corners: tuple[int, int, int, int, int, int]) -> list[str]:
    if any(a >= b for a, b in zip(corners[:3], corners[3:], strict=True)):
        return [f"`bbox` is empty: {list(corners)}; each of x1, y1, z1 must be above x0, y0, z0"]
    voxels = Box.from_corners(corners).voxels
    return [f"`bbox` holds {voxels} voxels; a run may have {MOST_VOXELS}"] if voxels > MOST_VOXELS else []


def sources_of(params: ProductsParams) -> dict[str, Source]:
    """The volumes that a run reads."""
    found = {"segmentation": Source(params.segmentation, params.mip, params.missing_blocks)}
    if params.affinities is not None:
        found["affinities"] = Source(params.affinities, params.affinities_mip, params.missing_blocks)
    return found

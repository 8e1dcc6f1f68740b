"""The parameters of running a net over an image, which every pipeline that does so has."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from seuron.box import Box
from seuron.engine.pipeline import Source
from seuron.params.fields import (
    MOST_VOXELS,
    Corners,
    Number,
    Path,
    Size,
    Whole,
    checked_path,
    none_if_blank,
    parameter,
)
from seuron.params.run_parameters import RunParameters

#: Voxels of a patch, which the net holds some hundred bytes of each for, and of a block, which is one file.
PATCH_VOXELS, BLOCK_VOXELS = 2**27, 2**27
#: GiB of a task: more than any machine has.
MOST_MEMORY = 2**16

Grey = Annotated[Annotated[Number, Field(ge=0, le=255)] | None, BeforeValidator(none_if_blank)]
GreyDeviation = Annotated[Annotated[Number, Field(gt=0, le=255)] | None, BeforeValidator(none_if_blank)]
ModelName = Annotated[str, AfterValidator(checked_path)]
PatchSize = Annotated[Size | None, BeforeValidator(lambda value: None if value == "auto" else none_if_blank(value))]


class PredictParams(RunParameters):
    """An image, and a net that is run over it."""

    image: Path = parameter(None, "Input", "precomputed image", examples=["file:///data/demo/image"])
    mip: Whole = parameter(0, "Input", "scale of the input to work at; 0 is the finest", ge=0, le=63)
    bbox: Corners = parameter(
        None,
        "Input",
        "box to work on: x0, y0, z0, x1, y1, z1, the end not included; the whole input when left out",
        unit="voxels",
    )
    missing_blocks: Literal["error", "zero"] = parameter(
        "error", "Input", "what a block that the input does not hold means: an error, or zeros (counted in the report)"
    )
    block_size: Size = parameter((64, 64, 64), "Output", "storage block of the layers that are written", unit="voxels")
    model: ModelName = parameter(
        "boundary-fib25", "Net", "net: the name of a known one, or the path of a file or package"
    )
    model_resolution_limit: Number = parameter(
        0.25,
        "Net",
        "by how much the image's voxels may differ from those the net was trained on, on any axis: 0.25 is 25 %",
        ge=0,
        le=1000,
    )
    engine: Literal["auto", "torch", "onnx", "openvino"] = parameter(
        "auto", "Net", "library that runs the net; auto takes the fastest that is there, and the run keeps it"
    )
    precision: Literal["auto", "bf16", "fp32"] = parameter(
        "auto", "Net", "arithmetic of the net; auto takes bf16 where the processor has it"
    )
    normalisation: Literal["model", "sections"] = parameter(
        "model",
        "Net",
        "grey scale that the net sees: as the model says, most measure the volume's tissue; or one for each section, "
        "for sections of different contrast",
    )
    grey_mean: Grey = parameter(
        None,
        "Net",
        "mean grey value of the tissue, which the net sees as 0; with `grey_std` it takes the place of what is "
        "measured in the image when the run is prepared",
        unit="grey value",
    )
    grey_std: GreyDeviation = parameter(
        None, "Net", "standard deviation of the tissue's grey values; goes with `grey_mean`", unit="grey value"
    )
    patch_size: PatchSize = parameter(
        (96, 96, 96),
        "Net",
        "largest patch that the net sees at once; smaller ones are taken where they fit the image better; auto "
        "measures which is the fastest on this machine",
        unit="voxels",
    )
    patch_overlap: Size = parameter((16, 16, 16), "Net", "overlap of neighbouring patches", unit="voxels")
    patch_blending: Literal["blend", "crop"] = parameter(
        "blend",
        "Net",
        "where patches overlap: their mean, weighted by the distance from the border, or crop: the one whose middle is "
        "nearest",
    )
    augmentation: Literal["none", "flips", "all"] = parameter(
        "none",
        "Net",
        "mean over views of each patch: mirrored along each axis (eight times the work), x and y exchanged as well "
        "(sixteen times)",
    )
    batch_size: Whole = parameter(
        1, "Net", "patches that the net is given at once; worth more than 1 on a GPU only", ge=1, le=1024
    )
    task_memory: Number = parameter(4.0, "Chunks", "memory that one task may take", gt=0.5, le=MOST_MEMORY, unit="GiB")
    image_mask: Path = parameter(
        None, "Masks", "precomputed mask of the image: where it is 0 the net sees 0; what it masks whole is left out"
    )
    image_mask_mip: Whole = parameter(
        0, "Masks", "scale of the mask; its voxels are whole multiples of the image's", ge=0, le=63
    )
    invert_image_mask: bool = parameter(False, "Masks", "mask where the mask is not 0 instead")
    output_mask: Path = parameter(None, "Masks", "precomputed mask of the result: where it is 0 the result is 0")
    output_mask_mip: Whole = parameter(
        0, "Masks", "scale of the mask; its voxels are whole multiples of the image's", ge=0, le=63
    )
    invert_output_mask: bool = parameter(False, "Masks", "mask where the mask is not 0 instead")

    def box_problems(self) -> list[str]:
        """What is wrong with the box and the blocks, a sentence for each."""
        problems = []
        if self.bbox is not None and any(a >= b for a, b in zip(self.bbox[:3], self.bbox[3:], strict=True)):
            problems.append(f"`bbox` is empty: {list(self.bbox)}; each of x1, y1, z1 must be above x0, y0, z0")
        elif self.bbox is not None and Box.from_corners(self.bbox).voxels > MOST_VOXELS:
            problems.append(f"`bbox` has more than 2^61 voxels: {list(self.bbox)}; ids and edge indices are 64 bits")
        if math.prod(self.block_size) > BLOCK_VOXELS:
            size = math.prod(self.block_size)
            problems.append(f"`block_size` {self.block_size} is {size} voxels; allowed are {BLOCK_VOXELS}")
        return problems

    def net_problems(self) -> list[str]:
        """What does not fit together of the net's parameters, a sentence for each."""
        problems = []
        if (self.grey_mean is None) != (self.grey_std is None):
            problems.append("`grey_mean` and `grey_std` go together; give both or neither")
        elif self.grey_mean is not None and self.normalisation == "sections":
            problems.append("`grey_mean` is one for the volume, and `normalisation` is sections; leave one of them out")
        if self.patch_size is not None:
            problems += self._patch_problems(self.patch_size)
        for name in ("image_mask", "output_mask"):
            problems += [
                f"`{other}` is given, but no `{name}` that it would describe; leave it out"
                for other in (f"{name}_mip", f"invert_{name}")
                if getattr(self, name) is None and getattr(self, other) != type(self).model_fields[other].default
            ]
        return problems

    def _patch_problems(self, size: tuple[int, int, int]) -> list[str]:
        problems = []
        if any(2 * o > p for o, p in zip(self.patch_overlap, size, strict=True)):
            problems.append(f"`patch_overlap` {self.patch_overlap} is more than half of `patch_size` {size}")
        if math.prod(size) > PATCH_VOXELS:
            problems.append(f"`patch_size` {size} is {math.prod(size)} voxels; allowed are {PATCH_VOXELS}")
        return problems


#: Parameters that enter the keys of tasks as what they came to (`PredictionFacts`), or as fingerprints of blocks.
SOURCE_PARAMETERS = (
    *("image", "mip", "missing_blocks", "model", "engine", "precision", "grey_mean", "grey_std"),
    *("image_mask", "image_mask_mip", "output_mask", "output_mask_mip", "patch_size", "normalisation"),
)
#: Parameters that say how work is cut, or what is refused.
PLACE_PARAMETERS = ("bbox", "batch_size", "model_resolution_limit", "task_memory")
#: The parameters that the results of the stage depend on, beside those.
RESULT_PARAMETERS = (
    *("patch_overlap", "patch_blending", "augmentation", "block_size", "invert_image_mask", "invert_output_mask"),
)


def sources_of(params: PredictParams) -> dict[str, Source]:
    """The volumes that a net and its masks are read from, by the parameters that name them."""
    found = {}
    if params.image is not None:
        found["image"] = Source(params.image, params.mip, params.missing_blocks)
    if params.image_mask is not None:
        found["image_mask"] = Source(params.image_mask, params.image_mask_mip, "zero")
    if params.output_mask is not None:
        found["output_mask"] = Source(params.output_mask, params.output_mask_mip, "zero")
    return found

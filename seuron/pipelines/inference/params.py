"""The parameters of an inference run."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from seuron.params.fields import Names, Number, Size, checked_path, none_if_blank, parameter
from seuron.pipelines.stages.predict.params import PredictParams

#: Voxels of a chunk at most.
CHUNK_VOXELS = 2**31

Share = Annotated[Annotated[Number, Field(ge=0, le=1)] | None, BeforeValidator(none_if_blank)]


class InferenceParams(PredictParams):
    """A net is run over an image; each of its outputs becomes a layer."""

    image: Annotated[str, AfterValidator(checked_path)] = parameter(
        ..., "Input", "precomputed image", examples=["file:///data/demo/image"]
    )
    outputs: Names = parameter((), "Output", "outputs of the net that are written, by name; all of them when left out")
    output_dtype: Literal["uint8", "float32"] = parameter(
        "uint8", "Output", "how they are stored; uint8 is for outputs from 0 to 1, and counts as value/255"
    )
    chunk_size: Size = parameter(
        (256, 256, 256), "Chunks", "chunk that a task works on; the result does not depend on it", unit="voxels"
    )
    myelin_threshold: Share = parameter(
        None, "Masks", "where the net's channel `myelin` is above this, its other channels are 0; needs such a channel"
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        problems = self.box_problems() + self.net_problems()
        if math.prod(self.chunk_size) > CHUNK_VOXELS:
            size = math.prod(self.chunk_size)
            problems.append(f"`chunk_size` {self.chunk_size} is {size} voxels; allowed are {CHUNK_VOXELS}")
        if problems:
            raise ValueError("\n".join(problems))
        return self

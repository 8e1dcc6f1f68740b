"""What is known of a net without running it: its inputs, outputs, voxel size, patches, licence.

The same fields stand in the header of seuron's own files, in the TOML beside an ONNX or TorchScript file, and under
`config.seuron` of a BioImage Model Zoo package. All triples are along x, y, z. Loads no torch.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from seuron.box import Triple, triple
from seuron.params.fields import Number, Whole
from seuron.params.model import Parameters

Positive = Annotated[Whole, Field(ge=1, le=2**16)]
Sides = tuple[Positive, Positive, Positive]
Steps = tuple[Whole, Whole, Whole]
Length = Annotated[Number, Field(gt=0)]
VoxelSize = tuple[Length, Length, Length]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]

#: What undoes nothing: numbers that are what the layer holds already.
Activation = Literal["none", "sigmoid", "softmax"]


class Channel(Parameters):
    """One channel of an output.

    Attributes:
        name: such as `affinity-x`, `cleft`, `myelin`.
        offset: of an affinity: from the voxel to the one it is with, in voxels. `(-1, 0, 0)` is the one before along x.
    """

    name: Name
    offset: Steps | None = None


class OutputLayer(Parameters):
    """Channels of a net that make one layer of a volume.

    Attributes:
        name: of the layer, such as `affinities`.
        channels: in the order in which the net gives them.
        activation: what an engine does to the net's numbers; `softmax` is over the layer's channels.
        targets: the numbers that the net was trained towards for 0 and 1, which an engine undoes; None for (0, 1).
        range: the lowest and the highest value; an engine clips what leaves it.
    """

    name: Name
    channels: Annotated[tuple[Channel, ...], Field(min_length=1, max_length=512)]
    activation: Activation = "none"
    targets: tuple[Number, Number] | None = None
    range: tuple[Number, Number] = (0.0, 1.0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = []
        names = [channel.name for channel in self.channels]
        if len(set(names)) < len(names):
            problems.append(f"channels of {self.name} must have different names, got {', '.join(names)}")
        if self.targets is not None and self.targets[0] >= self.targets[1]:
            problems.append(f"targets of {self.name} must rise, got {self.targets}")
        if self.range[0] >= self.range[1]:
            problems.append(f"range of {self.name} must rise, got {self.range}")
        if problems:
            raise ValueError("; ".join(problems))
        return self


class InputScale(Parameters):
    """How stored grey values become what the net sees; done before an engine runs.

    Attributes:
        kind: `volume`: (value - mean) / std with those of the whole volume's tissue; `fixed`: with the ones given
            here; `percentiles`: the grey values at the percentiles `low` and `high` become 0 and 1; `none`.
        mean, std: of `fixed`, in stored grey values.
        low, high: of `percentiles`, 0 to 100.
    """

    kind: Literal["volume", "fixed", "percentiles", "none"] = "volume"
    mean: Number = 0.0
    std: Length = 1.0
    low: Annotated[Number, Field(ge=0, le=100)] = 1.0
    high: Annotated[Number, Field(ge=0, le=100)] = 99.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        return self


class PatchShapes(Parameters):
    """The patches that a net takes, in voxels.

    Attributes:
        default: what its authors ran it with, or what was fastest here.
        granularity: each side is `minimum` plus a multiple of this.
        minimum: the smallest.
        maximum: the largest; None where there is no limit. Equal to `minimum` of a net of one fixed shape.
    """

    default: Sides
    granularity: Sides = (1, 1, 1)
    minimum: Sides = (1, 1, 1)
    maximum: Sides | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = self.problems(self.default)
        if problems:
            raise ValueError("; ".join(f"default patch: {problem}" for problem in problems))
        return self

    def problems(self, patch: Triple) -> list[str]:
        """What keeps the net from running on patches of this shape, a sentence for each axis that is wrong."""
        most = self.maximum or (None, None, None)
        rows = zip("xyz", patch, self.granularity, self.minimum, most, strict=True)
        return [
            f"{side} voxels along {axis}; allowed are {_allowed(step, low, high)}"
            for axis, side, step, low, high in rows
            if side < low or (side - low) % step or (high is not None and side > high)
        ]


def _allowed(step: int, low: int, high: int | None) -> str:
    if low == high:
        return f"{low}"
    steps = [str(low + k * step) for k in range(3) if high is None or low + k * step <= high]
    return f"{', '.join(steps)}, ..." + (f", at most {high}" if high is not None else "")


class ChosenThresholds(Parameters):
    """What a segmentation with the net's affinities is best made with, and how good it is then.

    Attributes:
        watershed_high, watershed_low, watershed_size, watershed_dust, agglomeration_threshold: a run's parameters.
        chosen_on: the volumes that they were chosen on.
        voi_split, voi_merge, adapted_rand_error: the scores there.
    """

    watershed_high: Number
    watershed_low: Number
    watershed_size: Whole
    watershed_dust: Whole
    agglomeration_threshold: Number
    chosen_on: tuple[str, ...] = ()
    voi_split: Number
    voi_merge: Number
    adapted_rand_error: Number


class ModelDescription(Parameters):
    """A net, in words and numbers.

    Attributes:
        name: short; files and commands use it.
        description: a sentence.
        licence: its SPDX name or words.
        cite: papers and addresses, one each.
        inputs: what each input channel is, such as `image` or `image`, `cleft`.
        axes: of the net's own tensors: `b`, `c` and `x`, `y`, `z` in its order. Without `z` it is a net for sections.
        resolutions_nm: voxels that it was trained on; none where its makers do not say.
        scale: of the input.
        patch: the shapes it takes.
        margin: voxels at the border of a patch whose output is not to be used.
        outputs: the layers it makes, in the order of its channels.
        thresholds: those of a segmentation, where they were chosen; runs take them unless told otherwise.
        sha256: of the files that it is made of, in full; written by whoever reads them.
    """

    name: Name
    description: str = ""
    licence: str = ""
    cite: tuple[str, ...] = ()
    inputs: Annotated[tuple[Name, ...], Field(min_length=1, max_length=64)] = ("image",)
    axes: Annotated[str, BeforeValidator(lambda text: str(text))] = "bcxyz"
    resolutions_nm: tuple[VoxelSize, ...]
    scale: InputScale = InputScale()
    patch: PatchShapes
    margin: tuple[Whole, Whole, Whole] = (0, 0, 0)
    outputs: Annotated[tuple[OutputLayer, ...], Field(min_length=1, max_length=64)]
    thresholds: ChosenThresholds | None = None
    sha256: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = []
        if sorted(self.axes) not in (sorted("bcxyz"), sorted("bcxy")):
            problems.append(f"axes are {self.axes!r}; they must be b, c, x, y and z (or no z) in any order")
        elif "z" not in self.axes and (self.patch.granularity[2], self.patch.minimum[2]) != (1, 1):
            problems.append("a net without z takes any number of sections: patch granularity and minimum are 1")
        names = [layer.name for layer in self.outputs]
        if len(set(names)) < len(names):
            problems.append(f"outputs must have different names, got {', '.join(names)}")
        if any(m < 0 or 2 * m >= side for m, side in zip(self.margin, self.patch.default, strict=True)):
            problems.append(f"margin {self.margin} leaves nothing of the default patch {self.patch.default}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def channels(self) -> int:
        """How many channels an engine gives: those of all outputs."""
        return sum(len(layer.channels) for layer in self.outputs)


def small_patch(described: ModelDescription, side: int = 16) -> Triple:
    """The smallest patch with sides of about `side` voxels that the net takes."""
    patch = described.patch
    rows = zip(patch.minimum, patch.granularity, patch.maximum or (2**16,) * 3, strict=True)
    return triple([min(low + max(0, -(-(side - low) // step)) * step, most) for low, step, most in rows])

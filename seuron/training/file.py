"""What a training file says: volumes, the net, augmentations, the loss, the schedule, and how thresholds are chosen.

    out = "mine.safetensors"

    [[volumes]]
    image = "cube.h5:raw"
    labels = "cube.h5:labels"
    resolution = [10, 10, 10]
    box = [0, 0, 0, 250, 250, 100]

    [[volumes]]
    part = "validation"
    ...

Every table and every value but `out` and `volumes` may be left out. All triples are along x, y, z. Loads no torch.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from seuron.box import Box, triple
from seuron.params.fields import Corners, Number, Size, Whole
from seuron.params.model import Parameters
from seuron.params.typed_file import read_typed

Share = Annotated[Number, Field(ge=0, le=1)]
Count = Annotated[Whole, Field(ge=1, le=10**9)]
Length = Annotated[Number, Field(ge=0.1, le=1e5)]
Distances = Annotated[tuple[Annotated[Whole, Field(ge=1, le=256)], ...], Field(min_length=1, max_length=16)]
Widths = Annotated[tuple[Annotated[Whole, Field(ge=1, le=4096)], ...], Field(min_length=1, max_length=8)]


class Synthetic(Parameters):
    """Tissue that `seuron synth` makes.

    Attributes:
        seed: fixes every voxel.
        shape: voxels.
    """

    seed: Annotated[Whole, Field(ge=0, le=2**32)] = 0
    shape: Size = (192, 192, 128)


class LabelledSource(Parameters):
    """An image with dense labels, and what it is for.

    Attributes:
        image: a layer that seuron opens, or FILE.h5:dataset; uint8.
        labels: one id for each neurite; integers, of the same voxels.
        mask: not zero where labels are to be learned from; everywhere if left out.
        synthetic: instead of image and labels.
        name: in messages and records; the last part of the image's path if left out.
        resolution: nm of a voxel; what the layer says if left out.
        box: what is used, as corners x0, y0, z0, x1, y1, z1; everything if left out.
        weight: how often patches come from here, relative to the other volumes.
        zero: what label 0 means: `boundary` (membrane, extracellular space) or `unknown` (left out).
        part: `training`, or `validation`: read for scores and thresholds only.
    """

    image: str = ""
    labels: str = ""
    mask: str = ""
    synthetic: Synthetic | None = None
    name: str = ""
    resolution: tuple[Length, Length, Length] | None = None
    box: Corners = None
    weight: Annotated[Number, Field(ge=0)] = 1.0
    zero: Literal["boundary", "unknown"] = "boundary"
    part: Literal["training", "validation"] = "training"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.synthetic is None and not (self.image and self.labels):
            raise ValueError("give `image` and `labels`, or `synthetic`")
        if self.synthetic is not None and (self.image or self.labels or self.mask):
            raise ValueError("give `image` and `labels`, or `synthetic`, not both")
        return self

    @property
    def title(self) -> str:
        """What messages and records call it: no folder of a machine is in it."""
        return self.name or Path(self.image).name or f"synthetic {self.synthetic.seed if self.synthetic else 0}"

    @property
    def region(self) -> Box | None:
        """The box, if one is given."""
        return None if self.box is None else Box.from_corners(self.box)


class NetworkChoice(Parameters):
    """The net that is trained.

    Attributes:
        kind: `boundary`, three levels that are quick on a processor, or `residual-unet`, the petascale paper's.
        widths: channels of each level, finest first.
        offsets: distances, in voxels, of the affinities along x and y; the first is 1 and the one that runs use.
        section_offsets: those along z; the same if left out.
        flat_levels: how many of the first levels are pooled along x and y only; for thick sections.
        norm: `batch`, which is folded into the convolutions of a run, or `instance`.
        descriptors: local shape descriptors as ten more outputs, which train the net and are used by no run.
    """

    kind: Literal["boundary", "residual-unet"] = "boundary"
    widths: Widths = (16, 32, 64)
    offsets: Distances = (1, 3, 9)
    section_offsets: Distances | None = None
    flat_levels: Annotated[Whole, Field(ge=0, le=8)] = 0
    norm: Literal["batch", "instance"] = "batch"
    descriptors: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = []
        along_z = self.section_offsets or self.offsets
        if self.offsets[0] != 1 or along_z[0] != 1:
            problems.append("the first of `offsets` and `section_offsets` must be 1, the affinity that runs use")
        if len(along_z) != len(self.offsets):
            problems.append(f"`section_offsets` must be {len(self.offsets)} distances, as `offsets` are")
        if self.flat_levels >= len(self.widths):
            problems.append(f"`flat_levels` is {self.flat_levels}; {len(self.widths)} widths have one pooling fewer")
        if self.kind == "residual-unet" and self.flat_levels:
            problems.append("`flat_levels` is of the kind `boundary`: `residual-unet` never pools along z")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def granularity(self) -> tuple[int, int, int]:
        """A patch's sides must be multiples of this."""
        poolings = len(self.widths) - 1
        along_z = 0 if self.kind == "residual-unet" else poolings - self.flat_levels
        return triple([2**poolings, 2**poolings, 2**along_z])


class AugmentationChoice(Parameters):
    """Random changes of patches, each with the share of patches that have it.

    `misalignment`, `missing`, `misaligned_missing`, `lost` and `lost_missing` exclude one another.
    The counts and displacements are the petascale paper's; it gives no shares.

    Attributes:
        flip_rotate: mirrored along each axis, and turned where axes have voxels of one size.
        grey: brightness, contrast, gamma and noise.
        warp: rotated, sheared, twisted, scaled and stretched in perspective.
        misalignment: sections displaced from one section on (a step), or a single one (a slip).
        missing: blank sections: two neighbours, and single ones.
        misaligned_missing: a step inside of blank sections.
        lost: one to three sections taken out of image and labels.
        lost_missing: three sections become a blank one, whose labels are those of the middle one.
        out_of_focus: blurred sections.
        recontrasted: one plane of another contrast, or none, along any axis.
        displacements: the largest displacements of a misalignment, one of which is drawn, in voxels.
        slips: the share of misalignments that are slips; labels do not move with those (slip interpolation).
        single_sections: most single blank sections, and most sections out of focus.
    """

    flip_rotate: bool = True
    grey: Share = 1.0
    warp: Share = 0.0
    misalignment: Share = 0.0
    missing: Share = 0.0
    misaligned_missing: Share = 0.0
    lost: Share = 0.0
    lost_missing: Share = 0.0
    out_of_focus: Share = 0.0
    recontrasted: Share = 0.2
    displacements: Distances = (10, 30, 50)
    slips: Share = 0.3
    single_sections: Annotated[Whole, Field(ge=0, le=64)] = 7

    @property
    def exclusive(self) -> dict[str, float]:
        """The shares of those that exclude one another."""
        names = ("misalignment", "missing", "misaligned_missing", "lost", "lost_missing")
        return {name: float(getattr(self, name)) for name in names}

    @model_validator(mode="after")
    def _check(self) -> Self:
        total = sum(self.exclusive.values())
        if total > 1 + 1e-9:
            raise ValueError(f"{', '.join(self.exclusive)} exclude one another: their sum is {total:g}, at most 1")
        return self


class LossChoice(Parameters):
    """What is minimised: binary cross-entropy of affinities, and the squared error of descriptors.

    Attributes:
        margin: targets are `margin` and `1 - margin` (the inverse margin), which a run undoes.
        balance: `patch` gives both classes of each channel of each patch the same weight; `none` gives each voxel one.
        erosion: voxels that bodies are eroded by, on each side, along axes of the finest voxels.
        minimum_body: bodies of fewer voxels are left out.
        descriptors: weight of the descriptors' error.
        descriptor_sigma_nm: the size of the neighbourhood whose shape is described.
    """

    margin: Annotated[Number, Field(ge=0, lt=0.5)] = 0.1
    balance: Literal["patch", "none"] = "patch"
    erosion: Annotated[Whole, Field(ge=0, le=16)] = 1
    minimum_body: Annotated[Whole, Field(ge=0, le=10**9)] = 100
    descriptors: Annotated[Number, Field(ge=0)] = 1.0
    descriptor_sigma_nm: Length = 80.0


class Schedule(Parameters):
    """How long and how fast.

    Attributes:
        steps: optimiser steps.
        patch_size: voxels.
        batch: patches of each process whose gradients are computed at once.
        accumulation: batches of each process whose gradients are added up to a step.
        learning_rate: the peak, after warm-up; a cosine takes it to 1 %.
        warmup: steps of linear warm-up.
        weight_decay: AdamW's.
        clip_norm: largest norm of the gradient.
        average: decay of the moving average of the weights, which is what is saved; 0 saves the last weights.
        precision: `bf16` (mixed), `fp32`, or `auto`: bf16 where the processor or GPU multiplies it.
        seed: fixes everything random.
        threads: processor threads of each process.
        device: `cpu`, `cuda`, or `auto`: a GPU where there is one.
    """

    steps: Count = 1500
    patch_size: Size = (64, 64, 64)
    batch: Count = 2
    accumulation: Count = 1
    learning_rate: Annotated[Number, Field(gt=0, le=10)] = 2e-3
    warmup: Annotated[Whole, Field(ge=0)] = 50
    weight_decay: Annotated[Number, Field(ge=0, le=1)] = 1e-4
    clip_norm: Annotated[Number, Field(gt=0)] = 1.0
    average: Annotated[Number, Field(ge=0, lt=1)] = 0.999
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = 0
    threads: Annotated[Whole, Field(ge=1, le=1024)] = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"


class Watching(Parameters):
    """What is written and looked at on the way.

    Attributes:
        checkpoint_every: steps between checkpoints, which a training is continued from.
        keep: the newest checkpoints that are kept.
        validate_every: steps between losses of the validation part.
        validation_patches: patches of the validation part that its loss is measured on.
        patience: validations without a better loss after which the training ends; 0 never ends it early.
    """

    checkpoint_every: Count = 500
    keep: Count = 3
    validate_every: Count = 250
    validation_patches: Count = 8
    patience: Annotated[Whole, Field(ge=0)] = 0


class ThresholdChoice(Parameters):
    """How the watershed's and the agglomeration's thresholds are chosen on the validation part.

    Attributes:
        score: what is least: the sum of the variation of information, or the adapted Rand error.
        watershed_high, agglomeration: what is tried, each with each.
        watershed_low, watershed_size, watershed_dust: as a run's parameters of these names.
    """

    score: Literal["voi", "adapted_rand"] = "voi"
    watershed_high: Annotated[tuple[Share, ...], Field(min_length=1, max_length=32)] = (0.9, 0.98, 0.99)
    agglomeration: Annotated[tuple[Share, ...], Field(min_length=1, max_length=64)] = (
        *(0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6),
    )
    watershed_low: Share = 0.01
    watershed_size: Annotated[Whole, Field(ge=0)] = 200
    watershed_dust: Annotated[Whole, Field(ge=0)] = 50

    @model_validator(mode="after")
    def _check(self) -> Self:
        wrong = [high for high in self.watershed_high if high <= self.watershed_low]
        wrong_ones = ", ".join(map(str, wrong))
        if wrong:
            raise ValueError(f"`watershed_high` must be above `watershed_low` {self.watershed_low}, got {wrong_ones}")
        return self


class TrainingFile(Parameters):
    """A training: what goes in, what comes out, and everything in between.

    Attributes:
        out: the model that is written, `.safetensors`; checkpoints and curves lie beside it, in `OUT.training`.
        description, licence, cite: of the model, for its card.
        start: a model whose weights are taken to begin with: its name or path.
    """

    out: str
    description: str = ""
    licence: str = ""
    cite: tuple[str, ...] = ()
    start: str = ""
    volumes: Annotated[tuple[LabelledSource, ...], Field(min_length=1, max_length=1000)]
    network: NetworkChoice = NetworkChoice()
    augmentation: AugmentationChoice = AugmentationChoice()
    loss: LossChoice = LossChoice()
    schedule: Schedule = Schedule()
    watching: Watching = Watching()
    thresholds: ThresholdChoice = ThresholdChoice()

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = []
        if not self.out.endswith(".safetensors"):
            problems.append(f"`out` is {self.out!r}; models are written as .safetensors")
        if not re.match(r"[A-Za-z0-9]", Path(self.out).name):
            problems.append(f"`out` is {self.out!r}; a model's name begins with a letter or a digit")
        rows = zip("xyz", self.schedule.patch_size, self.network.granularity, strict=True)
        problems += [
            f"`schedule.patch_size` has {side} voxels along {axis}; this net takes multiples of {step}"
            for axis, side, step in rows
            if side % step
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def folder(self) -> Path:
        """Where checkpoints and curves lie."""
        return Path(self.out).with_suffix(".training")


def read_training_file(path: Path) -> TrainingFile:
    """The training that a TOML file describes; its paths are relative to the file.

    Raises:
        ParameterErrors: everything that is wrong with the file.
    """
    found = read_typed(TrainingFile, path, "the training file")
    folder = path.parent
    volumes = [
        source.model_copy(update={name: _beside(folder, getattr(source, name)) for name in ("image", "labels", "mask")})
        for source in found.volumes
    ]
    return found.model_copy(update={"out": _beside(folder, found.out), "volumes": tuple(volumes)})


def _beside(folder: Path, path: str) -> str:
    return path if not path or "://" in path else os.path.join(folder, path)  # noqa: PTH118  (FILE.h5:dataset is none)

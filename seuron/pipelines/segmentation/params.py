"""The parameters of a segmentation run."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from seuron.params.fields import (
    MOST_VOXELS,
    Corners,
    Number,
    Path,
    Size,
    Whole,
    checked_text,
    none_if_blank,
    parameter,
)
from seuron.params.json_values import check_depth, parse_json
from seuron.pipelines.stages.predict.params import MOST_MEMORY, PredictParams

if TYPE_CHECKING:
    from abiss_py import Constraint


#: Voxels of a chunk: indices of its edges, three to a voxel, are 32 bits.
CHUNK_VOXELS = (2**32 - 1) // 3
#: Characters of a list of rules, and names of classes: a column of every table is kept for each.
LONGEST_RULES, MOST_CLASSES = 100_000, 250


def _as_text(value: Any) -> Any:
    """A list of rules, as JSON settings give it, as the text that forms and shells send."""
    check_depth(value)
    return json.dumps(value) if isinstance(value, (list, tuple)) else none_if_blank(value)


def _as_names(value: Any) -> Any:
    """A list of names as the text `a,b,c`; spaces around names do not count."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
        return value
    return none_if_blank(",".join(word.strip() for word in words))


def _parsed_rules(text: str | None) -> tuple[Constraint, ...]:
    """The rules that a preset's name or a JSON list stands for; raises ValueError for what is neither."""
    if text is None:
        return ()
    from abiss_py import parse_constraints  # loads numba, which few users of parameters need

    return parse_constraints(parse_json(text) if text.lstrip().startswith("[") else text.strip())


def _checked_rules(text: str | None) -> str | None:
    _parsed_rules(text)
    return text


Text = Annotated[str, AfterValidator(checked_text)]
Rules = Annotated[
    Annotated[str, Field(max_length=LONGEST_RULES)] | None, BeforeValidator(_as_text), AfterValidator(_checked_rules)
]
ClassNames = Annotated[Text | None, BeforeValidator(_as_names)]


class SegmentationParams(PredictParams):
    """An image, or affinities made from one, becomes supervoxels and segments.

    Thresholds are affinities, 0 to 1, whatever the affinity layer's type: uint8 counts as value/255.
    """

    image: Path = parameter(
        None,
        "Input",
        "image to segment, precomputed, OME-Zarr or N5; affinities are predicted from it",
        examples=["file:///data/demo/image"],
    )
    affinities: Path = parameter(
        None,
        "Input",
        "affinities to use instead of predicting them: 3 channels, uint8 (value/255) or float32 from 0 to "
        "1, each voxel's with its neighbours at x-1, y-1 and z-1; other conventions are named by the parameters below",
    )
    affinity_channels: Literal["xyz", "xzy", "yxz", "yzx", "zxy", "zyx"] = parameter(
        "xyz", "Input", "the axis of each channel of `affinities`; many tools that work on z, y, x arrays write zyx"
    )
    affinity_edges: Literal["backward", "forward"] = parameter(
        "backward",
        "Input",
        "which neighbour the affinities of a voxel are with: backward, that before it along each axis, or forward, "
        "that behind it",
    )
    affinity_values: Literal["affinities", "boundaries"] = parameter(
        "affinities",
        "Input",
        "what a high value of `affinities` means: that two voxels are one object, or that a boundary is between them",
    )
    frame: Corners = parameter(
        None,
        "Input",
        "box that ids are counted in, as corners like `bbox`, which it holds; give one from the start to let "
        "`bbox` grow inside it with all ids kept; `bbox` itself when left out",
        unit="voxels",
    )
    ground_truth: Path = parameter(None, "Input", "labels to score the segmentation against; 0 is ignored")
    chunk_size: Size = parameter(
        (256, 256, 256), "Chunks", "chunk that is segmented at once; the result does not depend on it", unit="voxels"
    )
    batch_chunks: Whole = parameter(
        0,
        "Chunks",
        "chunks along each side of a task's batch, a power of two; 0 chooses by the volume's size and the workers",
        ge=0,
        le=2**10,
        unit="chunks",
    )
    task_memory: Number = parameter(
        4.0,
        "Chunks",
        "memory that one task of the watershed or the agglomeration may take; what needs more is shared out to several",
        gt=0.5,
        le=MOST_MEMORY,
        unit="GiB",
    )
    affinity_dtype: Literal["uint8", "float32"] = parameter(
        "uint8", "Affinities", "how predicted affinities are stored"
    )
    thresholds: Literal["model", "given"] = parameter(
        "model",
        "Watershed",
        "where thresholds and sizes of watershed and agglomeration are from that are left at their default: the model, "
        "if some were chosen when it was trained (the plan and the report say which); given takes all as they are",
    )
    watershed_high: Number = parameter(
        0.99, "Watershed", "voxels joined by an affinity of at least this are one basin", ge=0, le=1
    )
    watershed_low: Number = parameter(0.01, "Watershed", "affinities of at most this never join anything", ge=0, le=1)
    watershed_size: Whole = parameter(
        200,
        "Watershed",
        "basins smaller than this are absorbed by their best neighbour",
        ge=0,
        le=MOST_VOXELS,
        unit="voxels",
    )
    watershed_dust: Whole = parameter(
        50, "Watershed", "supervoxels still smaller than this become background", ge=0, le=MOST_VOXELS, unit="voxels"
    )
    agglomeration_threshold: Number = parameter(
        0.25, "Agglomeration", "supervoxels are joined while their contact's mean affinity is above this", ge=0, le=1
    )
    constraints: Rules = parameter(
        None,
        "Agglomeration",
        "rules that forbid joins: a preset (macrina2021, abiss2026) or a JSON list of rules (docs/constraints.md)",
        examples=["abiss2026", "macrina2021"],
    )
    semantic: Path = parameter(
        None, "Agglomeration", "labels with a class number for every voxel, 0 for none, that rules look at"
    )
    semantic_classes: ClassNames = parameter(
        None, "Agglomeration", "the names of class 1, 2, ... of `semantic`, for example axon,dendrite,soma,glia"
    )

    edits: Path = parameter(
        None,
        "Agglomeration",
        "what proofreaders decided: a JSON list of merges and splits, or a filled in table of the proofreading queue "
        "(docs/proofreading.md); carried out behind the agglomeration",
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        problems = []
        if (self.image is None) == (self.affinities is None):
            given = "both" if self.image is not None else "neither"
            problems.append(f"give one of `image` and `affinities`, got {given}")
        if self.watershed_low >= self.watershed_high:
            problems.append(
                f"`watershed_low` must be below `watershed_high`, got {self.watershed_low} and {self.watershed_high}"
            )
        problems += self.box_problems()
        problems += _frame_problems(self.frame, self.bbox)
        if self.batch_chunks & (self.batch_chunks - 1):
            problems.append(f"`batch_chunks` must be 0 or a power of two, got {self.batch_chunks}")
        if 0 < self.agglomeration_threshold < 2**-30:
            problems.append(
                f"`agglomeration_threshold` must be 0 or at least 2^-30, got {self.agglomeration_threshold}"
            )
        problems += self._semantic_problems()
        problems += self._too_many_voxels()
        problems += self.net_problems()
        problems += self._conventions_of_no_affinities()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _semantic_problems(self) -> list[str]:
        problems, names = [], self.class_names
        if (self.semantic is None) != (self.semantic_classes is None):
            problems.append("`semantic` and `semantic_classes` go together; give both or neither")
        if self.semantic is not None and self.constraints is None:
            problems.append("`semantic` is given, but no `constraints` that would look at it")
        if len(names) > MOST_CLASSES:
            problems.append(f"`semantic_classes` are {len(names)} names; allowed are {MOST_CLASSES}")
        elif "" in names or len(set(names)) < len(names):
            problems.append(f"`semantic_classes` must be different names, got {', '.join(map(repr, names))}")
        return problems

    def _conventions_of_no_affinities(self) -> list[str]:
        names = ("affinity_channels", "affinity_edges", "affinity_values")
        if self.affinities is not None:
            return []
        return [
            f"`{name}` is {getattr(self, name)}, but there are no `affinities` that it would describe; leave it out"
            for name in names
            if getattr(self, name) != type(self).model_fields[name].default
        ]

    def _too_many_voxels(self) -> list[str]:
        size = math.prod(self.chunk_size)
        return [f"`chunk_size` {self.chunk_size} is {size} voxels; allowed are {CHUNK_VOXELS}"] * (size > CHUNK_VOXELS)

    @property
    def rules(self) -> tuple[Constraint, ...]:
        """The constraints of the agglomeration."""
        return _parsed_rules(self.constraints)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the semantic classes 1, 2, ..."""
        return tuple(self.semantic_classes.split(",")) if self.semantic_classes else ()

    @property
    def rule_columns(self) -> int:
        """How many numbers there are of each cluster for rules to look at; none without rules."""
        return 3 + len(self.class_names) if self.rules else 0


def _voxels(corners: tuple[int, ...]) -> int:
    return math.prod(b - a for a, b in zip(corners[:3], corners[3:], strict=True))


def _frame_problems(frame: tuple[int, ...] | None, bbox: tuple[int, ...] | None) -> list[str]:
    if frame is None:
        return []
    if any(a >= b for a, b in zip(frame[:3], frame[3:], strict=True)):
        return [f"`frame` is empty: {list(frame)}; each of x1, y1, z1 must be above x0, y0, z0"]
    if _voxels(frame) > MOST_VOXELS:
        return [f"`frame` has more than 2^61 voxels: {list(frame)}; ids and edge indices are 64 bits"]
    if bbox is not None and any(f > b for f, b in zip((*frame[:3], *bbox[3:]), (*bbox[:3], *frame[3:]), strict=True)):
        return [f"`frame` {list(frame)} must hold `bbox`, got {list(bbox)}"]
    return []

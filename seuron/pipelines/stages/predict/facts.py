"""How the net of a run is run: found and chosen once, when the run is prepared, and the same for all of its tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from seuron.box import Box, Triple
from seuron.errors import RunError
from seuron.pipelines.stages.predict.cells import Cells
from seuron.pipelines.stages.predict.masks import MaskFacts

if TYPE_CHECKING:
    from seuron.engine.run import Run
    from seuron.nets.normalisation import GreyScale
    from seuron.nets.patches import PatchGrid


@dataclass(frozen=True)
class WantedChannels:
    """The channels of a net that make each layer, by its name, and that which makes others 0 (`masking`)."""

    outputs: dict[str, tuple[int, ...]]
    masking: int | None = None

    @property
    def channels(self) -> tuple[int, ...]:
        """All of them, each once."""
        used = {channel for channels in self.outputs.values() for channel in channels}
        return tuple(sorted(used | ({self.masking} if self.masking is not None else set())))


@dataclass(frozen=True)
class PredictionFacts:
    """What all tasks of a run must have alike.

    Attributes:
        image: bounds of the whole image, which anchor the patches.
        cell: voxels of the boxes that tasks work on.
        origin: where the cells begin.
        net: the digest of the model's files.
        engine, precision: what runs it, and in which arithmetic.
        patch_size, patch_overlap, patch_margin: of the patches, as they fit the image.
        outputs: the channels of the net that each layer is made of, by the layer's name.
        value_range: the lowest and the highest number of these channels.
        masking: the channel of the net, such as myelin, that makes others 0 where it is high; None where there is none.
        grey_mean, grey_std: the grey scale of the volume.
        sections: the grey scale (mean, deviation) of each section from `first_section` on, where each has its own.
        masks: the masks, by the parameters that name them.
    """

    image: Box
    cell: Triple
    origin: Triple
    net: str
    engine: Literal["torch", "onnx", "openvino"]
    precision: Literal["bf16", "fp32"]
    patch_size: Triple
    patch_overlap: Triple
    patch_margin: Triple
    outputs: dict[str, tuple[int, ...]]
    value_range: tuple[float, float] = (0.0, 1.0)
    masking: int | None = None
    grey_mean: float = 0.0
    grey_std: float = 1.0
    first_section: int = 0
    sections: tuple[tuple[float, float], ...] = ()
    masks: dict[str, MaskFacts] = field(default_factory=dict)

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels of the net that are added up, each once."""
        return WantedChannels(self.outputs, self.masking).channels

    @property
    def scale(self) -> GreyScale:
        """The grey scale that the net sees."""
        from seuron.nets.normalisation import Normalisation, SectionNormalisation

        if self.sections:
            return SectionNormalisation(self.first_section, tuple(Normalisation(*pair) for pair in self.sections))
        return Normalisation(self.grey_mean, self.grey_std)


def prediction_of(run: Run[Any, Any]) -> PredictionFacts:
    """How a run's net is run; raises RunError for a run of a version that did not write it down."""
    facts: PredictionFacts | None = run.facts.prediction
    if facts is None:
        raise RunError(
            f"the run in {run.output} does not say how its net is run; start it again, with the same parameters"
        )
    return facts


def grid_of(params: Any, facts: PredictionFacts) -> PatchGrid:
    """The patches of a run's image."""
    from seuron.nets.patches import PatchGrid

    return PatchGrid(facts.image, facts.patch_size, facts.patch_overlap, facts.patch_margin, params.patch_blending)


def cells_of(params: Any, facts: Any) -> Cells:
    """The cells of a run, from its parameters and facts."""
    prediction: PredictionFacts = facts.prediction
    grid = grid_of(params, prediction)
    return Cells(grid, facts.box, prediction.cell, prediction.origin, params.block_size)

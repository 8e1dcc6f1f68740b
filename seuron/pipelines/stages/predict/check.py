"""What is found of a run's net before its first task, and a sentence for each thing that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from seuron.box import Box, Triple
from seuron.engine.plan import BASE_BYTES
from seuron.engine.run import Run
from seuron.errors import PermanentError, SeuronError
from seuron.nets.augmented_views import views_of
from seuron.nets.engines import Engine, load_engine
from seuron.nets.models import ModelDescription, known_descriptions, shipped_models
from seuron.nets.models.fit import resolution_problems
from seuron.nets.models.model_file import models_folder
from seuron.nets.normalisation import Normalisation, measure_sections
from seuron.nets.patch_choice import fastest_patch, measured_patches
from seuron.nets.patches import PatchGrid
from seuron.nets.predict import model_scale, offsets_of, value_range
from seuron.pipelines.stages.predict.facts import PredictionFacts, WantedChannels
from seuron.pipelines.stages.predict.masks import MASKS, MaskFacts, mask_factor
from seuron.pipelines.stages.predict.params import PredictParams
from seuron.storage.allowed_paths import path_problems
from seuron.volumes import Volume, open_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The types that an image may have.
IMAGE_TYPES = ("uint8",)


#: What is wanted of a net; sentences of what it lacks are added to the list.
Wanted = Callable[[ModelDescription, list[str]], WantedChannels]


def image_problems(image: Volume) -> list[str]:
    """What keeps a volume from being an image."""
    problems = []
    if image.channels != 1:
        problems.append(f"`image`: {image.path} has {image.channels} channels; expected 1")
    if str(image.dtype) not in IMAGE_TYPES:
        problems.append(
            f"`image`: {image.path} holds {image.dtype} voxels; allowed are {', '.join(IMAGE_TYPES)}. Make it "
            "uint8: seuron import IMAGE LAYER --window auto"
        )
    return problems


def prediction_facts(
    params: PredictParams,
    image: Volume,
    box: Box,
    cells: tuple[Triple, Triple],
    wanted: Wanted,
    before: Run[Any, Any] | None,
    problems: list[str],
) -> PredictionFacts | None:
    """How a run's net is run.

    Args:
        params: the run's.
        image: at the run's scale.
        box: the run's.
        cells: voxels of a cell, and where the cells begin.
        wanted: which of the net's channels make which layer.
        before: the run that lies in the output folder already, which keeps what was chosen at its first start.
        problems: gets a sentence for each thing that is wrong.

    Returns:
        None where the net cannot be run, or the image is none.
    """
    count = len(problems)
    kept: PredictionFacts | None = None if before is None else before.facts.prediction
    engine = _engine(params, kept if _same(before, params, "precision", "engine", "model") else None, problems)
    if engine is None or image_problems(image):
        return None
    described = engine.description
    problems += _resolution_problems(params, image, described)
    chosen = wanted(described, problems)
    patches = kept if _same(before, params, "patch_size", "patch_overlap") else None
    grid = _grid(params, image.box, engine, patches, problems)
    masks = _masks(params, image, box, problems)
    if len(problems) > count or grid is None:
        return None
    problems += _augmentation_problems(params, described, chosen.channels, grid.patch_size)
    facts = PredictionFacts(
        image=image.box,
        cell=cells[0],
        origin=cells[1],
        net=described.sha256,
        engine=engine.name,
        precision=engine.precision,
        patch_size=grid.patch_size,
        patch_overlap=grid.overlap,
        patch_margin=grid.margin,
        outputs=chosen.outputs,
        masking=chosen.masking,
        value_range=value_range(described, chosen.channels),
        masks=masks,
    )
    same_scale = kept is not None and _same(before, params, "normalisation", "model", "grey_mean", "grey_std")
    return _with_scale(facts, params, image, box, described, kept if same_scale else None, problems)


def _same(before: Run[Any, Any] | None, params: PredictParams, *names: str) -> bool:
    return before is not None and all(getattr(before.params, name) == getattr(params, name) for name in names)


def _engine(params: PredictParams, kept: PredictionFacts | None, problems: list[str]) -> Engine | None:
    """The net, loaded as tasks will load it; None, with the reason, where it cannot be."""
    refused = path_problems("model", params.model, "input") if params.model not in shipped_models() else []
    if refused:
        problems += refused
        return None
    name = kept.engine if kept is not None else params.engine
    precision = kept.precision if kept is not None else params.precision
    try:
        engine = load_engine(params.model, engine=name, precision=precision)
    except SeuronError as error:
        problems.append(f"`model`: {error}")
        return None
    inputs = engine.description.inputs
    if len(inputs) != 1:
        problems.append(f"`model`: {params.model} takes {', '.join(inputs)}; a net of one input, the image, is needed")
        return None
    return engine


def _resolution_problems(params: PredictParams, image: Volume, described: ModelDescription) -> list[str]:
    """Why the net is not for voxels like the image's, and what would be."""
    scales = {mip: open_volume(image.path, mip).resolution_nm for mip in range(image.scales)}
    others = [found for found in known_descriptions() if found.name != described.name]
    return resolution_problems(described, scales, params.mip, params.model_resolution_limit, others)


def _grid(
    params: PredictParams, image: Box, engine: Engine, kept: PredictionFacts | None, problems: list[str]
) -> PatchGrid | None:
    """The patches that fit the image: as large as was asked for, or as is fastest here."""
    described = engine.description
    try:
        largest = params.patch_size or _fastest(params, image, engine, kept)
    except PermanentError as error:
        problems.append(f"`patch_size`: {error}")
        return None
    wrong = described.patch.problems(largest)
    if wrong:
        problems.append(f"`patch_size`: got {largest} for the net {described.name}: {'; '.join(wrong)}")
        return None
    try:
        return PatchGrid.fitted(
            image,
            largest,
            params.patch_overlap,
            step=described.patch.granularity,
            least=described.patch.minimum,
            margin=described.margin,
            blending=params.patch_blending,
        )
    except PermanentError as error:
        problems.append(f"`patch_overlap`: {error}")
        return None


def _fastest(params: PredictParams, image: Box, engine: Engine, kept: PredictionFacts | None) -> Triple:
    """The patch that is fastest on this machine; a run that goes on has that of its first start."""
    if kept is not None and kept.net == engine.description.sha256:
        return kept.patch_size
    measured = measured_patches(engine, models_folder() / "patches")
    memory = int(params.task_memory * 2**30) - BASE_BYTES
    return fastest_patch(measured, image, params.patch_overlap, engine.description, memory)


def _augmentation_problems(
    params: PredictParams, described: ModelDescription, channels: tuple[int, ...], patch: Triple
) -> list[str]:
    try:
        views_of(params.augmentation, offsets_of(described, channels))
    except PermanentError as error:
        return [f"`augmentation`: {error}"]
    turned = described.patch.problems((patch[1], patch[0], patch[2])) if params.augmentation == "all" else []
    return [f"`augmentation`: x and y of a patch change places: {'; '.join(turned)}; use flips"] if turned else []


def _masks(params: PredictParams, image: Volume, box: Box, problems: list[str]) -> dict[str, MaskFacts]:
    found = {}
    for name in MASKS:
        path, mip = getattr(params, name), getattr(params, f"{name}_mip")
        if path is None:
            continue
        try:
            mask = open_volume(path, mip)
        except SeuronError as error:
            problems.append(f"`{name}`: {error}")
            continue
        factor = mask_factor(mask.resolution_nm, image.resolution_nm)
        if factor is None:
            problems.append(
                f"`{name}`: its voxels are {mask.resolution_nm} nm, those of the image {image.resolution_nm} nm; give "
                f"a mask, or a `{name}_mip`, whose voxels are whole multiples of the image's"
            )
        elif mask.channels != 1 or mask.dtype.kind not in "ui":
            problems.append(
                f"`{name}`: {mask.path} holds {mask.channels} x {mask.dtype}; expected one integer a voxel, 0 or not"
            )
        elif MaskFacts(factor, mask.box).seen(box).voxels == 0:
            problems.append(f"`{name}`: its box {mask.box}, of voxels {factor} times the image's, does not meet {box}")
        else:
            found[name] = MaskFacts(factor, mask.box)
    return found


def _with_scale(
    facts: PredictionFacts,
    params: PredictParams,
    image: Volume,
    box: Box,
    described: ModelDescription,
    kept: PredictionFacts | None,
    problems: list[str],
) -> PredictionFacts:
    """The grey scale: as it was given, as it was at the first start, as the model has it, or measured."""

    def read(part: Box) -> NDArray[Any]:
        return image.read(part, missing=params.missing_blocks)[..., 0]

    try:
        if params.grey_mean is not None and params.grey_std is not None:
            volume = Normalisation(params.grey_mean, params.grey_std)
        elif kept is not None:
            volume = Normalisation(kept.grey_mean, kept.grey_std)
        else:
            volume = model_scale(described, read, box)
    except PermanentError as error:
        problems.append(
            f"`image`: {error}. Give a `bbox` with tissue, or the tissue's `grey_mean` and `grey_std` (0 to 255)"
        )
        return facts
    facts = replace(facts, grey_mean=volume.mean, grey_std=volume.std)
    return facts if params.normalisation == "model" else _with_sections(facts, box, read, volume, kept)


def _with_sections(
    facts: PredictionFacts,
    box: Box,
    read: Callable[[Box], NDArray[Any]],
    volume: Normalisation,
    kept: PredictionFacts | None,
) -> PredictionFacts:
    """A grey scale for each section of the run's box; those of a run that has grown are kept."""
    known = {} if kept is None else dict(enumerate(kept.sections, kept.first_section))
    low, high = box.minimum[2], box.maximum[2]
    missing = [z for z in range(low, high) if z not in known]
    if missing:
        (x0, y0, _), (x1, y1, _) = box.minimum, box.maximum
        found = measure_sections(read, Box((x0, y0, missing[0]), (x1, y1, missing[-1] + 1)), volume)
        known = {**{found.first + i: (s.mean, s.std) for i, s in enumerate(found.scales)}, **known}
    return replace(facts, first_section=low, sections=tuple(known[z] for z in range(low, high)))

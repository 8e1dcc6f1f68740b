"""The file that a training ends with, and the card beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seuron.nets.models import ChosenThresholds, ModelDescription, PatchShapes
from seuron.nets.models.own_format import Weights, boundary_description
from seuron.training.file import TrainingFile
from seuron.training.loop import TrainingResult
from seuron.training.networks import TrainableNet
from seuron.training.volumes import TrainingVolume


def trained_weights(
    training: TrainingFile,
    volumes: Sequence[TrainingVolume],
    result: TrainingResult,
    thresholds: ChosenThresholds | None,
) -> Weights:
    """What the model's file holds: the same bytes for the same training, so neither times nor folders."""
    net = TrainableNet.of(training.network)
    arrays = {name: tensor.numpy() for name, tensor in result.state.items()}
    described = _description(training, volumes, net).model_copy(update={"thresholds": thresholds})
    return Weights(described, net.header, arrays, training_record(training, volumes, result))


def training_record(
    training: TrainingFile, volumes: Sequence[TrainingVolume], result: TrainingResult
) -> dict[str, Any]:
    """How the model was made, JSON-ready."""
    recipe = training.model_dump(
        mode="json", include={"network", "augmentation", "loss", "schedule", "watching", "thresholds"}
    )
    recipe["volumes"] = [volume.described() for volume in volumes]
    recipe["voxels_sha256"] = [volume.digest() for volume in volumes]
    recipe["resolutions_nm"] = _resolutions(volumes)
    recipe["start"] = Path(training.start).name
    last = result.losses[-50:]
    return {
        "recipe": recipe,
        "steps": result.steps,
        "chosen_step": result.chosen_step,
        "final_loss": sum(last) / len(last) if last else None,
        "validation_losses": [list(pair) for pair in result.validations],
    }


def write_card(path: Path, training: TrainingFile, weights: Weights, seconds: float) -> None:
    """Write the card, Markdown: what the net is, of what it was made, how good it is, and how it is used."""
    described, record = weights.description, weights.record
    recipe, schedule = record["recipe"], training.schedule
    lines = [
        f"# {described.name}",
        "",
        training.description or described.description,
        "",
        f"- Licence: {described.licence or 'not stated'}",
        *(f"- {reference}" for reference in described.cite),
        f"- Voxels: {' and '.join(' x '.join(f'{nm:g}' for nm in voxel) for voxel in described.resolutions_nm)} nm",
        f"- Network: {training.network.kind}, widths {', '.join(map(str, training.network.widths))}",
        f"- Begun with: {recipe['start'] or 'weights drawn at random'}",
        f"- Steps: {record['steps']} of {schedule.patch_size} voxels, {schedule.batch * schedule.accumulation} patches "
        f"a step and process; the weights are those after step {record['chosen_step']}",
        f"- Loss of the last 50 steps: {record['final_loss']:.4f}",
        f"- Time of the last start: {seconds:.0f} s",
        "",
        "## Volumes",
        "",
        *(f"- {line}" for line in recipe["volumes"]),
        "",
        "## As a segmentation",
        "",
        *_score_lines(described.thresholds),
        "",
        "## Use",
        "",
        "```",
        f"seuron run segmentation image=... model={path.with_suffix('.safetensors').name} output=...",
        "```",
        "",
    ]
    path.write_text("\n".join(lines))


def _score_lines(thresholds: ChosenThresholds | None) -> list[str]:
    if thresholds is None:
        return ["Not scored: the training had no validation part."]
    return [
        f"Thresholds were chosen on {'; '.join(thresholds.chosen_on)}, so the scores there are a little too good.",
        "",
        "| watershed_high | agglomeration_threshold | VOI split | VOI merge | adapted Rand error |",
        "|---|---|---|---|---|",
        f"| {thresholds.watershed_high:g} | {thresholds.agglomeration_threshold:g} | {thresholds.voi_split:.3f} "
        f"| {thresholds.voi_merge:.3f} | {thresholds.adapted_rand_error:.4f} |",
    ]


def _description(training: TrainingFile, volumes: Sequence[TrainingVolume], net: TrainableNet) -> ModelDescription:
    choice, margin = training.network, training.loss.margin
    plain = boundary_description(
        Path(training.out).stem,
        len(choice.widths),
        _resolutions(volumes),
        training.licence,
        choice.flat_levels if choice.kind == "boundary" else len(choice.widths) - 1,
    )
    targets = (margin, 1 - margin) if margin else None
    steps = choice.granularity
    patch = PatchShapes(default=plain.patch.default, granularity=steps, minimum=steps)
    return plain.model_copy(
        update={
            "description": training.description or plain.description,
            "cite": training.cite,
            "axes": net.axes,
            "patch": patch,
            "outputs": (plain.outputs[0].model_copy(update={"targets": targets}),),
        }
    )


def _resolutions(volumes: Sequence[TrainingVolume]) -> list[tuple[float, float, float]]:
    found = {volume.resolution for volume in volumes if volume.part == "training"}
    return sorted((float(x), float(y), float(z)) for x, y, z in found)

"""Thresholds that were chosen when a run's net was trained take the place of those that were left at their default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seuron.errors import SeuronError
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.storage.allowed_paths import path_problems

if TYPE_CHECKING:
    from seuron.nets.models import ChosenThresholds

#: The parameters that a training chooses, or has kept.
THRESHOLDS = (
    "watershed_high",
    "watershed_low",
    "watershed_size",
    "watershed_dust",
    "agglomeration_threshold",
)


def with_model_thresholds(params: SegmentationParams) -> SegmentationParams:
    """The parameters with the thresholds of their net; themselves where it has none, or `thresholds` is `given`.

    A value that is not the default was given, and stays. Done twice it is the same as done once.
    """
    chosen = _chosen(params)
    if chosen is None:
        return params
    left = [name for name in THRESHOLDS if getattr(params, name) == SegmentationParams.model_fields[name].default]
    found = params.model_copy(update={name: getattr(chosen, name) for name in left})
    # One that was given and one of the net may contradict each other: then all are as they were given.
    return found if found.watershed_low < found.watershed_high else params


def threshold_notes(params: SegmentationParams) -> list[str]:
    """Where the thresholds of a run are from, in a sentence; none where its net has none."""
    chosen = _chosen(params)
    if chosen is None:
        return []
    same = [name for name in THRESHOLDS if getattr(params, name) == getattr(chosen, name)]
    values = ", ".join(f"{name} {getattr(params, name):g}" for name in same)
    scores = f"VOI {chosen.voi_split:.3f} + {chosen.voi_merge:.3f}, adapted Rand error {chosen.adapted_rand_error:.4f}"
    where = "; ".join(chosen.chosen_on)
    return [f"From the model {params.model}: {values or 'no threshold'}; chosen on {where}: {scores}."]


def _chosen(params: SegmentationParams) -> ChosenThresholds | None:
    if params.image is None or params.thresholds == "given":
        return None
    from seuron.nets.models import describe, shipped_models

    if params.model not in shipped_models() and path_problems("model", params.model, "input"):
        return None  # nothing is looked at there; the checks say so
    try:
        return describe(params.model).thresholds
    except SeuronError:  # the checks say what is wrong with it
        return None

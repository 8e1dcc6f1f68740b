"""A net is scored by the segmentation that is made of its affinities: thresholds chosen on the validation part."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seuron.evaluation import Scores, contingency, scores
from seuron.nets.engines import load_engine
from seuron.nets.models import ChosenThresholds
from seuron.nets.predict import predict_volume, to_uint8
from seuron.training.file import Schedule, ThresholdChoice
from seuron.training.volumes import TrainingVolume, labelled_voxels

log = logging.getLogger(__name__)

#: Voxels that neighbouring patches share, at most.
OVERLAP = 16

Affinities = npt.NDArray[np.uint8]


def predicted_affinities(model: Path, volumes: Sequence[TrainingVolume], schedule: Schedule) -> list[Affinities]:
    """What a model says of volumes, uint8 `(X, Y, Z, 3)`, as a run would store it."""
    engine = load_engine(model, "torch", device=schedule.device, threads=schedule.threads)
    patch = engine.description.patch.default
    x, y, z = (min(OVERLAP, side // 4) for side in patch)
    return [
        to_uint8(predict_volume(engine, volume.image, volume.normalisation(), patch, (x, y, z))) for volume in volumes
    ]


def choose_thresholds(
    choice: ThresholdChoice, volumes: Sequence[TrainingVolume], affinities: Sequence[Affinities]
) -> ChosenThresholds:
    """The thresholds with the least mean score over volumes, weighted by their voxels.

    Args:
        choice: what is tried, and by which score.
        volumes: of the validation part; what is masked or not labelled counts for nothing.
        affinities: of each volume, uint8 `(X, Y, Z, 3)`.
    """
    truths = [np.where(labelled_voxels(volume, 0), volume.labels, 0) for volume in volumes]
    tried: list[ChosenThresholds] = []
    for high in choice.watershed_high:
        for threshold in choice.agglomeration:
            found = [
                _scores(choice, values, truth, high, threshold)
                for values, truth in zip(affinities, truths, strict=True)
            ]
            tried.append(_mean(choice, volumes, found, high, threshold))
    best = min(tried, key=lambda one: score_of(choice, one))
    log.info(
        "thresholds: watershed_high %g, agglomeration_threshold %g: VOI %.3f + %.3f, adapted Rand error %.4f",
        *(best.watershed_high, best.agglomeration_threshold, best.voi_split, best.voi_merge, best.adapted_rand_error),
    )
    return best


def score_of(choice: ThresholdChoice, chosen: ChosenThresholds) -> float:
    """The number that is least at the chosen thresholds."""
    return chosen.voi_split + chosen.voi_merge if choice.score == "voi" else chosen.adapted_rand_error


def _scores(
    choice: ThresholdChoice, values: Affinities, truth: npt.NDArray[np.uint32], high: float, threshold: float
) -> Scores:
    from abiss_py import segment  # loads numba

    found = segment(
        values,
        high=high,
        low=choice.watershed_low,
        size=choice.watershed_size,
        dust=choice.watershed_dust,
        threshold=threshold,
    )
    return scores(contingency(found.segments, truth))


def _mean(
    choice: ThresholdChoice, volumes: Sequence[TrainingVolume], found: list[Scores], high: float, threshold: float
) -> ChosenThresholds:
    """The mean of volumes' scores, weighted by the voxels that count."""
    shares = np.array([one.voxels for one in found], np.float64)
    names = ("voi_split", "voi_merge", "adapted_rand_error")
    means = {name: float(np.average([getattr(one, name) for one in found], weights=shares)) for name in names}
    return ChosenThresholds(
        watershed_high=high,
        watershed_low=choice.watershed_low,
        watershed_size=choice.watershed_size,
        watershed_dust=choice.watershed_dust,
        agglomeration_threshold=threshold,
        chosen_on=tuple(volume.described() for volume in volumes),
        **{name: round(value, 6) for name, value in means.items()},
    )

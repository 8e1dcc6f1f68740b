"""A whole training: voxels checked, steps done, thresholds chosen, model and card written."""

from __future__ import annotations

from pathlib import Path

from seuron.nets.models.own_format import Weights, write_own
from seuron.training.file import TrainingFile
from seuron.training.loop import Trainer
from seuron.training.model import trained_weights, write_card
from seuron.training.networks import with_start
from seuron.training.processes import joined_processes
from seuron.training.thresholds import choose_thresholds, predicted_affinities
from seuron.training.volumes import read_volumes


def run_training(training: TrainingFile, from_step: int | None = None) -> Weights | None:
    """Train, or go on where a training of the same file was killed, and write the model with its thresholds.

    Args:
        training: what to do.
        from_step: of the checkpoint to go on from; the newest if None.

    Returns:
        What was written; None in those of several processes that write nothing.

    Raises:
        ParameterErrors: everything that is wrong with the data set.
        PermanentError: the loss is no number any more, or the folder is of another training.
    """
    training = with_start(training)
    volumes = read_volumes(training)
    with joined_processes() as processes:
        result = Trainer(training, volumes, processes).run(from_step)
        if not processes.writes:
            return None
    held = [volume for volume in volumes if volume.part == "validation"]
    weights = trained_weights(training, volumes, result, None)
    if held:
        unscored = training.folder / "unscored.safetensors"
        write_own(unscored, weights)
        affinities = predicted_affinities(unscored, held, training.schedule)
        thresholds = choose_thresholds(training.thresholds, held, affinities)
        weights = trained_weights(training, volumes, result, thresholds)
    out = Path(training.out)
    write_own(out, weights)
    write_card(out.with_suffix(".md"), training, weights, result.seconds)
    return weights

"""The steps of a training: it learns, repeats itself, resumes where it was killed, and ends early if asked to."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_trainings import tiny_training, write_training

from seuron.errors import PermanentError
from seuron.nets.network import NetworkConfig
from seuron.synth import synthesize
from seuron.training.file import TrainingFile, read_training_file
from seuron.training.loop import Trainer, TrainingResult, rate_factor
from seuron.training.patches import PatchSampler
from seuron.training.run import run_training
from seuron.training.state import Checkpoints
from seuron.training.volumes import TrainingVolume, read_volumes

OFFSETS = NetworkConfig(offsets=(1, 3)).channel_offsets


def steps_of(training: TrainingFile, from_step: int | None = None, *, files: bool = False) -> TrainingResult:
    return Trainer(training, read_volumes(training), files=files).run(from_step)


def test_the_loss_falls(tmp_path: Path) -> None:
    training = tiny_training(
        tmp_path / "a.safetensors",
        network={"widths": [8, 8]},
        augmentation={"warp": 0, "misalignment": 0, "lost": 0},
        schedule={"steps": 40, "learning_rate": 5e-3, "warmup": 4},
    )
    result = steps_of(training)
    assert len(result.losses) == 40
    assert np.mean(result.losses[-8:]) < 0.95 * np.mean(result.losses[:3])


def test_mixed_precision_is_near_full_precision(tmp_path: Path) -> None:
    """Numbers of eight bits of mantissa: the losses of the first steps differ in the third digit."""
    losses = {
        precision: steps_of(
            tiny_training(tmp_path / "a.safetensors", schedule={"steps": 2, "precision": precision})
        ).losses
        for precision in ("fp32", "bf16")
    }
    assert losses["bf16"] != losses["fp32"]
    np.testing.assert_allclose(losses["bf16"], losses["fp32"], rtol=2e-2)


def test_a_seed_fixes_the_training(tmp_path: Path) -> None:
    """A model card's recipe must lead to the model."""
    training = tiny_training(tmp_path / "a.safetensors", schedule={"steps": 3}, network={"descriptors": True})
    other = tiny_training(tmp_path / "a.safetensors", schedule={"steps": 3, "seed": 1}, network={"descriptors": True})
    assert steps_of(training).losses == steps_of(training).losses
    assert steps_of(other).losses != steps_of(training).losses


def test_a_killed_training_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """Killed in the middle and started again, it writes the same file as an uninterrupted training."""
    whole = read_training_file(write_training(tmp_path / "whole"))
    run_training(whole)
    killed = write_training(tmp_path / "killed")
    command = [sys.executable, "-m", "seuron.cli", "train", str(killed)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    with process.stderr as lines:
        assert any("checkpoint after step 4" in line for line in lines)
        process.kill()
    assert process.wait() == -9
    training = read_training_file(killed)
    assert not Path(training.out).exists()
    assert 4 in Checkpoints(training.folder, 3).steps()
    run_training(training)
    assert Path(training.out).read_bytes() == Path(whole.out).read_bytes()


def test_any_checkpoint_is_continued_to_the_same_weights(tmp_path: Path) -> None:
    training = tiny_training(tmp_path / "a.safetensors", watching={"keep": 9})
    expected = steps_of(training, files=True)
    for step in (6, 2):
        found = steps_of(training, step, files=True)
        assert found.losses == expected.losses
        assert found.validations == expected.validations
        assert all(torch.equal(found.state[name], tensor) for name, tensor in expected.state.items())


def test_checkpoints_of_another_training_are_refused(tmp_path: Path) -> None:
    """Another learning rate in the same folder would be neither the one training nor the other."""
    out = tmp_path / "a.safetensors"
    steps_of(tiny_training(out, schedule={"steps": 2}), files=True)
    with pytest.raises(PermanentError, match="another training"):
        steps_of(tiny_training(out, schedule={"steps": 2, "learning_rate": 0.1}), files=True)
    with pytest.raises(PermanentError, match=r"no checkpoint after step 1 .* there are: 2"):
        steps_of(tiny_training(out, schedule={"steps": 2}), 1, files=True)
    Checkpoints(tmp_path / "a.training", 3).path(2).write_bytes(b"torn")
    with pytest.raises(PermanentError, match="cannot be read"):
        steps_of(tiny_training(out, schedule={"steps": 2}), files=True)


def test_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    steps_of(tiny_training(tmp_path / "a.safetensors", watching={"keep": 2}), files=True)
    assert Checkpoints(tmp_path / "a.training", 2).steps() == [6, 8]


def test_a_training_ends_when_validation_does_not_get_better(tmp_path: Path) -> None:
    """With a rate that destroys the net an early validation stays the best; its weights are kept."""
    training = tiny_training(
        tmp_path / "a.safetensors",
        schedule={"steps": 50, "learning_rate": 3.0, "warmup": 0, "average": 0.0},
        watching={"validate_every": 1, "patience": 3},
    )
    result = steps_of(training)
    best = min(result.validations, key=lambda pair: pair[1])[0]
    assert result.steps == best + 3 < 50
    assert result.chosen_step == best


def test_curves_are_written(tmp_path: Path) -> None:
    """Numbers and pictures of the validation part, that TensorBoard reads."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    steps_of(tiny_training(tmp_path / "a.safetensors", schedule={"steps": 6}), files=True)
    found = EventAccumulator(str(tmp_path / "a.training" / "curves")).Reload()
    assert [event.step for event in found.Scalars("loss/validation")] == [3, 6]
    assert [event.step for event in found.Images("validation")] == [3, 6]


def test_accumulated_batches_are_one_large_batch(tmp_path: Path) -> None:
    """Without batch statistics, gradients of parts add up to those of the whole."""

    def losses(batch: int, accumulation: int) -> tuple[float, ...]:
        schedule = {"steps": 4, "batch": batch, "accumulation": accumulation}
        return steps_of(
            tiny_training(tmp_path / "a.safetensors", schedule=schedule, network={"norm": "instance"})
        ).losses

    np.testing.assert_allclose(losses(4, 1), losses(1, 4), rtol=1e-5)


def test_patches_come_from_volumes_by_weight(tmp_path: Path) -> None:
    """A volume of weight 0 is never drawn; targets have the margin."""
    training = tiny_training(tmp_path / "a.safetensors")
    made = synthesize((32, 32, 32), 1)
    volume = TrainingVolume("synthetic", made.image, made.labels, made.resolution)
    even = replace(volume, name="even", image=np.tile(np.array([1, 255], np.uint8), (32, 32, 16)), weight=0.0)
    sampler = PatchSampler(training, [volume, even], OFFSETS)
    assert {sampler.patch(number)[1].name for number in range(20)} == {"synthetic"}
    batch = sampler.batch(0, 2)
    assert batch.image.shape == (2, 1, 16, 16, 16)
    assert batch.targets.shape == batch.weights.shape == (2, 6, 16, 16, 16)
    assert batch.descriptors.shape[1] == 0
    assert {round(float(v), 3) for v in np.unique(batch.targets.numpy())} == {0.1, 0.9}
    assert (batch.weights[:, :3] > 0).any()


def test_unknown_and_masked_voxels_are_left_out(tmp_path: Path) -> None:
    """Neither weighs anything in the loss."""
    training = tiny_training(tmp_path / "a.safetensors")
    made = synthesize((32, 32, 32), 1)
    volume = TrainingVolume("synthetic", made.image, made.labels, made.resolution)
    hidden = replace(volume, labels=np.zeros_like(volume.labels), zero="unknown")
    masked = replace(volume, mask=np.zeros(volume.labels.shape, bool))
    for one in (hidden, masked):
        assert not PatchSampler(training, [one], OFFSETS).batch(0, 1).weights.any()


def test_the_rate_warms_up_and_falls(tmp_path: Path) -> None:
    schedule = tiny_training(tmp_path / "a.safetensors", schedule={"steps": 40, "warmup": 4}).schedule
    rates = [rate_factor(step, schedule) for step in range(40)]
    assert rates[0] == 0.25
    assert max(rates) == 1.0
    assert rates.index(1.0) == 3
    assert rates[-1] < 0.02
    assert all(a >= b for a, b in itertools.pairwise(rates[4:]))

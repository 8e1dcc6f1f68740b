"""The training loop learns, repeats itself, and what it saves predicts the same."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from seuron.errors import PermanentError
from seuron.nets.checkpoint import load_checkpoint, save_checkpoint
from seuron.nets.engines import load_engine
from seuron.nets.engines.processor import hardware_bf16
from seuron.nets.network import TARGET_MARGIN, NetworkConfig
from seuron.nets.normalisation import Normalisation
from seuron.nets.training import PatchSampler, TrainingConfig, TrainingResult, rate_factor, train
from seuron.nets.training_data import TrainingVolume
from seuron.synth import synthesize


@pytest.fixture(scope="module")
def config() -> TrainingConfig:
    made = synthesize((64, 56, 48), 1)
    volume = TrainingVolume("synthetic", made.image, made.labels, made.resolution)
    return TrainingConfig(
        [volume],
        steps=40,
        patch_size=(32, 32, 32),
        warmup_steps=4,
        network=NetworkConfig(widths=(16, 16)),
        bf16=hardware_bf16(),  # many times slower where it is emulated
    )


@pytest.fixture(scope="module")
def result(config: TrainingConfig) -> TrainingResult:
    return train(config)


def test_the_loss_falls(result: TrainingResult) -> None:
    assert len(result.losses) == 40
    assert np.mean(result.losses[-8:]) < 0.93 * np.mean(result.losses[:3])


def test_a_seed_fixes_the_training(config: TrainingConfig) -> None:
    """A model card's recipe must lead to the model."""
    short = replace(config, steps=3)
    assert train(short).losses == train(short).losses
    assert train(replace(short, seed=1)).losses != train(short).losses


def test_what_was_saved_predicts_the_same(result: TrainingResult, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "net.safetensors", result.net, result.config.record())
    loaded, record = load_checkpoint(tmp_path / "net.safetensors")
    image = result.config.volumes[0].image[:32, :32, :32]
    batch = torch.from_numpy(Normalisation().apply(image))[None, None]
    with torch.inference_mode():
        before, after = (net.eval()(batch)[0].numpy() for net in (result.net, loaded))
    np.testing.assert_array_equal(after, before)
    engine = load_engine(tmp_path / "net.safetensors", precision="fp32", device="cpu")
    expected = np.clip((1 / (1 + np.exp(-before[:3])) - TARGET_MARGIN) / (1 - 2 * TARGET_MARGIN), 0, 1)
    np.testing.assert_allclose(engine.run(batch.numpy())[0], expected, atol=1e-4)
    assert record["steps"] == 40
    assert record["volumes"] == ["synthetic 64x56x48 weight 1"]


def test_patches_come_from_volumes_by_weight(config: TrainingConfig) -> None:
    """A volume of weight 0 is never drawn: its image would show as even patches."""
    even = TrainingVolume(
        "even",
        np.tile(np.array([1, 255], np.uint8), (64, 64, 32)),
        np.ones((64, 64, 64), np.uint32),
        (10, 10, 10),
        weight=0.0,
    )
    both = replace(config, volumes=[config.volumes[0], even])
    batch = PatchSampler(both, np.random.default_rng(0)).batch()
    assert batch.image.shape == (2, 1, 32, 32, 32)
    assert batch.targets.shape == batch.weights.shape == (2, 9, 32, 32, 32)
    assert {round(float(v), 3) for v in np.unique(batch.targets.numpy())} == {0.1, 0.9}
    assert (batch.weights[:, :3] > 0).any()
    assert (batch.targets[:, 0] < 0.5).any()


def test_unknown_voxels_are_left_out(config: TrainingConfig) -> None:
    volume = config.volumes[0]
    hidden = replace(volume, labels=np.zeros_like(volume.labels), zero="unknown")
    batch = PatchSampler(replace(config, volumes=[hidden]), np.random.default_rng(0)).batch()
    assert not batch.weights.any()


def test_the_rate_warms_up_and_falls(config: TrainingConfig) -> None:
    rates = [rate_factor(step, config) for step in range(config.steps)]
    assert rates[0] == 0.25
    assert max(rates) == 1.0
    assert rates.index(1.0) == 3
    assert rates[-1] < 0.02
    assert all(a >= b for a, b in itertools.pairwise(rates[4:]))


def test_impossible_configs_are_refused(config: TrainingConfig) -> None:
    cases: list[dict[str, object]] = [
        {"volumes": []},
        {"patch_size": (33, 32, 32)},
        {"patch_size": (96, 32, 32)},
        {"steps": 0},
        {"volumes": [replace(config.volumes[0], weight=0.0)]},
    ]
    for wrong in cases:
        with pytest.raises(PermanentError, match="training"):
            replace(config, **wrong)  # type: ignore[arg-type]

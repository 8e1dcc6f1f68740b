"""A whole training: the model runs, says its thresholds, has a card, and can be trained further."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_trainings import tiny_training
from typer.testing import CliRunner

from abiss_py import segment
from seuron.cli.application import app
from seuron.errors import ParameterErrors, PermanentError
from seuron.evaluation import contingency, scores
from seuron.nets.engines import load_engine
from seuron.nets.models import describe
from seuron.nets.models.own_format import Weights, read_own
from seuron.nets.normalisation import Normalisation
from seuron.synth import synthesize
from seuron.training.file import ThresholdChoice
from seuron.training.networks import TrainableNet, with_start
from seuron.training.run import run_training
from seuron.training.targets import NEAREST, affinity_targets, grow_boundaries
from seuron.training.thresholds import choose_thresholds
from seuron.training.volumes import TrainingVolume

SECTIONS: dict[str, Any] = {
    "volumes": [{"synthetic": {"seed": 1, "shape": [40, 40, 24]}, "resolution": [8, 8, 40]}],
    "schedule": {"steps": 2},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Weights]:
    out = tmp_path_factory.mktemp("trained") / "tiny.safetensors"
    weights = run_training(tiny_training(out, licence="CC0-1.0", cite=["Somebody 2026"], schedule={"steps": 2}))
    assert weights is not None
    return out, weights


def test_the_model_says_what_it_is(trained: tuple[Path, Weights]) -> None:
    """Whoever has the file knows the recipe, the thresholds and the scores; it names no folder of this machine."""
    out, weights = trained
    described = describe(str(out))
    assert described.thresholds == weights.description.thresholds
    assert described.thresholds is not None
    assert described.thresholds.agglomeration_threshold in (0.3, 0.6)
    assert described.thresholds.chosen_on == ("synthetic 2 32x32x24 validation",)
    assert described.resolutions_nm == ((10.0, 10.0, 10.0),)
    assert described.licence == "CC0-1.0"
    record = read_own(out, header_only=True).record
    assert record["recipe"]["schedule"]["steps"] == record["steps"] == 2
    assert str(out.parent) not in out.read_bytes().decode("latin-1")
    card = out.with_suffix(".md").read_text()
    for words in ("CC0-1.0", "Somebody 2026", "synthetic 1 40x40x32", "adapted Rand error", "model=tiny.safetensors"):
        assert words in card


def test_chosen_thresholds_have_the_least_score() -> None:
    """Each that is tried is scored as a run's segmentation would be, and voxels that are masked count for nothing."""
    made = synthesize((48, 48, 32), 3)
    mask = np.ones(made.labels.shape, bool)
    mask[:20] = False
    volume = TrainingVolume("held", made.image, made.labels, made.resolution, mask=mask, part="validation")
    truth, _ = affinity_targets(grow_boundaries(made.labels), mask | True, NEAREST)
    noise = np.random.default_rng(0).normal(0, 40, truth.shape)
    affinities = np.moveaxis(np.clip(truth * 150 + 50 + noise, 0, 255), 0, 3).astype(np.uint8)
    choice = ThresholdChoice(watershed_high=(0.8, 0.95), agglomeration=(0.2, 0.4, 0.6))
    chosen = choose_thresholds(choice, [volume], [affinities])
    tried = {}
    for high in choice.watershed_high:
        for threshold in choice.agglomeration:
            found = segment(affinities, high=high, low=0.01, size=200, dust=50, threshold=threshold)
            tried[high, threshold] = scores(contingency(found.segments, np.where(mask, made.labels, 0)))
    best = min(tried, key=lambda key: tried[key].voi)
    assert (chosen.watershed_high, chosen.agglomeration_threshold) == best
    assert chosen.voi_split + chosen.voi_merge == pytest.approx(tried[best].voi, abs=1e-5)
    by_rand = choose_thresholds(choice.model_copy(update={"score": "adapted_rand"}), [volume], [affinities])
    assert by_rand.adapted_rand_error == pytest.approx(min(one.adapted_rand_error for one in tried.values()), abs=1e-5)


@pytest.mark.parametrize(
    "network",
    [
        {"widths": [4, 4, 4], "flat_levels": 1, "section_offsets": [1, 2], "descriptors": True},
        {"kind": "residual-unet", "widths": [4, 4], "norm": "instance", "section_offsets": [1, 2], "descriptors": True},
    ],
    ids=["flat levels", "residual-unet"],
)
def test_nets_for_thick_sections_run_as_they_were_trained(tmp_path: Path, network: dict[str, Any]) -> None:
    """The engine gives the affinities of the module that was trained, in its axes, without the descriptors."""
    training = tiny_training(tmp_path / "a.safetensors", network=network, **SECTIONS)
    weights = run_training(training)
    assert weights is not None
    assert weights.description.thresholds is None
    engine = load_engine(tmp_path / "a.safetensors", "torch", "fp32", "cpu")
    patch = (16, 8, 4)
    image = Normalisation().apply(synthesize(patch, 1).image)[None, None]
    net = TrainableNet.of(training.network)
    module = net.module()
    module.load_state_dict({name: torch.from_numpy(array) for name, array in weights.arrays.items()})
    with torch.inference_mode():
        logits = net.logits(module.eval(), torch.from_numpy(image))[0, :3].numpy()
    expected = np.clip((1 / (1 + np.exp(-logits)) - 0.1) / 0.8, 0, 1)
    np.testing.assert_allclose(engine.run(image)[0], expected, atol=1e-4)


def test_a_model_is_trained_further(trained: tuple[Path, Weights], tmp_path: Path) -> None:
    """Fine-tuning begins with the given weights and keeps their network; the record says which."""
    out, weights = trained
    still = {"steps": 1, "learning_rate": 1e-12, "average": 0.0, "weight_decay": 0.0}
    plain = tiny_training(tmp_path / "b.safetensors", start=str(out), schedule=still)
    document = plain.model_dump(exclude_unset=True, exclude={"network"})
    tuned = run_training(type(plain)(**document))
    assert tuned is not None
    assert tuned.network == weights.network
    assert tuned.record["recipe"]["start"] == "tiny.safetensors"
    for name, array in weights.arrays.items():
        if "norm" not in name:  # statistics of norms follow the patches
            np.testing.assert_allclose(tuned.arrays[name], array, atol=1e-6, err_msg=name)
    with pytest.raises(PermanentError, match="Leave `network` out"):
        with_start(tiny_training(tmp_path / "c.safetensors", start=str(out), network={"widths": [8, 8]}))


def test_the_shipped_net_is_trained_further(tmp_path: Path) -> None:
    """Its file is of an earlier form, and says its network too."""
    start = tiny_training(tmp_path / "c.safetensors", start="boundary-fib25")
    document = start.model_dump(exclude_unset=True, exclude={"network"})
    found = with_start(type(start)(**document))
    assert found.network.widths == (16, 32, 64)
    assert found.network.offsets == (1, 3, 9)


def test_the_command_takes_options_for_a_quick_start(tmp_path: Path) -> None:
    """What a file would say in six lines; `--check` trains nothing."""
    out = tmp_path / "a.safetensors"
    quick = ["train", str(out), "--synthetic", "1", "--synthetic-shape", "64,64,64"]
    shown = CliRunner().invoke(app, [*quick, "--check"])
    assert shown.output.strip() == "training: synthetic 0 64x64x64 weight 1"
    assert not out.with_suffix(".training").exists()
    nothing = CliRunner().invoke(app, ["train", str(out)])
    assert isinstance(nothing.exception, ParameterErrors)
    assert "no volumes" in str(nothing.exception)


def test_models_show_names_the_thresholds(trained: tuple[Path, Weights]) -> None:
    """Who gets the file from somebody sees how good it was."""
    shown = CliRunner().invoke(app, ["models", "show", str(trained[0])])
    assert "thresholds: watershed 0.9 and 0.01" in shown.output
    assert "chosen on synthetic 2 32x32x24 validation" in shown.output

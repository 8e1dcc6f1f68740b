"""Weights on disk: what is loaded is what was saved, and what is not a net is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from seuron.errors import PermanentError
from seuron.nets.checkpoint import load_checkpoint, save_checkpoint
from seuron.nets.network import BoundaryNet, NetworkConfig, fold_norms

CONFIG = NetworkConfig(widths=(4, 8))


def test_a_loaded_net_is_the_saved_one_with_its_record(tmp_path: Path) -> None:
    """Nothing of the weights, the network and the record is lost, and nothing else is left in the folder."""
    net = BoundaryNet(CONFIG)
    net(torch.randn(2, 1, 8, 8, 8))
    save_checkpoint(tmp_path / "a.safetensors", net.eval(), {"seed": 3})
    loaded, record = load_checkpoint(tmp_path / "a.safetensors")
    image = torch.randn(1, 1, 8, 8, 8)
    assert record == {"seed": 3}
    assert loaded.config == CONFIG
    assert not loaded.training
    torch.testing.assert_close(loaded(image), net(image), atol=0, rtol=0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_folded_net_is_not_saved(tmp_path: Path) -> None:
    """Training could not go on from it, and loading would fold it twice."""
    with pytest.raises(PermanentError, match="folded"):
        save_checkpoint(tmp_path / "a.safetensors", fold_norms(BoundaryNet(CONFIG).eval()), {})


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_files_that_are_no_weights_are_refused(tmp_path: Path, ending: str) -> None:
    """Text, other arrays and nothing at all are named by their path."""
    text, other, missing = (tmp_path / f"{name}{ending}" for name in "abc")
    text.write_text("not weights")
    with other.open("wb") as file:
        np.savez(file, header=np.frombuffer(b'{"format": "x"}', np.uint8))
    for path in (text, other, missing):
        with pytest.raises(PermanentError, match=path.name):
            load_checkpoint(path)


def test_a_file_never_runs_code(tmp_path: Path) -> None:
    """Pickled objects in weights are a way into a machine."""
    np.savez(tmp_path / "a.npz", header=np.array([object()], dtype=object))
    with pytest.raises(PermanentError, match="cannot be read"):
        load_checkpoint(tmp_path / "a.npz")


def test_another_ending_is_refused(tmp_path: Path) -> None:
    """Weights are written in one format."""
    with pytest.raises(PermanentError, match="safetensors"):
        save_checkpoint(tmp_path / "a.pt", BoundaryNet(CONFIG), {})

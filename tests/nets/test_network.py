"""The boundary net: its shape, and that folding changes how it is computed, not what."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from seuron.errors import PermanentError
from seuron.nets.network import BoundaryNet, ConvNorm, NetworkConfig, fold_norms

SMALL = NetworkConfig(widths=(4, 8, 8))


def used_net(config: NetworkConfig) -> BoundaryNet:
    """A net whose running statistics are not the initial ones."""
    torch.manual_seed(3)
    net = BoundaryNet(config).train()
    for _ in range(3):
        net(2 * torch.randn(2, 1, 8, 8, 8) + 1)
    return net.eval()


def test_output_has_the_shape_of_the_input_and_a_channel_for_each_offset_and_axis() -> None:
    net = used_net(SMALL)
    assert net(torch.randn(1, 1, 12, 8, 4)).shape == (1, 9, 12, 8, 4)


def test_default_net_has_the_size_that_was_measured() -> None:
    """287 k parameters run at about 2 Mvox a core-second; a wider net would break that promise."""
    assert sum(p.numel() for p in BoundaryNet(NetworkConfig()).parameters()) == 287_273


def test_folding_keeps_the_function_and_removes_the_norms() -> None:
    net = used_net(SMALL)
    image = torch.randn(1, 1, 16, 12, 8)
    with torch.inference_mode():
        before = net(image)
        after = fold_norms(net)(image)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(m.norm, torch.nn.BatchNorm3d) for m in net.modules() if isinstance(m, ConvNorm))


def test_folding_a_net_in_training_is_refused() -> None:
    """Its running statistics are not what it is computing with."""
    with pytest.raises(PermanentError, match="eval"):
        fold_norms(BoundaryNet(SMALL).train())


def test_instance_norm_is_left_alone_by_folding() -> None:
    net = used_net(NetworkConfig(widths=(4, 8), norm="instance"))
    image = torch.randn(1, 1, 8, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(fold_norms(net)(image), net(image))


def test_config_survives_json() -> None:
    fields = {"widths": [4, 8], "offsets": [1, 2], "norm": "instance"}
    config = NetworkConfig.from_dict(fields)
    assert NetworkConfig.from_dict(config.as_dict()) == config
    assert (config.channels, config.granularity) == (6, (2, 2, 2))


@pytest.mark.parametrize("wrong", [{"norm": "layer"}, {"offsets": (3,)}, {"widths": ()}])
def test_impossible_nets_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PermanentError, match="network"):
        NetworkConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "module", ["seuron", "seuron.nets", "seuron.nets.patches", "seuron.training.volumes", "seuron.synth"]
)
def test_torch_is_loaded_only_by_those_who_run_nets(module: str) -> None:
    """Importing torch takes seconds and hundreds of MB that a scheduler or planner must not pay."""
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

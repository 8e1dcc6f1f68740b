"""Torch modules of nets: seuron's own, filled and folded, and TorchScript."""

from __future__ import annotations

from io import BytesIO

import torch
from torch import nn

from seuron.errors import PermanentError
from seuron.nets.architectures import filled
from seuron.nets.models import ModelFile
from seuron.nets.models.own_format import check_finite, read_own
from seuron.nets.network import BoundaryNet, fold_norms
from seuron.nets.residual_unet import ResidualUNet


def load_module(model: ModelFile, device: str = "cpu") -> nn.Module:
    """The module of a net in eval mode; raises PermanentError for an ONNX file, or one that cannot be loaded."""
    if model.format == "onnx":
        raise PermanentError(f"engine torch: {model.path} is ONNX; use the engine onnx or openvino")
    if model.format == "torchscript":
        return _script(model, device)
    net = filled(read_own(model.path), str(model.path))
    if isinstance(net, BoundaryNet):
        return used_outputs(fold_norms(net), net.last, model.description.channels)
    if isinstance(net, ResidualUNet):
        return used_outputs(net, net.out.final, model.description.channels)
    return net


def used_outputs(net: nn.Module, last: nn.Conv3d, channels: int) -> nn.Module:
    """Drop the auxiliary outputs of a net, in place: those of its last convolution behind the first `channels`."""
    assert last.bias is not None
    last.weight, last.bias = nn.Parameter(last.weight[:channels]), nn.Parameter(last.bias[:channels])
    last.out_channels = len(last.weight)
    return net


def _script(model: ModelFile, device: str) -> nn.Module:
    content = model.read_weights()
    try:
        net: nn.Module = torch.jit.load(BytesIO(content), map_location=device)  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise PermanentError(f"{model.path}: torch cannot load this TorchScript ({error}); get it again") from error
    check_finite({name: tensor.detach().cpu().numpy() for name, tensor in net.named_parameters()}, str(model.path))
    return net.eval()

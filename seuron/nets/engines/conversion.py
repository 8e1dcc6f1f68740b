"""Seuron's own nets, and TorchScript, as graphs of other libraries."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

from seuron.errors import PermanentError
from seuron.nets.models import ModelFile
from seuron.nets.models.description import small_patch
from seuron.nets.models.model_file import models_folder

#: Counted up when a conversion gives another graph; kept graphs of earlier ones are not used.
CONVERSION = 1
OPSET = 17


def onnx_content(model: ModelFile) -> bytes:
    """A net of seuron's own format as an ONNX file, with any batch and size of patch."""
    import torch

    from seuron.nets.engines.modules import load_module

    written, names = BytesIO(), {axis: name for axis, name in enumerate(model.description.axes) if name != "c"}
    with warnings.catch_warnings():
        # torch's own exporter is deprecated for one that needs three more packages.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            load_module(model),
            (_example(model),),
            written,  # type: ignore[arg-type]  # a file object is what it takes as well
            dynamo=False,
            input_names=["image"],
            output_names=["output"],
            dynamic_axes={"image": names, "output": names},
            opset_version=OPSET,
        )
    return written.getvalue()


def openvino_graph(core: Any, model: ModelFile) -> Any:
    """A net as OpenVINO's graph; that of torch's modules is kept in the models folder, as making it loads torch.

    `openvino.convert_model` is not used: it reports its use over the network where a package for that is installed.
    """
    import openvino

    if model.format == "onnx":
        return core.read_model(model.read_weights())
    name = f"{model.description.sha256[:32]}-openvino-{openvino.__version__.split('-')[0]}-{CONVERSION}"
    kept = models_folder() / ".converted" / name
    if not (kept / "net.xml").is_file():
        graph = _from_torch(model)
        _keep(graph, kept)
        return graph
    return core.read_model(kept / "net.xml")


def _from_torch(model: ModelFile) -> Any:
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    from seuron.nets.engines.modules import load_module

    net = load_module(model)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and what OpenVINO reads
        traced = torch.jit.trace(net, _example(model))  # type: ignore[no-untyped-call]
    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced)  # named: the frontend does not keep it alive
    try:
        return frontend.convert(frontend.load(decoder))
    except RuntimeError as error:
        raise PermanentError(
            f"{model.path}: OpenVINO has no counterpart of all of its operators; use the engine torch"
        ) from error


def _keep(graph: Any, kept: Path) -> None:
    """Write a graph, whole or not at all; whoever does it first has done it for all."""
    import openvino

    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".partial-", dir=kept.parent))
    except OSError:
        return  # a folder that cannot be written: each process converts for itself
    try:
        openvino.save_model(graph, part / "net.xml", compress_to_fp16=False)
        os.rename(part, kept)  # noqa: PTH104
    except OSError:  # it is there, from another process, or the disk is full
        shutil.rmtree(part, ignore_errors=True)


def _example(model: ModelFile) -> Any:
    import torch

    description = model.description
    least = small_patch(description, 8)
    sizes = {"b": 1, "c": len(description.inputs), **dict(zip("xyz", least, strict=True))}
    return torch.zeros([sizes[axis] for axis in description.axes])

"""A net as a package of the BioImage Model Zoo, which other tools of the field run."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.errors import PermanentError
from seuron.nets.engines import load_engine
from seuron.nets.engines.layout import net_input
from seuron.nets.models import ModelDescription, ModelFile, OutputLayer, open_model
from seuron.nets.models.bioimage import RDF
from seuron.nets.models.description import small_patch

_NAMES = {"b": "batch", "c": "channel"}


def export_package(model: str | Path, folder: Path, author: str) -> Path:
    """Write a net as a package: `rdf.yaml`, weights, a card and a pair of tensors to test it with.

    The package holds our description under `config.seuron` as well, so reading it again loses nothing.

    Args:
        model: name or path; one of seuron's own format becomes ONNX, others are copied.
        folder: new or empty.
        author: who makes the package.

    Raises:
        PermanentError: the folder holds something, or the net cannot be converted.
    """
    from bioimageio.spec import save_bioimageio_package_as_folder

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PermanentError(f"the folder {folder} holds something; choose a new one")
    found = open_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="seuron-package-") as made:
        save_bioimageio_package_as_folder(_package(found, Path(made), author), output_path=folder)
    written = next(folder.glob("*rdf.yaml"))
    if written.name != RDF:  # the library names it after the model
        written.rename(folder / RDF)
    return folder


def _package(found: ModelFile, made: Path, author: str) -> Any:
    from bioimageio.spec.model.v0_5 import ModelDescr

    described = found.description
    kind, weights = _weights(found, made)
    image, outputs = _tested(found, made)
    card = made / "README.md"
    card.write_text(f"# {described.name}\n\n{described.description}\n\nLicence: {described.licence or 'not stated'}\n")
    fields = {
        "name": described.name if len(described.name) > 4 else f"{described.name} net",  # five letters at least
        "description": described.description or described.name,
        "authors": [{"name": author}],
        "cite": [{"text": text, "url": "https://bioimage.io"} for text in described.cite or (described.name,)],
        "license": described.licence.split(";")[0].strip() or None,
        "documentation": {"source": str(card)},
        "timestamp": datetime.now(UTC).isoformat(),
        "inputs": [_input(described, image)],
        "outputs": [_output(described, layer, path) for layer, path in zip(described.outputs, outputs, strict=True)],
        "weights": {kind: weights},
        "config": {"seuron": described.model_dump(mode="json", exclude={"sha256"})},
    }
    version = ModelDescr.implemented_format_version
    try:
        return ModelDescr.model_validate({"type": "model", "format_version": version, **fields})
    except ValueError as error:
        raise PermanentError(f"the net {described.name} cannot be packed: {error}") from error


def _weights(found: ModelFile, made: Path) -> tuple[str, dict[str, Any]]:
    """The kind of weights in the package, and what it says of them."""
    if found.format == "torchscript":
        import torch

        path = made / "weights.pt"
        path.write_bytes(found.read_weights())
        return "torchscript", {"source": str(path), "pytorch_version": torch.__version__.split("+")[0]}
    from seuron.nets.engines.conversion import OPSET, onnx_content

    path = made / "weights.onnx"
    path.write_bytes(onnx_content(found) if found.format == "own" else found.read_weights())
    return "onnx", {"source": str(path), "opset_version": OPSET}


def _tested(found: ModelFile, made: Path) -> tuple[Path, list[Path]]:
    """Files with an input and the outputs that it must give, in the order of the net's axes."""
    described = found.description
    patch = small_patch(described)
    grey = np.random.default_rng(0).normal(128, 33, (1, len(described.inputs), *patch)).astype(np.float32)
    batch = _scaled(grey, described)
    values = load_engine(found.path, "torch" if found.format != "onnx" else "onnx", "fp32", "cpu").run(batch)[0]
    image, outputs, first = made / "input.npy", [], 0
    np.save(image, net_input(described, grey[0]))
    for layer in described.outputs:
        path = made / f"output-{layer.name}.npy"
        np.save(path, net_input(described, values[first : first + len(layer.channels)]))
        outputs.append(path)
        first += len(layer.channels)
    return image, outputs


def _scaled(grey: NDArray[np.float32], described: ModelDescription) -> NDArray[np.float32]:
    """The test input as the net sees it: what the package's preprocessing makes of it."""
    scale = described.scale
    low, high = {
        "volume": (grey.mean(), grey.mean() + grey.std()),
        "fixed": (scale.mean, scale.mean + scale.std),
        "percentiles": (np.percentile(grey, scale.low), np.percentile(grey, scale.high)),
        "none": (0.0, 1.0),
    }[scale.kind]
    scaled: NDArray[np.float32] = ((grey - low) / (high - low)).astype(np.float32)
    return scaled


def _input(described: ModelDescription, image: Path) -> dict[str, Any]:
    patch = described.patch
    axes: list[dict[str, Any]] = []
    for axis in described.axes:
        if axis in _NAMES:
            axes.append(_other_axis(axis, described.inputs))
            continue
        index = "xyz".index(axis)
        low, step = patch.minimum[index], patch.granularity[index]
        fixed = patch.maximum is not None and patch.maximum[index] == low
        size = low if fixed else {"min": low, "step": step}
        axes.append({"type": "space", "id": axis, "size": size, **_length(described, axis)})
    return {"id": "image", "axes": axes, "test_tensor": {"source": str(image)}, "preprocessing": _scale(described)}


def _output(described: ModelDescription, layer: OutputLayer, path: Path) -> dict[str, Any]:
    names = [channel.name for channel in layer.channels]
    axes: list[dict[str, Any]] = []
    for axis in described.axes:
        if axis in _NAMES:
            axes.append(_other_axis(axis, names))
            continue
        margin = described.margin["xyz".index(axis)]
        size = {"tensor_id": "image", "axis_id": axis}
        axes.append({"type": "space", "id": axis, "size": size, **_length(described, axis)})
        axes[-1] |= {"halo": margin} if margin else {}
    steps: list[dict[str, Any]] = [{"id": "sigmoid"}] if layer.activation == "sigmoid" else []
    steps += [{"id": "softmax", "kwargs": {"axis": "channel"}}] if layer.activation == "softmax" else []
    if layer.targets is not None:
        gain = 1 / (layer.targets[1] - layer.targets[0])
        steps.append({"id": "scale_linear", "kwargs": {"gain": gain, "offset": -layer.targets[0] * gain}})
    steps.append({"id": "clip", "kwargs": {"min": layer.range[0], "max": layer.range[1]}})
    name = layer.name.replace("-", "_").replace(".", "_").replace("+", "_")
    return {"id": name, "axes": axes, "test_tensor": {"source": str(path)}, "postprocessing": steps}


def _length(described: ModelDescription, axis: str) -> dict[str, Any]:
    if not described.resolutions_nm:
        return {}
    return {"unit": "nanometer", "scale": described.resolutions_nm[0]["xyz".index(axis)]}


def _other_axis(axis: str, names: Any) -> dict[str, Any]:
    if axis == "b":
        return {"type": "batch"}
    return {"type": "channel", "channel_names": [name.replace("-", "_").replace(".", "_") for name in names]}


def _scale(described: ModelDescription) -> list[dict[str, Any]]:
    scale = described.scale
    if scale.kind == "none":
        return []
    if scale.kind == "volume":
        return [{"id": "zero_mean_unit_variance"}]
    if scale.kind == "fixed":
        return [{"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": scale.mean, "std": scale.std}}]
    return [{"id": "scale_range", "kwargs": {"min_percentile": scale.low, "max_percentile": scale.high}}]

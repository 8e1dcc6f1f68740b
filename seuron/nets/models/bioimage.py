"""BioImage Model Zoo packages: a folder or a `.zip` with `rdf.yaml` and ONNX or TorchScript weights.

`bioimageio.spec` reads and checks the description; nothing is fetched. What a package that seuron wrote has under
`config.seuron` is taken as it is; for others the description is made of what the specification says. Steps before and
after the net that have no counterpart here are refused by name.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from seuron.errors import PermanentError
from seuron.nets.models.description import ModelDescription
from seuron.nets.models.plain_files import LARGEST, bounded_bytes
from seuron.params.typed_file import parse_typed

RDF = "rdf.yaml"
#: The weights that are run, in this order.
WEIGHTS_KINDS = ("onnx", "torchscript")
_NANOMETRES = {"nanometer": 1.0, "angstrom": 0.1, "micrometer": 1e3, "millimeter": 1e6, "picometer": 1e-3}


@dataclass(frozen=True)
class Package:
    """A package, read: what describes it, and one kind of weights that is in it."""

    path: Path
    description: ModelDescription
    kind: str
    member: str

    def weights(self) -> bytes:
        """The content of the file of weights."""
        return read_member(self.path, self.member)


def is_package(path: Path) -> bool:
    """Whether a path may be a package: a folder with an `rdf.yaml`, a `.zip`, or the `rdf.yaml` itself."""
    return (path.is_dir() and (path / RDF).is_file()) or (path.is_file() and path.suffix == ".zip")


def read_member(package: Path, member: str) -> bytes:
    """The content of a file of a package; raises PermanentError for one that is not in it, or lies outside of it."""
    parts = PurePosixPath(member)
    if parts.is_absolute() or ".." in parts.parts:
        raise PermanentError(f"the package {package}: its file {member!r} lies outside of it; it is not read")
    if package.is_dir():
        if not (package / member).resolve().is_relative_to(package.resolve()):
            raise PermanentError(f"the package {package}: its file {member!r} lies outside of it; it is not read")
        return bounded_bytes(package / member)
    try:
        with zipfile.ZipFile(package) as archive:
            if archive.getinfo(member).file_size > LARGEST:
                raise PermanentError(f"the package {package}: {member} has more than {LARGEST >> 30} GiB")
            return archive.read(member)
    except (KeyError, OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise PermanentError(f"the package {package}: {member} cannot be read ({error}); get it again") from error


def read_package(path: Path) -> Package:
    """A package's description and weights, its digests checked; raises PermanentError with all that is wrong."""
    found = _model_description(path)
    kind = next((kind for kind in WEIGHTS_KINDS if getattr(found.weights, kind) is not None), None)
    if kind is None:
        others = [name for name in type(found.weights).model_fields if getattr(found.weights, name) is not None]
        raise PermanentError(
            f"the package {path} has weights as {', '.join(others)}; {' and '.join(WEIGHTS_KINDS)} are run, "
            "and pickled weights are not opened: ask its makers for ONNX"
        )
    entry = getattr(found.weights, kind)
    member = str(entry.source)
    if "://" in member:
        raise PermanentError(f"the package {path}: its weights are at {member}; download the whole package")
    if getattr(entry, "external_data", None) is not None:
        raise PermanentError(f"the package {path}: weights in a second file are not read; export the net as one file")
    content = read_member(path, member)
    digest = hashlib.sha256(content).hexdigest()
    if entry.sha256 is not None and str(entry.sha256) != digest:
        raise PermanentError(
            f"the package {path}: {member} has the SHA-256 {digest}, and {RDF} says {entry.sha256}; get it again"
        )
    described = hashlib.sha256(read_member(path, RDF)).hexdigest()
    fields = {**_fields(path, found), "sha256": hashlib.sha256((described + digest).encode()).hexdigest()}
    return Package(path, parse_typed(ModelDescription, fields, f"the package {path}"), kind, member)


def _model_description(path: Path) -> Any:
    try:
        from bioimageio.spec import InvalidDescr, ValidationContext, build_description
        from bioimageio.spec.model.v0_5 import ModelDescr
        from ruyaml import YAML
        from ruyaml.error import YAMLError
    except ImportError as error:
        raise PermanentError(f"the package {path} needs bioimageio.spec; install seuron[inference]") from error
    try:
        content = YAML(typ="safe").load(read_member(path, RDF).decode())
    except (YAMLError, UnicodeDecodeError) as error:
        raise PermanentError(f"the package {path}: {RDF} is no YAML ({error}); get it again") from error
    if not isinstance(content, dict):
        raise PermanentError(f"the package {path}: {RDF} holds no description; get it again")
    found = build_description(content, context=ValidationContext(perform_io_checks=False))
    if isinstance(found, InvalidDescr):
        summary = "; ".join(
            f"{'.'.join(map(str, error.loc))}: {error.msg}" for part in found.validation_summary.details
            for error in part.errors
        )  # fmt: skip
        raise PermanentError(f"the package {path}: {RDF} is no valid description ({summary or 'unknown'})")
    if not isinstance(found, ModelDescr):
        raise PermanentError(
            f"the package {path} is a {found.type} of format {found.format_version}; models of 0.5 are read"
        )
    return found


def _fields(path: Path, found: Any) -> dict[str, Any]:
    """The fields of a ModelDescription."""
    own = (found.config.model_extra or {}).get("seuron") if found.config is not None else None
    if isinstance(own, Mapping):
        return dict(own)
    if len(found.inputs) != 1:
        names = ", ".join(str(tensor.id) for tensor in found.inputs)
        raise PermanentError(f"the package {path} has {len(found.inputs)} input tensors ({names}); nets of one are run")
    tensor = found.inputs[0]
    axes = {str(axis.id): axis for axis in tensor.axes}
    letters = {"batch": "b", "channel": "c"}
    order = "".join(letters.get(name, name) for name in axes)
    channels = [str(name) for name in axes["channel"].channel_names] if "channel" in axes else []
    if not channels or sorted(order) not in (sorted("bcxyz"), sorted("bcxy")):
        raise PermanentError(
            f"the package {path}: the input's axes are {', '.join(axes)}; batch, channel, x, y and z (or no z) are run"
        )
    return {
        "name": _plain(str(found.id or found.name)),
        "description": found.description,
        "licence": str(found.license or ""),
        "cite": [f"{entry.text} {entry.doi or entry.url or ''}".strip() for entry in found.cite],
        "inputs": ["image"] if len(channels) == 1 else [_plain(name) for name in channels],
        "axes": order,
        "resolutions_nm": _resolution(axes),
        "scale": _scale(path, tensor.preprocessing),
        "patch": _patches(path, axes),
        "margin": _margin(found.outputs),
        "outputs": [_layer(path, output) for output in found.outputs],
    }


def _plain(name: str) -> str:
    kept = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name)
    return kept.strip("-")[:100] or "net"


def _resolution(axes: Mapping[str, Any]) -> list[list[float]]:
    sizes = []
    for name in "xyz":
        unit = getattr(axes.get(name), "unit", None)
        if unit not in _NANOMETRES:
            return []  # a net for sections, or one that does not say
        sizes.append(float(axes[name].scale) * _NANOMETRES[unit])
    return [sizes]


def _patches(path: Path, axes: Mapping[str, Any]) -> dict[str, Any]:
    least, step, default = [], [], []
    most: list[int] = []
    for name in "xyz":
        size: Any = getattr(axes.get(name), "size", None)
        if name not in axes:
            low, by = 1, 1
        elif isinstance(size, int):
            low, by = size, 1
        elif hasattr(size, "min") and hasattr(size, "step"):
            low, by = int(size.min), int(size.step)
        else:
            raise PermanentError(f"the package {path}: the size of the axis {name} follows from another tensor")
        least.append(low)
        step.append(by)
        most.append(low if isinstance(size, int) else 2**16)
        default.append(low if name not in axes or isinstance(size, int) else low + max(0, (96 - low) // by) * by)
    return {"default": default, "granularity": step, "minimum": least, "maximum": most}


def _margin(outputs: Any) -> list[int]:
    halos = [{str(axis.id): int(getattr(axis, "halo", 0)) for axis in output.axes} for output in outputs]
    return [max(halo.get(name, 0) for halo in halos) for name in "xyz"]


def _scale(path: Path, steps: Any) -> dict[str, Any]:
    known: dict[str, Callable[[Any], dict[str, Any]]] = {
        "zero_mean_unit_variance": lambda _: {"kind": "volume"},
        "fixed_zero_mean_unit_variance": lambda k: {"kind": "fixed", "mean": float(k.mean), "std": float(k.std)},
        "scale_linear": lambda k: {
            "kind": "fixed",
            "mean": -float(k.offset) / float(k.gain),
            "std": 1 / float(k.gain),
        },
        "scale_range": lambda k: {
            "kind": "percentiles",
            "low": float(k.min_percentile),
            "high": float(k.max_percentile),
        },
    }
    scales = [step for step in steps if step.id != "ensure_dtype"]
    wrong = [str(step.id) for step in scales if step.id not in known]
    if wrong or len(scales) > 1:
        names = ", ".join(str(step.id) for step in scales)
        raise PermanentError(f"the package {path}: preprocessing by {names}; one of {', '.join(known)} can be done")
    return known[scales[0].id](scales[0].kwargs) if scales else {"kind": "none"}


def _layer(path: Path, output: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": _plain(str(output.id)), "activation": "none"}
    named = next((axis for axis in output.axes if str(axis.id) == "channel"), None)
    if named is None:
        raise PermanentError(f"the package {path}: the output {output.id} has no channel axis")
    fields["channels"] = [{"name": _plain(str(name))} for name in named.channel_names]
    for step in output.postprocessing:
        if step.id in ("sigmoid", "softmax"):
            fields["activation"] = str(step.id)
        elif step.id == "clip":
            low, high = getattr(step.kwargs, "min", None), getattr(step.kwargs, "max", None)
            fields["range"] = [0.0 if low is None else float(low), 1.0 if high is None else float(high)]
        elif step.id == "scale_linear":
            low = -float(step.kwargs.offset) / float(step.kwargs.gain)
            fields["targets"] = [low, low + 1 / float(step.kwargs.gain)]
        elif step.id != "ensure_dtype":
            raise PermanentError(
                f"the package {path}: postprocessing of {output.id} by {step.id}; sigmoid, softmax, scale_linear and "
                "clip can be done"
            )
    return fields

"""What is no net, or not one for these images: each has one clear message before anything runs."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_nets import DESCRIPTION, TwoLayers, described, write_onnx, write_torchscript

from seuron.errors import ParameterErrors, PermanentError, SeuronError, UnreachableError
from seuron.nets.engines import load_engine
from seuron.nets.fetch import get_model, read_state_dict
from seuron.nets.models import describe
from seuron.nets.models.fit import resolution_problems
from seuron.nets.models.known import known_models
from seuron.nets.models.own_format import Weights, boundary_description, read_own, write_own

#: A well-made net of each kind, by the name of its file; each bad case damages one.
GOOD = ("net.onnx", "net.pt", "net.safetensors", "package")

RDF = """
type: model
format_version: 0.5.3
name: a foreign net
description: boundaries
authors: [{name: somebody}]
cite: [{text: somebody, url: "https://example.org"}]
license: MIT
documentation: README.md
timestamp: 2024-01-01T00:00:00
inputs:
- id: image
  axes:
  - {type: batch}
  - {type: channel, channel_names: [grey]}
  - {type: space, id: z, size: {min: 4, step: 1}, unit: micrometer, scale: 0.04}
  - {type: space, id: y, size: {min: 8, step: 4}, unit: nanometer, scale: 8}
  - {type: space, id: x, size: {min: 8, step: 4}, unit: nanometer, scale: 8}
  test_tensor: {source: in.npy}
  preprocessing:
  - {id: scale_range, kwargs: {min_percentile: 2, max_percentile: 98}}
outputs:
- id: edges
  axes:
  - {type: batch}
  - {type: channel, channel_names: [a, b, m]}
  - {type: space, id: z, size: {tensor_id: image, axis_id: z}, unit: micrometer, scale: 0.04}
  - {type: space, id: y, size: {tensor_id: image, axis_id: y}, halo: 2, unit: nanometer, scale: 8}
  - {type: space, id: x, size: {tensor_id: image, axis_id: x}, halo: 2, unit: nanometer, scale: 8}
  test_tensor: {source: out.npy}
  postprocessing:
  - {id: sigmoid}
weights:
  onnx: {source: net.onnx, sha256: SHA, opset_version: 17}
"""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the nets of `GOOD`."""
    folder = tmp_path_factory.mktemp("good")
    described(write_torchscript(folder / "net.pt"))
    onnx = described(write_onnx(folder / "net.onnx"))
    net = {name: tensor.numpy() for name, tensor in torch.nn.Conv3d(1, 1, 1).state_dict().items()}
    write_own(folder / "net.safetensors", Weights(boundary_description("net", 2, []), {"kind": "boundary"}, net, {}))
    package = folder / "package"
    package.mkdir()
    shutil.copy(onnx, package / "net.onnx")
    digest = hashlib.sha256(onnx.read_bytes()).hexdigest()
    (package / "rdf.yaml").write_text(RDF.replace("SHA", digest))
    return folder


@pytest.fixture(autouse=True)
def models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's models folder is seen, or written."""
    monkeypatch.setenv("SEURON_MODELS", str(tmp_path / "models"))


class Malicious:
    """Runs code when it is unpickled: a file that the test looks for."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (Path.touch, (self.mark,))


def toml(old: str, new: str) -> Callable[[Path], Path]:
    """Damage: another description beside the ONNX file."""

    def damage(folder: Path) -> Path:
        assert old in DESCRIPTION
        return described(folder / "net.onnx", DESCRIPTION.replace(old, new))

    return damage


def rdf(old: str, new: str) -> Callable[[Path], Path]:
    """Damage: another `rdf.yaml`."""

    def damage(folder: Path) -> Path:
        text = (folder / "package" / "rdf.yaml").read_text()
        assert old in text
        (folder / "package" / "rdf.yaml").write_text(text.replace(old, new))
        return folder / "package"

    return damage


def truncated(name: str) -> Callable[[Path], Path]:
    """Damage: the last third of a file is gone."""

    def damage(folder: Path) -> Path:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) * 2 // 3])
        return folder / name

    return damage


def replaced(name: str, content: Callable[[Path], bytes]) -> Callable[[Path], Path]:
    """Damage: other content in a file."""

    def damage(folder: Path) -> Path:
        (folder / name).write_bytes(content(folder))
        return folder / name

    return damage


def saved(what: object) -> bytes:
    """What `torch.save` writes."""
    written = BytesIO()
    torch.save(what, written)
    return written.getvalue()


def scripted(net: torch.nn.Module, folder: Path) -> bytes:
    return write_torchscript(folder / "other.pt", net).read_bytes()


def with_nan(folder: Path) -> bytes:
    net = TwoLayers()
    with torch.no_grad():
        net.conv.weight[0] = torch.nan
    return scripted(net, folder)


class WritesFiles(torch.nn.Module):
    """TorchScript that writes a file when it is run."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, "/tmp/never-written")
        return x


def external_data(folder: Path) -> bytes:
    """An ONNX model whose weights would be in a second file that is not there."""
    import onnx

    model = onnx.load(folder / "net.onnx")
    onnx.save(model, folder / "split.onnx", save_as_external_data=True, location="split.bin", size_threshold=0)
    (folder / "split.bin").unlink()
    return (folder / "split.onnx").read_bytes()


def only_pickled(folder: Path) -> Path:
    """Damage: a package that has pickled weights and no others."""
    path = folder / "package" / "rdf.yaml"
    kept = path.read_text().partition("weights:")[0]
    weights = "{architecture: {callable: N, source: n.py}, pytorch_version: 2.0.0, source: net.pt}"
    path.write_text(f"{kept}weights:\n  pytorch_state_dict: {weights}\n")
    return folder / "package"


def zip_with(member: str) -> Callable[[Path], Path]:
    """Damage: a package whose weights lie at another place."""

    def damage(folder: Path) -> Path:
        rdf("source: net.onnx", f"source: {member}")(folder)
        with zipfile.ZipFile(folder / "net.zip", "w") as archive:
            archive.write(folder / "package" / "rdf.yaml", "rdf.yaml")
        return folder / "net.zip"

    return damage


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no description": (lambda f: _without(f / "net.toml", f / "net.onnx"), r"no description: write net.toml beside"),
    "a key is missing": (toml("resolutions_nm = [[8, 8, 40]]", ""), r"`resolutions_nm` is missing"),
    "an unknown key": (toml("margin", "margins"), r"`margins` is not known; did you mean `margin`"),
    "unknown axes": (toml('"bczyx"', '"bctyx"'), r"axes are 'bctyx'; they must be b, c, x, y and z"),
    "a patch that is not divisible": (toml("[16, 12, 5]", "[15, 12, 5]"), r"15 voxels along x; allowed are 8, 10, 12"),
    "a margin that leaves nothing": (toml("margin = [2, 2, 0]", "margin = [8, 2, 0]"), r"leaves nothing of"),
    "wrong output channels": (
        toml('{ name = "myelin" }', '{ name = "m" }, { name = "n" }'),
        r"2 channels of 16 x 12 x 5 and 1 channels.*`outputs` say 4 channels",
    ),
    "wrong input channels": (
        toml('axes = "bczyx"', 'axes = "bczyx"\ninputs = ["image", "mask"]'),
        r"takes 1 along c, and the description 2",
    ),
    "truncated ONNX": (truncated("net.onnx"), r"ONNX Runtime cannot load it"),
    "ONNX that is text": (replaced("net.onnx", lambda _: b"not a net, but a page"), r"no ONNX model"),
    "ONNX data missing": (replaced("net.onnx", external_data), r"keeps weights in another file"),
    "truncated TorchScript": (truncated("net.pt"), r"no TorchScript archive"),
    "a pickle in place of TorchScript": (
        replaced("net.pt", lambda f: pickle.dumps(Malicious(f / "mark"))),
        r"looks like pickled Python .* not loaded",
    ),
    "torch.save in place of TorchScript": (
        replaced("net.pt", lambda f: saved({"net": Malicious(f / "mark")})),
        r"looks like pickled Python .* not loaded",
    ),
    "TorchScript that writes files": (
        replaced("net.pt", lambda f: scripted(WritesFiles(), f)),
        r"its code has torch.save, which a net has no use for; it is not loaded",
    ),
    "NaN weights": (replaced("net.pt", with_nan), r"NaN or infinite values in conv.weight"),
    "pickled weights": (
        lambda f: replaced("net.chkpt", lambda g: saved(Malicious(g / "mark")))(f),
        r"end in .chkpt; .*Pickled weights are not opened",
    ),
    "truncated safetensors": (truncated("net.safetensors"), r"net.safetensors: cannot be read"),
    "arrays that fit no network": (lambda f: f / "net.safetensors", r"do not fit the network"),
    "a damaged digest": (rdf("sha256: ", "sha256: 0000"), r"rdf.yaml is no valid description .*sha256"),
    "another digest": (
        lambda f: replaced("package/net.onnx", lambda g: (g / "net.onnx").read_bytes() + b" ")(f).parent,
        r"has the SHA-256 .*, and rdf.yaml says",
    ),
    "pickled weights in a package": (only_pickled, r"weights as pytorch_state_dict; .*pickled weights are not opened"),
    "weights outside of a package": (zip_with("../../net.onnx"), r"lies outside of it|no valid description"),
    "weights that are not in a package": (zip_with("net.onnx"), r"net.onnx cannot be read"),
    "preprocessing that is not known": (
        rdf("scale_range, kwargs: {min_percentile: 2, max_percentile: 98}", "binarize, kwargs: {threshold: 3}"),
        r"preprocessing by binarize; one of",
    ),
}  # fmt: skip


def _without(path: Path, model: Path) -> Path:
    path.unlink()
    return model


def run_once(path: Path, native: str) -> None:
    """Load a net and run it on a patch of its default shape."""
    engine = load_engine(path, native, "fp32", "cpu")  # type: ignore[arg-type]
    engine.run(np.zeros((1, len(engine.description.inputs), *engine.description.patch.default), np.float32))


@pytest.mark.parametrize("case", sorted(BAD))
def test_a_bad_net_has_one_clear_message(good: Path, tmp_path: Path, case: str) -> None:
    """The message names the file and the fault, and nothing of the file was run."""
    folder = tmp_path / "nets"
    shutil.copytree(good, folder)
    damage, message = BAD[case]
    path = damage(folder)
    native = "onnx" if path.suffix in (".onnx", ".zip") or path.is_dir() else "torch"
    with pytest.raises(SeuronError, match=message) as caught:
        run_once(path, native)
    assert path.stem.split(".")[0] in str(caught.value)
    assert not (folder / "mark").exists()
    assert not Path("/tmp/never-written").exists()


def test_a_foreign_package_is_described_by_what_it_says(good: Path) -> None:
    """Voxels, patches, margin, scale and outputs follow from a package of the zoo that knows nothing of seuron."""
    found = describe(good / "package")
    assert found.axes == "bczyx"
    assert found.resolutions_nm == ((8, 8, 40),)
    assert (found.patch.minimum, found.patch.granularity, found.margin) == ((8, 8, 4), (4, 4, 1), (2, 2, 0))
    assert (found.scale.kind, found.scale.low, found.scale.high) == ("percentiles", 2, 98)
    assert [channel.name for channel in found.outputs[0].channels] == ["a", "b", "m"]
    assert (found.outputs[0].activation, found.licence) == ("sigmoid", "MIT")


def test_a_hostile_state_dict_runs_nothing(tmp_path: Path) -> None:
    """What `models get` converts is read as tensors only."""
    with pytest.raises(PermanentError, match=r"no state dict of tensors .*; nothing of it was run"):
        read_state_dict(saved({"net": Malicious(tmp_path / "mark")}), "net")
    assert not (tmp_path / "mark").exists()
    with pytest.raises(PermanentError, match="other things than tensors"):
        read_state_dict(saved({"step": 3}), "net")


def test_what_is_fetched_is_bounded_and_checked() -> None:
    """An address that gives another file, or does not answer, leaves nothing behind."""
    asked: list[tuple[str, int]] = []

    def other(address: str, most: int) -> bytes:
        asked.append((address, most))
        return b"another file"

    with pytest.raises(PermanentError, match="expected " + known_models()["microns-cleft"].sha256):
        get_model("microns-cleft", fetch=other)
    assert asked == [(known_models()["microns-cleft"].address, 1652490)]

    def silent(address: str, most: int) -> bytes:
        raise UnreachableError(f"{address} does not answer")

    with pytest.raises(UnreachableError):
        get_model("microns-cleft", fetch=silent)


def test_own_files_lose_nothing(tmp_path: Path) -> None:
    """What is written is read: arrays, network, description and record."""
    said = boundary_description("n", 3, [(8, 8, 40)], "MIT")
    weights = Weights(said, {"kind": "boundary"}, {"a": np.eye(3)}, {"r": 1})
    write_own(tmp_path / "n.safetensors", weights)
    found = read_own(tmp_path / "n.safetensors")
    assert (found.description, found.network, found.record) == (weights.description, weights.network, weights.record)
    np.testing.assert_array_equal(found.arrays["a"], np.eye(3))


@pytest.mark.parametrize(
    ("voxel", "limit", "fits"),
    [
        ((10, 10, 10), 0.25, True),
        ((12.5, 8, 10), 0.25, True),
        ((12.6, 10, 10), 0.25, False),
        ((10, 10, 7.9), 0.25, False),
        ((4, 4, 40), 3, True),
    ],
)
def test_voxels_may_differ_by_a_quarter(voxel: tuple[float, float, float], limit: float, fits: bool) -> None:
    """On any axis, larger or smaller; the limit can be raised."""
    assert (resolution_problems(describe("boundary-fib25"), {0: voxel}, 0, limit) == []) == fits


def test_a_misfit_names_what_would_fit() -> None:
    """Another scale of the image, another net, and the parameter that allows it."""
    other = boundary_description("anisotropic", 3, [(5, 5, 40)])
    scales = {0: (5.0, 5.0, 40.0), 1: (10.0, 10.0, 10.0)}
    (problem,) = resolution_problems(describe("boundary-fib25"), scales, 0, others=[other])
    assert "trained on voxels of 10 x 10 x 10 nm" in problem
    assert "choose `mip` 1 (10 x 10 x 10 nm)" in problem
    assert "use the net anisotropic" in problem
    assert "`model_resolution_limit` (at least 3.01)" in problem


def test_a_wrong_description_has_all_of_its_problems_named(good: Path, tmp_path: Path) -> None:
    """Who writes a TOML file hears of everything at once."""
    shutil.copy(good / "net.onnx", tmp_path / "net.onnx")
    described(tmp_path / "net.onnx", DESCRIPTION.replace("[16, 12, 5]", "[16, 0, 5]").replace("std = 64", "std = -1"))
    with pytest.raises(ParameterErrors) as caught:
        describe(tmp_path / "net.onnx")
    assert len(caught.value.problems) == 2

"""Engines run nets as their descriptions say, and give the same to within roundings."""

from __future__ import annotations

import gc
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_nets import TwoLayers, described, write_onnx, write_torchscript

from seuron.errors import PermanentError, RunError
from seuron.nets.engines import Engine, layout, load_engine
from seuron.nets.fetch import get_model
from seuron.nets.models import Channel, ModelDescription, OutputLayer, PatchShapes, describe
from seuron.nets.package_export import export_package

SHARED = Path(__file__).parents[4] / "shared" / "data" / "synapse_microns"
needs_microns = pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the MICrONS nets in {SHARED}")
#: Largest difference of a probability from torch's in fp32, in fp32 and in bf16.
FP32, BF16 = 1e-5, 0.05


@pytest.fixture(scope="module", autouse=True)
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Nets and converted graphs of these tests lie in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEURON_MODELS", str(tmp_path_factory.mktemp("models")))
        yield


@pytest.fixture(scope="module")
def batch() -> np.ndarray:
    """Two patches of noise (N, 1, X, Y, Z)."""
    return np.random.default_rng(1).standard_normal((2, 1, 16, 8, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def reference(batch: np.ndarray) -> np.ndarray:
    """What torch makes of them in fp32 with the shipped net."""
    return load_engine("boundary-fib25", "torch", "fp32", "cpu").run(batch)


def test_a_patch_has_one_output_whatever_is_in_its_batch(batch: np.ndarray, reference: np.ndarray) -> None:
    """Batches change the time and nothing else, and values lie in the layer's range."""
    assert reference.shape == (2, 3, 16, 8, 12)
    assert 0 <= reference.min() < reference.max() <= 1
    alone = load_engine("boundary-fib25", "torch", "fp32", "cpu").run(batch[1:])
    np.testing.assert_array_equal(alone, reference[1:])


@pytest.mark.parametrize("failures", [1, 2])
def test_a_device_without_memory_is_tried_again_then_named(
    failures: int, batch: np.ndarray, reference: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A patch that finds no memory is computed once torch's cache is empty; if not, the error names the remedy."""
    engine = load_engine("boundary-fib25", "torch", "fp32", "cpu")
    forward, left = torch.nn.Module.__call__, [failures]

    def short_of_memory(module: torch.nn.Module, *given: object) -> object:
        if isinstance(given[0], torch.Tensor) and given[0].shape[1] == 1 and left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(module, *given)

    monkeypatch.setattr(torch.nn.Module, "__call__", short_of_memory)
    if failures == 1:
        np.testing.assert_array_equal(engine.run(batch), reference)
    else:
        with pytest.raises(RunError, match=r"no memory for one patch of 1 x 1 x 16 x 8 x 12 .* smaller `patch_size`"):
            engine.run(batch)


@pytest.mark.parametrize(
    ("engine", "precision", "tolerance"),
    [("onnx", "fp32", FP32), ("openvino", "fp32", FP32), ("openvino", "bf16", BF16), ("torch", "bf16", BF16)],
)
def test_engines_agree_with_torch(
    batch: np.ndarray, reference: np.ndarray, engine: str, precision: str, tolerance: float
) -> None:
    """Each engine and precision is within the stated tolerance of torch in fp32."""
    pytest.importorskip({"onnx": "onnxruntime"}.get(engine, engine))
    found = load_engine("boundary-fib25", engine, precision, "cpu")  # type: ignore[arg-type]
    assert (found.name, found.precision) == (engine, precision)
    np.testing.assert_allclose(found.run(batch), reference, atol=tolerance, rtol=0)


def test_a_kept_graph_gives_the_same_bytes(batch: np.ndarray) -> None:
    """OpenVINO's graph is converted once; what was kept is what was made."""
    pytest.importorskip("openvino")
    first, second = (load_engine("boundary-fib25", "openvino", "fp32", "cpu") for _ in range(2))
    np.testing.assert_array_equal(first.run(batch), second.run(batch))


def expected_of_two_layers(batch: np.ndarray) -> np.ndarray:
    """`TwoLayers` called by hand, in our axes."""
    with torch.inference_mode():
        logits, myelin = TwoLayers().eval()(torch.from_numpy(batch.transpose(0, 1, 4, 3, 2).copy()))
    return torch.cat([torch.sigmoid(logits), myelin], 1).numpy().transpose(0, 1, 4, 3, 2)


def run_foreign(engine: Engine, batch: np.ndarray) -> None:
    """Check what an engine makes of `TwoLayers`, on patches of two shapes."""
    for part in (batch, batch[:, :, :10, :, :3]):
        np.testing.assert_allclose(engine.run(np.ascontiguousarray(part)), expected_of_two_layers(part), atol=FP32)


def test_a_torchscript_net_runs(tmp_path: Path, batch: np.ndarray) -> None:
    """Anisotropic, axes z y x, two outputs, one with an activation to apply: what comes out is the module's."""
    path = described(write_torchscript(tmp_path / "two.pt"))
    run_foreign(load_engine(path), batch)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_plain_onnx_net_runs(tmp_path: Path, batch: np.ndarray, engine: str) -> None:
    """The same net as ONNX, in both engines that read it."""
    pytest.importorskip({"onnx": "onnxruntime"}.get(engine, engine))
    path = described(write_onnx(tmp_path / "two.onnx"))
    run_foreign(load_engine(path, engine, "fp32", "cpu"), batch)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_package_is_what_was_packed(tmp_path: Path, batch: np.ndarray) -> None:
    """A package of the BioImage Model Zoo that we write is read again with nothing lost, and runs."""
    path = described(write_onnx(tmp_path / "two.onnx"))
    package = export_package(path, tmp_path / "package", "somebody")
    gc.collect()  # bioimageio.spec leaves closing its files to the collector
    before, after = (describe(p).model_copy(update={"sha256": ""}) for p in (path, package))
    assert before == after
    run_foreign(load_engine(package, "onnx", "fp32", "cpu"), batch)


def test_a_net_for_sections_sees_each_section_by_itself(tmp_path: Path, batch: np.ndarray) -> None:
    """Without `z` in its axes, a net runs on the sections of a patch."""
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3, padding=1))
    text = """
axes = "bcyx"
resolutions_nm = []
patch = { default = [16, 8, 1] }
outputs = [{ name = "grey", range = [-100, 100], channels = [{ name = "grey" }] }]
"""
    path = described(write_onnx(tmp_path / "flat.onnx", net, "bcyx"), text)
    found = load_engine(path, "onnx").run(batch)
    with torch.inference_mode():
        section = net(torch.from_numpy(batch[1, :, :, :, 4].transpose(0, 2, 1).copy())[None])[0].numpy()
    np.testing.assert_allclose(found[1, :, :, :, 4], section.transpose(0, 2, 1), atol=1e-6)


@needs_microns
def test_the_cleft_net_of_microns_finds_clefts() -> None:
    """By name, from its authors' file, on their sample: the maximum is above 0.99, and few voxels are."""
    h5py = pytest.importorskip("h5py")
    path = get_model("microns-cleft", SHARED / "mip1_d2_1175k.chkpt")
    assert path.suffix == ".safetensors"
    with h5py.File(SHARED / "pinky_sample1_18x192x192.h5") as file:
        image = file["raw"][1:17, 16:176, 16:176].T[None, None].astype(np.float32) / 255
    engine = load_engine("microns-cleft", threads=1)
    assert engine.name == "torch"  # its patches' own statistics have no counterpart elsewhere
    clefts = engine.run(image)
    assert clefts.max() > 0.99
    assert 0.003 < (clefts > 0.5).mean() < 0.01


def test_a_file_that_is_not_the_named_net_is_not_opened(tmp_path: Path) -> None:
    """The digest is checked before anything is read."""
    (tmp_path / "net.chkpt").write_bytes(b"\x80\x04other")
    with pytest.raises(PermanentError, match=r"not the net microns-cleft: its SHA-256 is .*Nothing of it was opened"):
        get_model("microns-cleft", tmp_path / "net.chkpt")


@pytest.mark.parametrize("activation", ["none", "sigmoid", "softmax"])
def test_outputs_are_finished_layer_by_layer(activation: str) -> None:
    """Activations are torch's, targets are undone, what leaves the range is clipped, NaN stays."""
    channels = (Channel(name="a"), Channel(name="b"))
    layer = OutputLayer(name="l", channels=channels, activation=activation, targets=(0.1, 0.9))
    other = OutputLayer(name="o", channels=(Channel(name="c"),), range=(-5, 5))
    model = ModelDescription(name="m", resolutions_nm=(), patch=PatchShapes(default=(4, 4, 4)), outputs=(layer, other))
    raw = np.random.default_rng(0).normal(0, 30, (3, 4, 4, 4)).astype(np.float32)
    raw[2, 0, 0, 0] = np.nan
    values = torch.from_numpy(raw[:2])
    applied = {"none": values, "sigmoid": torch.sigmoid(values), "softmax": torch.softmax(values, 0)}[activation]
    found = layout.finished(raw.copy(), model)
    np.testing.assert_allclose(found[:2], ((applied - 0.1) / 0.8).clamp(0, 1).numpy(), atol=1e-6)
    np.testing.assert_array_equal(found[2], raw[2].clip(-5, 5))


def test_the_digest_is_of_all_files(tmp_path: Path) -> None:
    """A changed description is another net, for runs that were begun with it."""
    path = described(write_torchscript(tmp_path / "two.pt"))
    first = describe(path).sha256
    toml = path.with_suffix(".toml")
    toml.write_text(toml.read_text().replace("std = 64", "std = 63"))
    assert describe(path).sha256 != first
    assert describe("boundary-fib25").sha256 == hashlib.sha256(Path(describe_path()).read_bytes()).hexdigest()


def describe_path() -> str:
    """Where the shipped net lies."""
    from seuron.nets.models import model_path

    return str(model_path("boundary-fib25"))

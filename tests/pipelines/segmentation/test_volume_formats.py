"""Runs on volumes of other formats, and with layers in OME-Zarr and in shards: the same voxels, however."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from runs_on_disk import CORNER, bytes_of, layers_of, parameters, save, smooth_affinities

from seuron.box import Box
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.engine.setup import check_run, prepare_run
from seuron.errors import ParameterErrors
from seuron.volumes import create_volume, open_volume
from seuron.web.neuroglancer_state import neuroglancer_state
from seuron.web.snapshot import RunSnapshot

SHAPE = (70, 50, 40)
CHUNKS = {"chunk_size": (48, 48, 48), "batch_chunks": 1}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("source") / "affinities", smooth_affinities(SHAPE))


@pytest.fixture(scope="module")
def plain(source: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in one chunk on a precomputed input, with precomputed layers."""
    return run_local(parameters(source, tmp_path_factory.mktemp("plain") / "run"))


def ome_affinities(folder: Path, voxels: np.ndarray, **array: Any) -> str:
    """The affinities of `save` as an OME-Zarr 0.5 with channels first, in zarr-python's words."""
    group = zarr.open_group(folder / "affinities.zarr", mode="w", zarr_format=3)
    stored = group.create_array("0", shape=voxels.T.shape, dtype="u1", **{"chunks": (3, 16, 16, 16), **array})
    stored[...] = voxels.T
    place = [a * b for a, b in zip(reversed(CORNER), (40, 8, 8), strict=True)]
    steps = [
        {"type": "scale", "scale": [1, 40, 8, 8]},
        {"type": "translation", "translation": [0, *place]},
    ]
    space = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    image = {
        "axes": [{"name": "c", "type": "channel"}, *space],
        "datasets": [{"path": "0", "coordinateTransformations": steps}],
    }
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    return str(folder / "affinities.zarr")


def same_layers(run: Run, plain: Run) -> None:
    """Both label layers are equal at every scale."""
    for name in ("supervoxels", "segmentation"):
        first, second = (open_volume(made.layer(name)) for made in (run, plain))
        for mip in range(first.scales):
            one, two = open_volume(first.path, mip), open_volume(second.path, mip)
            assert (one.box, one.resolution_nm) == (two.box, two.resolution_nm)
            np.testing.assert_array_equal(one.read(one.box), two.read(two.box))


@pytest.mark.parametrize(
    "array",
    [
        {"shards": (3, 32, 32, 32)},
        pytest.param({}, marks=pytest.mark.long),
        pytest.param({"chunks": (1, 16, 16, 16)}, marks=pytest.mark.long),
    ],
)
def test_a_run_on_ome_zarr_writes_the_bytes_of_one_on_precomputed(
    array: dict[str, Any], plain: Run, tmp_path: Path
) -> None:
    """Chunks, shards and files for each channel; the input is as it was."""
    path = ome_affinities(tmp_path, smooth_affinities(SHAPE), **array)
    before = {p: hashlib.sha256(p.read_bytes()).digest() for p in Path(path).rglob("*") if p.is_file()}
    run = run_local(parameters(path, tmp_path / "run", **CHUNKS))
    assert bytes_of(tmp_path / "run") == bytes_of(Path(plain.output.removeprefix("file://")))
    assert {p: hashlib.sha256(p.read_bytes()).digest() for p in Path(path).rglob("*") if p.is_file()} == before
    assert run.facts.box == plain.facts.box


def test_a_changed_chunk_of_ome_zarr_is_computed_again_alone(tmp_path: Path) -> None:
    """Fingerprints of chunks say which tasks a repaired region needs."""
    voxels = smooth_affinities(SHAPE)
    path = ome_affinities(tmp_path, voxels)
    first = max(r.ended for r in run_local(parameters(path, tmp_path / "run", **CHUNKS)).records())
    voxels[:16, :16, :16] = 255 - voxels[:16, :16, :16]
    zarr.open_array(f"{path}/0", mode="r+")[:, :16, :16, :16] = voxels.T[:, :16, :16, :16]
    again = run_local(parameters(path, tmp_path / "run", **CHUNKS))
    whole = run_local(parameters(path, tmp_path / "whole"))
    np.testing.assert_array_equal(layers_of(again), layers_of(whole))
    leaves = [r for r in again.records() if r.stage == "watershed" and r.tier == 0]
    assert 0 < sum(r.started > first for r in leaves) < len(leaves)


@pytest.mark.parametrize(
    ("layer_format", "shard_above"),
    [("precomputed", 10), ("ome-zarr", 0), pytest.param("ome-zarr", 10, marks=pytest.mark.long)],
)
def test_layers_have_the_same_voxels_in_both_formats_and_in_shards(
    layer_format: str, shard_above: int, source: str, plain: Run, tmp_path: Path
) -> None:
    """Tasks write whole shards, whatever the chunks; viewers are told of all of them."""
    form = {"layer_format": layer_format, "shard_above": shard_above}
    run = run_local(parameters(source, tmp_path / "run", **form, **CHUNKS))
    same_layers(run, plain)
    segmentation = open_volume(run.layer("segmentation"))
    assert segmentation.is_sharded == (shard_above > 0)
    assert segmentation.kind == "segmentation"
    snapshot = RunSnapshot(run, "version", frozenset(task.id for task in run.plan.tasks))
    state = neuroglancer_state(snapshot, lambda name, version: f"http://here/{name}")
    found = {layer["name"]: layer["source"] for layer in state["layers"]}
    if layer_format == "precomputed":
        assert found["segmentation"] == "precomputed://http://here/segmentation"
    else:
        assert found["segmentation"]["url"] == "zarr://http://here/segmentation"
        # Neuroglancer takes the translation as the place of the first voxel's centre.
        shifts = [row[-1] for row in found["segmentation"]["transform"]["matrix"]]
        assert shifts == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("layer_format", [pytest.param("precomputed", marks=pytest.mark.long), "ome-zarr"])
def test_bytes_of_layers_do_not_depend_on_the_chunks(layer_format: str, source: str, tmp_path: Path) -> None:
    """In shards as well: one chunk or many give the same files."""
    form = {"layer_format": layer_format, "shard_above": 10}
    for name, chunks in (("one", {}), ("many", CHUNKS)):
        run_local(parameters(source, tmp_path / name, **form, **chunks))
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "many")


def test_a_run_in_ome_zarr_grows_upwards(source: str, plain: Run, tmp_path: Path) -> None:
    """At its upper faces; the result is that of a run from nothing."""
    low = [*CORNER, CORNER[0] + 70, CORNER[1] + 50, CORNER[2] + 25]
    form: dict[str, Any] = {"layer_format": "ome-zarr", **CHUNKS}
    run_local(parameters(source, tmp_path / "run", bbox=low, **form))
    same_layers(run_local(parameters(source, tmp_path / "run", **form)), plain)


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        (
            {},
            {"layer_format": "ome-zarr"},
            "a run whose `layer_format` was precomputed, now ome-zarr; choose a new folder",
        ),
        ({"shard_above": 5, "bbox": "small"}, {}, "stored in shards.* a run with shards cannot grow"),
        (
            {"layer_format": "ome-zarr", "bbox": "high", "frame": "all"},
            {"layer_format": "ome-zarr", "frame": "all"},
            "OME-Zarr, whose blocks are counted from the corner.* may grow at its upper faces only",
        ),
    ],
)
def test_changes_that_layers_cannot_follow_are_refused(
    first: dict[str, Any], then: dict[str, Any], message: str, source: str, tmp_path: Path
) -> None:
    """Another format, growth with shards, growth downwards in OME-Zarr: a sentence each, and nothing is written."""
    boxes = {
        "small": [*CORNER, CORNER[0] + 70, CORNER[1] + 50, CORNER[2] + 32],
        "high": [CORNER[0], CORNER[1], CORNER[2] + 16, CORNER[0] + 70, CORNER[1] + 50, CORNER[2] + 40],
        "all": [*CORNER, CORNER[0] + 70, CORNER[1] + 50, CORNER[2] + 40],
    }
    named = [{k: boxes.get(v, v) if isinstance(v, str) else v for k, v in change.items()} for change in (first, then)]
    prepare_run(parameters(source, tmp_path / "run", **named[0]))
    with pytest.raises(ParameterErrors, match=message):
        prepare_run(parameters(source, tmp_path / "run", **named[1]))


def _damage(path: Path) -> None:
    for chunk in (p for p in path.rglob("*") if p.is_file() and p.name.isdigit()):
        chunk.write_bytes(b"no chunk")


def _labels(folder: Path, dtype: str) -> str:
    """Labels on the grid of the affinities, in Zarr 2 without OME's metadata."""
    path = folder / "labels.zarr"
    array = zarr.create_array(path, shape=SHAPE[::-1], chunks=(16, 16, 16), dtype=dtype, zarr_format=2)
    array[...] = np.arange(np.prod(SHAPE)).reshape(SHAPE[::-1]) // 999 + 1
    offset = [a * b for a, b in zip(reversed(CORNER), (40, 8, 8), strict=True)]
    array.attrs.update({"axes": "zyx", "resolution": [40, 8, 8], "units": "nm", "offset": offset})
    return str(path)


def test_what_cannot_be_decoded_is_told_before_the_run(source: str, tmp_path: Path) -> None:
    """One block of each input is decoded by the check, and all that is wrong is named at once."""
    broken = ome_affinities(tmp_path, smooth_affinities(SHAPE))
    truth = _labels(tmp_path, "u2")
    assert check_run(parameters(broken, tmp_path / "run", ground_truth=truth))[1] == []
    _damage(Path(broken))
    for chunk in Path(truth).glob("*.*.*"):
        chunk.write_bytes(b"no chunk")
    problems = check_run(parameters(broken, tmp_path / "run", ground_truth=truth))[1]
    assert [problem.split(":")[0] for problem in problems] == ["`affinities`", "`ground_truth`"]
    assert all("is damaged" in problem for problem in problems)


@pytest.mark.long
def test_labels_of_16_bits_score_a_run(source: str, tmp_path: Path) -> None:
    """Ground truth in a plain Zarr array whose type alone does not say that they are labels."""
    run = run_local(parameters(source, tmp_path / "run", ground_truth=_labels(tmp_path, "u2"), **CHUNKS))
    assert run.storage.get("scores.json") is not None


def test_an_image_in_precomputed_is_no_ground_truth(source: str, tmp_path: Path) -> None:
    """There the file says that it is an image."""
    box = Box.from_shape(CORNER, SHAPE)
    image = create_volume(str(tmp_path / "image"), box, (8, 8, 40), dtype="uint16", pyramid=False)
    image.write(box, np.ones(SHAPE, np.uint16))
    problems = check_run(parameters(source, tmp_path / "run", ground_truth=image.path))[1]
    assert len(problems) == 1
    assert "is an image (uint16), by the `type` in its info" in problems[0]


def test_blocks_of_another_encoding_than_the_info_says(tmp_path: Path) -> None:
    """An info that says crackle over raw blocks: a sentence from the check."""
    box = Box.from_shape(CORNER, SHAPE)
    labels = create_volume(
        str(tmp_path / "good"), box, (8, 8, 40), dtype="uint32", kind="segmentation", encoding="raw", pyramid=False
    )
    labels.write(box, np.ones(SHAPE, np.uint32))
    info = tmp_path / "good/info"
    info.write_text(info.read_text().replace('"encoding": "raw"', '"encoding": "crackle"'))
    source = save(tmp_path / "affinities", smooth_affinities(SHAPE))
    problems = check_run(parameters(source, tmp_path / "run", ground_truth=str(tmp_path / "good")))[1]
    assert len(problems) == 1
    assert "is damaged (Incorrect magic number" in problems[0]

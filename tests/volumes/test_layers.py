"""Layers of ours in both formats: the same voxels, shards, and what other libraries and the schemas make of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import tensorstore
from chaos.object_store import ObjectStore
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from profiles import scaled

from seuron.box import Box, Triple, triple
from seuron.errors import DataError, VolumeError
from seuron.storage import Storage, local_folder
from seuron.volumes import Volume, create_volume, open_volume
from seuron.volumes.fingerprints import content_digest, fingerprints_of
from seuron.volumes.growth import remove_stale_blocks
from seuron.volumes.layouts import LAYER_ENCODINGS, LayerFormat, LayerLayout, curve_axes, shard_bits, shard_size
from seuron.volumes.pyramid import build_pyramid, downsample
from seuron.volumes.volume import Kind

BOX = Box((5, -3, 11), (105, 67, 61))
FORMATS: tuple[LayerFormat, ...] = ("precomputed", "ome-zarr")
#: Shards of four blocks of 32^3 at the first scale, and of two at the second.
SHARDED = 6


def voxels_of(kind: Kind, channels: int = 1) -> NDArray[Any]:
    """Cells of 5^3 voxels (X, Y, Z, C): labels of up to 63 bits, or grey values."""
    rng = np.random.default_rng(3)
    shape = [-(-n // 5) for n in BOX.shape]
    if kind == "segmentation":
        cells = rng.choice(rng.integers(0, 2**63, 40, dtype=np.uint64), (*shape, channels))
    else:
        cells = rng.integers(0, 256, (*shape, channels)).astype(np.uint8)
    x, y, z = (np.arange(n) // 5 for n in BOX.shape)
    return np.asfortranarray(cells[np.ix_(x, y, z)])


def made(path: str, kind: Kind, channels: int = 1, **form: Any) -> Volume:
    """A whole layer with its pyramid."""
    dtype = "uint64" if kind == "segmentation" else "uint8"
    form = {"block_size": (32, 32, 32), **form}
    layer = create_volume(path, BOX, (8, 8, 40), dtype=dtype, kind=kind, channels=channels, **form)
    layer.write(BOX, voxels_of(kind, channels))
    build_pyramid(layer)
    return layer


def stored(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def by_tensorstore(volume: Volume) -> NDArray[Any]:
    """The voxels (X, Y, Z, C) of a scale as tensorstore reads them."""
    kvstore = {"driver": "file", "path": f"{local_folder(volume.path)}/"}
    if volume.format == "precomputed":
        spec = {"driver": "neuroglancer_precomputed", "kvstore": kvstore, "scale_index": volume.mip}
        return np.asarray(tensorstore.open(spec).result()[...].read().result())
    kvstore["path"] += f"{volume.key}/"
    read = np.asarray(tensorstore.open({"driver": "zarr3", "kvstore": kvstore}).result()[...].read().result())
    return read.transpose(3, 2, 1, 0) if read.ndim == 4 else read.transpose(2, 1, 0)[..., np.newaxis]


@pytest.mark.parametrize("shard_above", [0, SHARDED])
@pytest.mark.parametrize(("kind", "channels"), [("segmentation", 1), ("image", 3)])
def test_both_formats_hold_the_same_voxels_at_every_scale(
    kind: Kind, channels: int, shard_above: int, tmp_path: Path
) -> None:
    """Boxes, voxel sizes, kinds and voxels agree, with shards and without, and tensorstore reads them as we do."""
    layers = [made(str(tmp_path / f), kind, channels, layer_format=f, shard_above=shard_above) for f in FORMATS]
    assert layers[0].scales == layers[1].scales == 2
    for mip in range(2):
        first, second = (open_volume(layer.path, mip) for layer in layers)
        about = [
            (v.box, v.resolution_nm, v.kind, v.dtype, v.channels, v.block_size, v.is_sharded) for v in (first, second)
        ]
        assert about[0] == about[1]
        assert first.is_sharded == (shard_above > 0)
        np.testing.assert_array_equal(first.read(first.box), second.read(second.box))
        for volume in (first, second):
            if not (
                kind == "segmentation" and volume is first and shard_above == 0
            ):  # gzipped, as cloud-volume does it
                np.testing.assert_array_equal(by_tensorstore(volume), volume.read(volume.box))
            assert volume.missing_blocks(volume.box) == []
    np.testing.assert_array_equal(layers[0].read(BOX), voxels_of(kind, channels))


def test_cloud_volume_reads_and_writes_the_same(tmp_path: Path) -> None:
    """Layers with shards as cloud-volume reads them, and one that it wrote with its own sharding as we do."""
    from cloudvolume import CloudVolume

    layer = made(str(tmp_path / "ours"), "segmentation", shard_above=SHARDED)
    theirs = CloudVolume(layer.path, mip=0, progress=False)
    np.testing.assert_array_equal(np.asarray(theirs[BOX.slices]), layer.read(BOX))
    info = CloudVolume.create_new_info(
        1,
        "segmentation",
        "uint64",
        "compressed_segmentation",
        (8, 8, 40),
        BOX.minimum,
        BOX.shape,
        chunk_size=(16, 16, 16),
    )
    written = CloudVolume(f"file://{tmp_path}/theirs", info=info, progress=False)
    written.image.to_sharded(uncompressed_shard_bytesize=2**19)
    written.commit_info()
    labels, size = voxels_of("segmentation"), triple(written.image.shard_shape())
    for _, part in BOX.cells(size):
        name, content = written.image.make_shard(labels[part.within(BOX)], _bbox(part))
        Storage(str(tmp_path / "theirs" / "8_8_40")).put(name, content)
    ours = open_volume(str(tmp_path / "theirs"))
    np.testing.assert_array_equal(ours.read(BOX), labels)
    assert ours.block_size == size
    assert all((tmp_path / "theirs" / ours.block_name(block)).exists() for block in ours.blocks(BOX))


def _bbox(box: Box) -> Any:
    from cloudvolume.lib import Bbox

    return Bbox(box.minimum, box.maximum)


@pytest.mark.parametrize("coarse", [False, pytest.param(True, marks=pytest.mark.long)])
def test_ngff_zarr_reads_what_we_write_and_writes_what_we_read(coarse: bool, tmp_path: Path) -> None:
    """Axes, scales, translations and voxels, in both directions; both follow the schema of OME-Zarr 0.5."""
    import ngff_zarr

    ours = made(str(tmp_path / "ours"), "image", layer_format="ome-zarr")
    theirs = ngff_zarr.from_ngff_zarr(str(tmp_path / "ours"), validate=True, version="0.5")
    for mip, image in enumerate(theirs.images):
        scale = open_volume(ours.path, mip)
        assert tuple(image.dims) == ("z", "y", "x")
        assert [image.scale[axis] for axis in "xyz"] == list(scale.resolution_nm)
        np.testing.assert_array_equal(np.asarray(image.data).transpose(2, 1, 0), scale.read(scale.box)[..., 0])
    assert [theirs.images[0].translation[axis] for axis in "xyz"] == [40, -24, 440]
    image = ngff_zarr.to_ngff_image(
        voxels_of("image")[..., 0].transpose(2, 1, 0),
        dims=["z", "y", "x"],
        scale={"z": 40.0, "y": 8.0, "x": 8.0},
        translation={"z": 440.0, "y": -24.0, "x": 40.0},
        axes_units=dict.fromkeys("zyx", "nanometer"),
    )
    factors: list[Any] = [{"x": 2, "y": 2, "z": 1}] if coarse else []
    pyramid = ngff_zarr.to_multiscales(image, scale_factors=factors, chunks=64)
    for version in ("0.4", "0.5"):
        path = str(tmp_path / version)
        ngff_zarr.to_ngff_zarr(path, pyramid, version=version)
        fine = open_volume(path)
        assert (fine.box, fine.resolution_nm) == (BOX, (8.0, 8.0, 40.0))
        np.testing.assert_array_equal(fine.read(BOX), voxels_of("image"))
        assert fine.scales == 1 + len(factors)
        assert open_volume(path, len(factors)).box == open_volume(ours.path, len(factors)).box


@pytest.mark.parametrize("kind", ["segmentation", "image"])
def test_metadata_follow_the_schemas(kind: Kind, tmp_path: Path) -> None:
    """The JSON schemas of OME-Zarr 0.5, which ngff-zarr ships, also for labels, and in their strict form."""
    from ngff_zarr.validate import validate

    made(str(tmp_path), kind, 3 if kind == "image" else 1, layer_format="ome-zarr")
    attributes = json.loads((tmp_path / "zarr.json").read_text())["attributes"]
    validate(attributes, version="0.5", model="image", strict=True)
    if kind == "segmentation":
        validate(attributes, version="0.5", model="label")


@settings(max_examples=scaled(3))
@given(st.sampled_from([0, SHARDED]), st.randoms(use_true_random=False), st.sampled_from(["segmentation", "image"]))
def test_bytes_do_not_depend_on_who_writes_which_block(
    tmp_path_factory: pytest.TempPathFactory, shard_above: int, random: Any, kind: Kind
) -> None:
    """OME-Zarr: blocks in any order, some of them twice, give the same files as one write, at all scales."""
    whole, split = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("split")
    form: Mapping[str, Any] = {"layer_format": "ome-zarr", "shard_above": shard_above}
    layer, voxels = made(str(whole), kind, **form), voxels_of(kind)
    other = create_volume(
        str(split), BOX, (8, 8, 40), dtype=str(voxels.dtype), kind=kind, block_size=(32, 32, 32), **form
    )
    blocks = other.blocks(BOX)
    random.shuffle(blocks)
    for block in [*blocks, blocks[0]]:
        open_volume(other.path).write(block, voxels[block.within(BOX)])
    coarse = open_volume(other.path, 1)
    for block in coarse.blocks(coarse.box):
        downsample(coarse, block)
    assert stored(split) == stored(whole)
    assert layer.scales == 2


@pytest.mark.parametrize("layer_format", FORMATS)
def test_a_lost_shard_is_named_and_found_by_its_fingerprint(layer_format: LayerFormat, tmp_path: Path) -> None:
    """Chunks of a shard that is not there are errors or zeros; a shard that changes is noticed, and no other one."""
    path = str(tmp_path / "layer")
    layer = made(path, "segmentation", layer_format=layer_format, shard_above=SHARDED, pyramid=False)
    before, lost = fingerprints_of(layer, BOX), layer.blocks(BOX)[1]
    digest = content_digest(layer, lost, "error")
    with pytest.raises(VolumeError, match="cuts through"):
        layer.write(Box.from_shape(BOX.minimum, (16, 16, 16)), np.zeros((16, 16, 16), np.uint64))
    layer.write(lost, np.ones(lost.shape, np.uint64))
    after = fingerprints_of(layer, BOX)
    assert [box.intersect(BOX) for box in after.changed_since(before)] == [lost]
    assert content_digest(layer, lost, "error") != digest
    (tmp_path / "layer" / layer.block_name(lost)).unlink()
    again = open_volume(path)
    assert all(lost.contains(part) for part in again.missing_blocks(BOX))
    assert sum(part.voxels for part in again.missing_blocks(BOX)) == lost.voxels
    with pytest.raises(DataError, match="missing_blocks"):
        again.read(BOX)
    assert not again.read(lost, missing="zero").any()
    assert fingerprints_of(again, BOX).has_holes(lost)


@pytest.mark.parametrize("layer_format", FORMATS)
@pytest.mark.parametrize("shard_above", [0, SHARDED])
def test_layers_are_written_into_object_stores(layer_format: LayerFormat, shard_above: int, store: ObjectStore) -> None:
    """What is written to a bucket reads back from it."""
    form: dict[str, Any] = {"layer_format": layer_format, "shard_above": shard_above, "block_size": (32, 32, 32)}
    layer = made(store.url("bucket", uuid4().hex), "segmentation", **form)
    coarse = open_volume(layer.path, 1)
    np.testing.assert_array_equal(open_volume(layer.path).read(BOX), voxels_of("segmentation"))
    assert coarse.missing_blocks(coarse.box) == []


@pytest.mark.parametrize("shard_above", [0, SHARDED])
@pytest.mark.parametrize(
    ("layer_format", "kind", "encoding"),
    [
        (f, k, e)
        for f, kinds in LAYER_ENCODINGS.items()
        for k, encodings in kinds.items()
        for e in encodings
        if e != "png"
    ],
)
def test_every_encoding_is_without_loss(
    layer_format: LayerFormat, kind: Kind, encoding: str, shard_above: int, tmp_path: Path
) -> None:
    """A layer reads back equal in each encoding that can be chosen, one block a file or several."""
    layer = create_volume(
        str(tmp_path),
        BOX,
        (8, 8, 40),
        dtype="uint64" if kind == "segmentation" else "uint8",
        kind=kind,
        block_size=(64, 64, 64),
        pyramid=False,
        layer_format=layer_format,
        encoding=encoding,
        shard_above=shard_above // 3,
    )
    layer.write(BOX, voxels_of(kind))
    np.testing.assert_array_equal(open_volume(layer.path).read(BOX), voxels_of(kind))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"encoding": "jpeg"}, "cannot be 'jpeg'; allowed are raw, jxl, png"),
        ({"encoding": "jxl", "dtype": "uint16"}, "takes uint8 with 1 or 3 channels, got uint16 with 1"),
        ({"layer_format": "ome-zarr", "encoding": "crackle"}, "a ome-zarr image cannot be 'crackle'; allowed are zstd"),
    ],
)
def test_encodings_that_do_not_fit_are_refused(form: dict[str, Any], message: str, tmp_path: Path) -> None:
    """With those that do."""
    with pytest.raises(VolumeError, match=message):
        create_volume(str(tmp_path), BOX, (8, 8, 8), **{"dtype": "uint8", **form})


grids = st.tuples(*[st.integers(1, 40)] * 3)


@given(grids, st.integers(0, 12))
def test_shards_are_boxes_of_the_formats_curve(grid: Triple, bits: int) -> None:
    """Chunks whose places differ in the lowest bits only are those of one box: the slow twin asks for each place."""
    from cloudvolume.datasource.precomputed.common import compressed_morton_code

    bits = min(bits, len(list(curve_axes(grid))))
    places = list(Box((0, 0, 0), grid).places())
    shard = shard_size(grid, (1, 1, 1), bits)
    boxes = {place: tuple(p // s for p, s in zip(place, shard, strict=True)) for place in places}
    shards = {place: int(c) >> bits for place, c in zip(places, compressed_morton_code(places, grid), strict=True)}
    assert (
        len(set(zip(boxes.values(), shards.values(), strict=True)))
        == len(set(boxes.values()))
        == len(set(shards.values()))
    )


@given(grids, st.integers(1, 2000))
def test_there_are_no_more_files_than_asked_for(grid: Triple, most: int) -> None:
    """As few bits as that takes; none where there are few chunks. (With larger chunks a shard's size is the limit.)"""
    bits = shard_bits(grid, (1, 1, 1), most)

    def files(bits: int) -> int:
        return Box((0, 0, 0), grid).grid(shard_size(grid, (1, 1, 1), bits)).voxels

    assert files(bits) <= most
    assert bits == 0 or files(bits - 1) > most


def test_a_grown_layer_in_ome_zarr_keeps_its_whole_blocks(tmp_path: Path) -> None:
    """Blocks that the old face cut are removed, as they hold less than is asked of them now; others stay."""
    box = Box((0, 0, 0), (40, 16, 16))
    form: dict[str, Any] = {"dtype": "uint8", "block_size": (16, 16, 16), "pyramid": False, "layer_format": "ome-zarr"}
    layer = create_volume(str(tmp_path), box, (8, 8, 8), **form)
    layer.write(box, np.ones(box.shape, np.uint8, order="F"))
    grown = LayerLayout(box.grown((0, 0, 0), (8, 0, 0)), (8, 8, 8), **form)
    assert remove_stale_blocks(layer.path, grown) == 1
    kept = [name for name in Storage(layer.path).every_name() if "/c/" in name]
    assert kept == ["0/c/0/0/0", "0/c/0/0/1"]
    moved = LayerLayout(box.grown((16, 0, 0), (0, 0, 0)), (8, 8, 8), **form)
    assert remove_stale_blocks(layer.path, moved) == 3
    assert not [name for name in Storage(layer.path).every_name() if "/c/" in name]

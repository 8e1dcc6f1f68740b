"""Exporting: what is written in another format is what was in the layer, and reading it gives the layer again."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from profiles import scaled

from seuron.box import Box, Triple
from seuron.errors import DataError, ParameterErrors, VolumeError
from seuron.volumes import Volume, create_volume, open_volume
from seuron.volumes.exports import labels, layer_export
from seuron.volumes.exports.layer_export import FORMATS, export_layer
from seuron.volumes.sources import SourceOptions, open_source
from seuron.volumes.sources.array_source import voxel_offset

RESOLUTION = (4.6, 8.0, 45.0)
SUFFIXES = {name: (*found.suffixes, "")[0] for name, found in FORMATS.items()}


def _layer(
    folder: Path,
    shape: Triple = (70, 41, 67),
    corner: Triple = (5, 7, 11),
    dtype: str = "uint8",
    channels: int = 1,
    *,
    kind: Any = "image",
    largest: int = 255,
) -> tuple[Volume, NDArray[Any]]:
    """A layer of random voxels, and these."""
    box = Box.from_shape(corner, shape)
    volume = create_volume(
        str(folder), box, RESOLUTION, dtype=dtype, channels=channels, kind=kind, block_size=(32, 32, 16), pyramid=False
    )
    voxels = np.random.default_rng(0).integers(0, largest, (*shape, channels), np.uint64, endpoint=True).astype(dtype)
    voxels = np.asfortranarray(voxels)
    volume.write(box, voxels)
    return volume, voxels


@st.composite
def _exports(draw: st.DrawFn) -> tuple[str, str, int, Triple, Triple, Box]:
    """A format, type, channels, shape, corner, and a box within."""
    name = draw(st.sampled_from(sorted(FORMATS)))
    dtype = draw(st.sampled_from(FORMATS[name].dtypes))
    channels = draw(st.sampled_from([1, 3]))
    shape = draw(st.tuples(*[st.integers(1, 70)] * 3))
    # wkw has no places below 0.
    corner = draw(st.tuples(*[st.integers(0 if name == "wkw" else -20, 50)] * 3))
    low = [draw(st.integers(0, size - 1)) for size in shape]
    size = [draw(st.integers(1, size - start)) for size, start in zip(shape, low, strict=True)]
    inner = Box.from_shape([c + start for c, start in zip(corner, low, strict=True)], size)
    return name, dtype, channels, shape, corner, inner


@settings(max_examples=scaled(20))
@given(_exports())
def test_reading_an_export_gives_the_layer(export: tuple[str, str, int, Triple, Triple, Box]) -> None:
    """Voxels, axes, type, and where the format has a place for them voxel size and corner, of every format and box."""
    name, dtype, channels, shape, corner, box = export
    with TemporaryDirectory() as folder:
        volume, voxels = _layer(Path(folder) / "layer", shape, corner, dtype, channels)
        target = Path(folder) / f"out{SUFFIXES[name]}"
        export_layer(volume, str(target), format_name=name, box=box)
        options = SourceOptions()
        if name == "numpy":  # a person has to say what it has no place for
            options = SourceOptions(resolution_nm=RESOLUTION, axes="zyx" if channels == 1 else "czyx")
        with open_source(str(target), options) as source:
            read = source.read(Box((0, 0, 0), source.shape))
            np.testing.assert_array_equal(read, voxels[box.within(volume.box)])
            assert (source.shape, source.channels, source.dtype) == (box.shape, channels, np.dtype(dtype))
            assert source.resolution_nm is not None
            assert source.resolution_nm.value == pytest.approx(RESOLUTION, rel=1e-8)
            if "corner" not in FORMATS[name].lacks:
                assert voxel_offset(source) == box.minimum


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_labels_stay_labels(tmp_path: Path, name: str) -> None:
    """Ids of 64 bits survive, or, in a format that has none, those that fit into 32."""
    wide = "uint64" in FORMATS[name].dtypes
    volume, voxels = _layer(tmp_path / "layer", dtype="uint64", kind="segmentation", largest=2**60 if wide else 2**31)
    target = tmp_path / f"seg{SUFFIXES[name]}"
    export_layer(volume, str(target), format_name=name)
    with open_source(str(target), SourceOptions(resolution_nm=RESOLUTION)) as source:
        assert source.dtype == ("uint64" if wide else "uint32")
        np.testing.assert_array_equal(source.read(Box((0, 0, 0), source.shape)), voxels)


def test_labels_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    """New ids are 1, 2, ... in the order of the old ones, 0 stays 0, and the table beside says which is which."""
    volume, voxels = _layer(tmp_path / "layer", dtype="uint64", kind="segmentation", largest=50)
    large = np.where(voxels > 0, voxels * 10**15, 0)
    volume.write(volume.box, large)
    notes = export_layer(volume, str(tmp_path / "seg.h5"), dtype="uint8")
    table = np.loadtxt(tmp_path / "seg.h5.labels.csv", np.uint64, delimiter=",", skiprows=1)
    with h5py.File(tmp_path / "seg.h5") as file:
        stored = file["volumes/labels/neuron_ids"][:].T[..., np.newaxis]
    assert stored.dtype == np.uint8
    np.testing.assert_array_equal(table[stored, 1], large)
    np.testing.assert_array_equal(table[:, 0], np.arange(51))
    assert any("seg.h5.labels.csv" in note for note in notes)


def test_more_labels_than_a_type_has_names_for_are_refused(tmp_path: Path) -> None:
    """Nothing is written, and what helps is said."""
    volume, _ = _layer(tmp_path / "layer", dtype="uint32", kind="segmentation", largest=10**6)
    with pytest.raises(VolumeError, match="more than 255 labels"):
        export_layer(volume, str(tmp_path / "seg.npy"), dtype="uint8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layer"]


def test_labels_are_counted_within_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More ids than are kept in memory are an error, not a machine without memory."""
    monkeypatch.setattr(labels, "MOST_IDS", 100)
    volume, _ = _layer(tmp_path / "layer", dtype="uint64", kind="segmentation", largest=2**60)
    with pytest.raises(VolumeError, match="more than 99 labels"):
        export_layer(volume, str(tmp_path / "seg.npy"), dtype="uint32")


def test_slabs_of_any_size_give_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little is held at once, the file is the same, byte for byte."""
    volume, _ = _layer(tmp_path / "layer")
    for name in ("tiff", "nrrd", "numpy"):
        written = []
        for limit in (1 << 30, 10000):
            monkeypatch.setattr(layer_export, "SLAB_BYTES", limit)
            export_layer(volume, str(tmp_path / "out"), format_name=name, overwrite=True)
            written.append((tmp_path / "out").read_bytes())
        assert written[0] == written[1], name


def test_imagej_reads_the_voxel_size(tmp_path: Path) -> None:
    """Sizes along x and y are pixels per unit, along z the spacing, as ImageJ itself writes them."""
    volume, _ = _layer(tmp_path / "layer")
    export_layer(volume, str(tmp_path / "a.tif"))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.imagej_metadata is not None
        assert (file.imagej_metadata["unit"], file.imagej_metadata["spacing"]) == ("nm", 45.0)
        pixels, units = file.pages[0].tags["XResolution"].value
        assert units / pixels == pytest.approx(4.6)
        assert file.series[0].axes == "ZYX"


def test_types_that_imagej_lacks_become_ome_tiff(tmp_path: Path) -> None:
    """Labels of 32 bits have their size in OME-XML."""
    volume, _ = _layer(tmp_path / "layer", dtype="uint32", kind="segmentation")
    export_layer(volume, str(tmp_path / "a.tif"))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_ome
        assert 'PhysicalSizeX="4.6"' in str(file.ome_metadata)


def test_cremi_s_place_and_attributes(tmp_path: Path) -> None:
    """CREMI's own reader takes `volumes/raw`, with resolution and offset z first, in nm."""
    volume, voxels = _layer(tmp_path / "layer")
    export_layer(volume, str(tmp_path / "a.hdf"))
    with h5py.File(tmp_path / "a.hdf") as file:
        raw = file["volumes/raw"]
        np.testing.assert_array_equal(raw[:], voxels[..., 0].T)
        assert tuple(raw.attrs["resolution"]) == RESOLUTION[::-1]
        assert tuple(raw.attrs["offset"]) == pytest.approx((11 * 45.0, 7 * 8.0, 5 * 4.6))


def test_a_webknossos_dataset_says_where_it_lies(tmp_path: Path) -> None:
    """The bounding box is the layer's; below 0 there are no places, which is said."""
    volume, _ = _layer(tmp_path / "layer")
    export_layer(volume, str(tmp_path / "a.wkw"))
    said = json.loads((tmp_path / "a.wkw" / "datasource-properties.json").read_text())
    assert said["dataLayers"][0]["boundingBox"] == {"topLeft": [5, 7, 11], "width": 70, "height": 41, "depth": 67}
    below, voxels = _layer(tmp_path / "below", corner=(-5, 0, 0))
    notes = export_layer(below, str(tmp_path / "b.wkw"))
    assert notes == ("wkw has no places below 0: what lies at voxel -5, 0, 0 in the layer lies at 0, 0, 0 in the file",)
    with open_source(str(tmp_path / "b.wkw")) as source:
        np.testing.assert_array_equal(source.read(Box((0, 0, 0), source.shape)), voxels)


def test_what_a_format_has_no_place_for_is_said(tmp_path: Path) -> None:
    """A person who needs the numbers has to keep them elsewhere."""
    volume, _ = _layer(tmp_path / "layer")
    notes = export_layer(volume, str(tmp_path / "a.npy"))
    assert notes == (
        "numpy has no place for the axes: zyx",
        "numpy has no place for the corner: voxel 5, 7, 11",
        "numpy has no place for the voxel size: 4.6, 8, 45 nm",
    )


def test_all_that_is_in_the_way_is_told_at_once(tmp_path: Path) -> None:
    """A box outside, a type that does not hold the voxels, a target that is there."""
    volume, _ = _layer(tmp_path / "layer", dtype="uint16", largest=65535)
    (tmp_path / "a.tif").write_text("mine")
    with pytest.raises(ParameterErrors) as raised:
        export_layer(volume, str(tmp_path / "a.tif"), box=Box((0, 0, 0), (10, 10, 10)), dtype="uint8")
    assert [word in str(raised.value) for word in ("there already", "outside of the layer", "--window auto")] == [
        True
    ] * 3
    assert (tmp_path / "a.tif").read_text() == "mine"
    for target, words, message in (
        ("a.xyz", {}, "says no format by its suffix; give --format, one of tiff"),
        ("a.h5", {"format_name": "hdf"}, "did you mean hdf5"),
        ("a.h5", {"dtype": "int8"}, "got int8; hdf5 has uint8"),
    ):
        with pytest.raises(ParameterErrors, match=message):
            export_layer(volume, str(tmp_path / target), **words)  # type: ignore[arg-type]
    with pytest.raises(ParameterErrors, match="written on this machine"):
        export_layer(volume, "s3://bucket/a.h5")


def test_a_failed_export_leaves_nothing_and_a_good_one_replaces(tmp_path: Path) -> None:
    """A damaged layer must not cost the file that is there, and --overwrite puts a folder in a file's place as well."""
    volume, voxels = _layer(tmp_path / "layer")
    export_layer(volume, str(tmp_path / "a"), format_name="n5")
    blocks = volume.blocks(volume.box)
    (tmp_path / "layer" / volume.block_name(blocks[-1])).unlink()
    with pytest.raises(DataError, match="is missing"):
        export_layer(volume, str(tmp_path / "a"), format_name="hdf5", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "layer"]
    with open_source(str(tmp_path / "a")) as source:
        np.testing.assert_array_equal(source.read(Box((0, 0, 0), source.shape)), voxels)
    export_layer(open_volume(volume.path), str(tmp_path / "a"), format_name="numpy", box=blocks[0], overwrite=True)
    np.testing.assert_array_equal(np.load(tmp_path / "a").T, voxels[blocks[0].within(volume.box)][..., 0])

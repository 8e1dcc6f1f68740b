"""Importing: every format gives the same voxels, in bounded slabs, and mistakes are told in words."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from seuron.box import Box, Triple
from seuron.errors import DataError, VolumeError
from seuron.volumes import open_volume, volume_import
from seuron.volumes.sources import open_source
from seuron.volumes.sources.sections import natural_order
from seuron.volumes.volume_import import import_volume, slabs

#: zyx, as files store it; no size is a multiple of a block.
SHAPE = (11, 30, 37)
RESOLUTION = (4.6, 4.6, 45.0)


def _grey(dtype: str = "uint8") -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 250, SHAPE).astype(dtype)


def _hdf5(path: Path, **arrays: NDArray[Any]) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name.replace("__", "/"), data=array, chunks=True)
    return path


def _read(path: Path | str) -> NDArray[Any]:
    volume = open_volume(str(path))
    return volume.read(volume.box)


def _sections(folder: Path, stack: NDArray[Any], suffix: str) -> Path:
    folder.mkdir()
    for z, section in enumerate(stack):
        path = folder / f"section_{z}.{suffix}"
        if suffix == "tif":
            tifffile.imwrite(path, section)
        else:
            Image.fromarray(section).save(path)
    return folder


def _zarr(path: Path, stack: NDArray[Any], version: int) -> Path:
    zarr.create_array(str(path), data=stack, chunks=(4, 16, 16), zarr_format=version)  # type: ignore[arg-type]
    return path


def _source(form: str, folder: Path, stack: NDArray[Any]) -> str:
    match form:
        case "hdf5":
            return f"{_hdf5(folder / 'a.h5', volumes__raw=stack, other=stack[:1])}:volumes/raw"
        case "tiff":
            tifffile.imwrite(folder / "a.tif", stack, compression="zlib", photometric="minisblack")
            return str(folder / "a.tif")
        case "imagej":
            tifffile.imwrite(folder / "a.tif", stack, imagej=True)
            return str(folder / "a.tif")
        case "zarr2" | "zarr3":
            return str(_zarr(folder / "a.zarr", stack, int(form[-1])))
        case suffix:
            return str(_sections(folder / "stack", stack, suffix))


@pytest.mark.parametrize("form", ["hdf5", "tiff", "imagej", "zarr2", "zarr3", "png", "tif"])
def test_every_format_gives_the_same_voxels(tmp_path: Path, form: str) -> None:
    """Files are zyx, layers are xyz; eleven sections, so that 10 must not come before 2."""
    stack = _grey()
    volume = import_volume(_source(form, tmp_path, stack), str(tmp_path / "layer"), RESOLUTION, offset=(5, -3, 100))
    assert volume.box == Box.from_shape((5, -3, 100), SHAPE[::-1])
    assert (volume.kind, volume.dtype, volume.resolution_nm) == ("image", np.dtype("uint8"), RESOLUTION)
    np.testing.assert_array_equal(_read(volume.path)[..., 0], stack.T)


def test_affinities_keep_their_channels(tmp_path: Path) -> None:
    """czyx in the file becomes XYZC."""
    stack = np.random.default_rng(0).random((3, *SHAPE), dtype=np.float32)
    volume = import_volume(str(_hdf5(tmp_path / "a.h5", affinities=stack)), str(tmp_path / "layer"), RESOLUTION)
    np.testing.assert_array_equal(_read(volume.path), stack.transpose(3, 2, 1, 0))


def test_a_pyramid_is_made(tmp_path: Path) -> None:
    """All scales are complete: the viewer can zoom out at once."""
    stack = np.zeros((3, 150, 200), np.uint8)
    volume = import_volume(str(_hdf5(tmp_path / "a.h5", raw=stack)), str(tmp_path / "layer"), (10, 10, 10))
    assert volume.scales == 3
    for mip in range(volume.scales):
        scale = open_volume(volume.path, mip)
        assert scale.missing_blocks(scale.box) == []


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_brings_its_resolution(tmp_path: Path, version: str) -> None:
    """The finest scale is taken, and micrometres become nanometres."""
    stack, path = _grey(), tmp_path / "a.zarr"
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    for name, data in (("s0", stack[None, None]), ("s1", stack[None, None, :, ::2, ::2])):
        group.create_array(name, data=data)
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    steps = [{"type": "scale", "scale": [1, 1, 0.045, 0.0046, 0.0046]}]
    noted = {"multiscales": [{"axes": axes, "datasets": [{"path": "s0", "coordinateTransformations": steps}]}]}
    group.attrs.update({"ome": {"version": "0.5", **noted}} if version == "0.5" else noted)
    volume = import_volume(str(path), str(tmp_path / "layer"), None)
    assert volume.resolution_nm == pytest.approx(RESOLUTION)
    np.testing.assert_array_equal(_read(volume.path)[..., 0], stack.T)


def test_hdf5_brings_its_resolution(tmp_path: Path) -> None:
    """The attribute is zyx, as the array is; a resolution that is given wins."""
    path = _hdf5(tmp_path / "a.h5", raw=_grey())
    with h5py.File(path, "a") as file:
        file["raw"].attrs["resolution"] = RESOLUTION[::-1]
    assert import_volume(str(path), str(tmp_path / "a"), None).resolution_nm == RESOLUTION
    assert import_volume(str(path), str(tmp_path / "b"), (8, 8, 8)).resolution_nm == (8, 8, 8)


@pytest.mark.parametrize(
    ("name", "dtype", "kind", "stored"),
    [
        ("raw", "uint8", "image", "uint8"),
        ("raw", "uint16", "image", "uint16"),
        ("raw", "float64", "image", "float32"),
        ("anything", "uint32", "segmentation", "uint32"),
        ("anything", "int64", "segmentation", "uint64"),
        ("labels__neuron_ids", "uint8", "segmentation", "uint32"),
        ("fragments__ws", "uint16", "segmentation", "uint32"),
        ("mask", "bool", "image", "uint8"),
    ],
)
def test_the_kind_is_guessed_from_type_and_name(tmp_path: Path, name: str, dtype: str, kind: str, stored: str) -> None:
    """Wide integers are labels; narrow ones are when they are named so. Values survive."""
    stack = _grey() > 99 if dtype == "bool" else _grey(dtype)
    volume = import_volume(str(_hdf5(tmp_path / "segments.h5", **{name: stack})), str(tmp_path / "layer"), (9, 9, 9))
    assert (volume.kind, volume.dtype) == (kind, np.dtype(stored))
    np.testing.assert_array_equal(_read(volume.path)[..., 0], stack.T.astype(stored))


def test_the_guess_can_be_overruled(tmp_path: Path) -> None:
    """A wide image stays an image when told so."""
    path = str(_hdf5(tmp_path / "a.h5", raw=_grey("uint32")))
    assert import_volume(path, str(tmp_path / "layer"), (9, 9, 9), kind="image").kind == "image"


def test_memory_is_bounded_by_slabs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the slabs, the layer is the same, byte for byte."""
    path = str(_hdf5(tmp_path / "a.h5", raw=_grey()))
    stored = []
    for name, limit in (("one", 1 << 30), ("many", 4000)):
        monkeypatch.setattr(volume_import.slabs, "__defaults__", (limit,))
        import_volume(path, str(tmp_path / name), (9, 9, 9), block_size=(8, 8, 4))
        files = (tmp_path / name).rglob("*")
        stored.append({str(p.relative_to(tmp_path / name)): p.read_bytes() for p in files if p.is_file()})
    assert stored[0] == stored[1]


sizes = st.tuples(*[st.integers(1, 90)] * 3)


@given(sizes, st.tuples(*[st.integers(1, 32)] * 3), st.integers(1, 8), st.integers(1, 10**6))
def test_slabs_cover_the_box_once_on_the_block_grid(shape: Triple, block: Triple, size: int, limit: int) -> None:
    """No slab cuts a block, and none is larger than the limit unless it is one block."""
    box = Box.from_shape((3, -4, 5), shape)
    parts = slabs(box, block, size, limit)
    assert sum(part.voxels for part in parts) == box.voxels
    for part in parts:
        assert all((a - o) % b == 0 for a, o, b in zip(part.minimum, box.minimum, block, strict=True))
        fits = part.voxels * size <= limit
        assert fits or (part.shape[0] <= block[0] and part.shape[1] <= block[1])
        assert part.shape[2] <= block[2]


def test_importing_again_finishes_what_was_begun(tmp_path: Path) -> None:
    """The same import is idempotent; another one into the same folder is refused."""
    path, layer = str(_hdf5(tmp_path / "a.h5", raw=_grey())), tmp_path / "layer"
    volume = import_volume(path, str(layer), (9, 9, 9), block_size=(16, 16, 16))
    before = {p: p.read_bytes() for p in layer.rglob("*") if p.is_file()}
    next(iter((layer / volume.key).iterdir())).unlink()
    import_volume(path, str(layer), (9, 9, 9), block_size=(16, 16, 16))
    assert {p: p.read_bytes() for p in layer.rglob("*") if p.is_file()} == before
    with pytest.raises(VolumeError, match="already holds another layer"):
        import_volume(path, str(layer), (8, 8, 8), block_size=(16, 16, 16))


def test_grey_stored_as_colour_is_grey(tmp_path: Path) -> None:
    """Screenshots and many cameras write three equal channels; real colours are refused."""
    section = _grey()[0]
    folder = tmp_path / "stack"
    folder.mkdir()
    Image.fromarray(np.stack([section] * 3, axis=-1)).save(folder / "0.png")
    np.testing.assert_array_equal(open_source(str(folder)).read(Box((0, 0, 0), (37, 30, 1)))[:, :, 0, 0], section.T)
    Image.fromarray(np.stack([section, section, 255 - section], axis=-1)).save(folder / "0.png")
    with pytest.raises(DataError, match="convert colours"):
        open_source(str(folder))


def test_sections_of_different_sizes_are_refused(tmp_path: Path) -> None:
    """The file is named, and the one it differs from."""
    folder = _sections(tmp_path / "stack", _grey(), "png")
    Image.fromarray(np.zeros((30, 36), np.uint8)).save(folder / "section_7.png")
    with pytest.raises(VolumeError, match=r"section_7\.png: 30 rows of 36"):
        import_volume(str(folder), str(tmp_path / "layer"), (9, 9, 9))


def test_numbers_in_names_count_by_value() -> None:
    """9 before 10, whatever surrounds them, and text where there are no numbers."""
    names = ["s10_b.png", "s9_b.png", "S9_a.png", "10.png", "a.png", "2.png"]
    assert sorted(names, key=natural_order) == ["2.png", "10.png", "a.png", "S9_a.png", "s9_b.png", "s10_b.png"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing.h5", "no such file"),
        ("nothing.h5:raw", "no such file"),
        ("two.h5", r"several arrays.*labels \(11, 30, 37\) uint64, raw \(11, 30, 37\) uint8"),
        ("two.h5:rwa", r"no array 'rwa'.*labels.*raw"),
        ("five.h5", "shape .* is not a volume"),
        ("text.h5", "as HDF5"),
        ("text.tif", "as TIFF"),
        ("text.doc", "none of the formats"),
        ("empty", "no section images"),
        ("group.zarr", r"several arrays.*a/b \(11, 30, 37\) uint8, c \(11, 30, 37\) uint8"),
        ("signed.h5", "allowed are uint8, uint16"),
    ],
)
def test_mistakes_are_told_with_what_there_is(tmp_path: Path, source: str, message: str) -> None:
    """A wrong path, a missing or ambiguous array, a file that is not what it is called: nothing is written."""
    _hdf5(tmp_path / "two.h5", raw=_grey(), labels=_grey("uint64"))
    _hdf5(tmp_path / "five.h5", raw=np.zeros((1, 2, 3, 4, 5)))
    _hdf5(tmp_path / "signed.h5", raw=_grey("int16"))
    for name in ("text.h5", "text.tif", "text.doc"):
        (tmp_path / name).write_text("not what it seems")
    (tmp_path / "empty").mkdir()
    group = zarr.open_group(str(tmp_path / "group.zarr"), mode="w")
    for name in ("a/b", "c"):
        group.create_array(name, data=_grey())
    with pytest.raises(VolumeError, match=message):
        import_volume(str(tmp_path / source), str(tmp_path / "layer"), (9, 9, 9))
    assert not (tmp_path / "layer").exists()


def test_a_colour_tiff_is_refused(tmp_path: Path) -> None:
    """RGB samples are not affinities."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 20, 20, 3), np.uint8), photometric="rgb")
    with pytest.raises(VolumeError, match="has colours"):
        open_source(str(tmp_path / "a.tif"))


def test_values_that_cannot_be_are_refused(tmp_path: Path) -> None:
    """Negative labels, a resolution of nothing, floats as labels, and no resolution at all."""
    path = str(_hdf5(tmp_path / "a.h5", labels=_grey("int64") - 1))
    with pytest.raises(DataError, match="holds the label -1"):
        import_volume(path, str(tmp_path / "layer"), (9, 9, 9))
    with pytest.raises(VolumeError, match="three finite numbers above 0"):
        import_volume(path, str(tmp_path / "other"), (0, 9, 9))
    with pytest.raises(VolumeError, match="does not say how large"):
        import_volume(path, str(tmp_path / "other"), None)
    floats = str(_hdf5(tmp_path / "b.h5", labels=_grey("float32") + 0.5))
    with pytest.raises(DataError, match="labels are whole numbers"):
        import_volume(floats, str(tmp_path / "other"), (9, 9, 9), kind="segmentation")


def test_big_sections_are_no_attack(tmp_path: Path) -> None:
    """Pillow warns above 89 megapixels; our sections are that large. Guarded by turning warnings into errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Image.fromarray(np.zeros((9500, 9500), np.uint8)).save(tmp_path / "0.png", compress_level=1)
        assert open_source(str(tmp_path / "0.png")).shape == (9500, 9500, 1)

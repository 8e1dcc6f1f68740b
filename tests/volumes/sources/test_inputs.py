"""One table of inputs in the formats of the field: what each file says, and what must come out of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tifffile
import volumes.sources.input_files as make
import wkw
from numpy.typing import NDArray
from PIL import Image
from volumes.sources.input_files import VOXEL, XYZ, ZYX, Write

from seuron.box import Box
from seuron.errors import DataError, VolumeError
from seuron.volumes.sources import SourceOptions, open_source
from seuron.volumes.sources.array_source import voxel_size

CHANNELS = np.stack([ZYX, 255 - ZYX, ZYX // 2]).astype(np.float32) / 255
TAGS = json.dumps({"axes": [{"key": "x"}, {"key": "y"}, {"key": "z"}]})
GREYS = np.repeat(np.arange(255, -1, -1)[:, np.newaxis], 3, axis=1)
COLOURS = np.stack([np.arange(256), np.zeros(256), np.zeros(256)], axis=1)
PIXELS = {"PhysicalSizeX": 0.004, "PhysicalSizeY": 0.004, "PhysicalSizeZ": 0.04}
NANOMETRES = {"PhysicalSizeX": 4, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 4, "PhysicalSizeYUnit": "nm"}


@dataclass(frozen=True)
class Input:
    """A file and what it must be read as: `voxels` (X, Y, Z) or (X, Y, Z, C); None where the file does not say it."""

    write: Write
    voxels: NDArray[Any] = field(default_factory=lambda: XYZ)
    options: SourceOptions = field(default_factory=SourceOptions)
    axes: str = "zyx"
    axes_origin: str = ""
    resolution: tuple[float, float, float] | None = None
    corner: tuple[float, float, float] | None = None
    kind: str | None = None
    note: str = ""


def named(**options: Any) -> SourceOptions:
    return SourceOptions(**options)


INPUTS = {
    # HDF5
    "h5": Input(make.hdf5(), axes_origin="convention of HDF5"),
    "h5 CREMI labels": Input(make.cremi, XYZ.astype("u8"), resolution=VOXEL, corner=(20, 20, 200)),
    "h5 axes xyz": Input(make.hdf5(XYZ, axes="xyz"), axes="xyz", axes_origin="attribute `axes`"),
    "h5 axistags": Input(make.hdf5(XYZ, axistags=TAGS), axes="xyz", axes_origin="axistags"),
    "h5 dimension labels": Input(make.hdf5(XYZ, labels="xyz"), axes="xyz", axes_origin="DIMENSION_LABELS"),
    "h5 element_size_um": Input(make.hdf5(element_size_um=(0.04, 0.004, 0.004)), resolution=VOXEL),
    "h5 resolution in um": Input(make.hdf5(resolution=(0.04, 0.004, 0.004), units="um"), resolution=VOXEL),
    "h5 resolution in m": Input(make.hdf5(resolution=(40e-9, 4e-9, 4e-9), units="m"), resolution=VOXEL),
    "h5 resolution of xyz": Input(make.hdf5(XYZ, axes="xyz", resolution=VOXEL), axes="xyz", resolution=VOXEL),
    "h5 --axes": Input(make.hdf5(XYZ), options=named(axes="xyz"), axes="xyz", axes_origin="--axes"),
    "h5 --axes against the file": Input(
        make.hdf5(XYZ, axes="zyx"), options=named(axes="xyz"), axes="xyz", note="says zyx, and --axes says xyz"
    ),
    "h5 --resolution against the file": Input(
        make.hdf5(resolution=(40, 4, 4)),
        options=named(resolution_nm=(8.0, 8, 8)),
        resolution=(8, 8, 8),
        note="4, 4, 40 nm",
    ),
    "h5 --offset against the file": Input(
        make.hdf5(resolution=(40, 4, 4), offset=(80, 8, 8)),
        options=named(offset=(1, 2, 3)),
        resolution=VOXEL,
        corner=(4, 8, 120),
        note="says 8, 8, 80 nm, and --offset is followed",
    ),
    "h5 corner between voxels": Input(
        make.hdf5(resolution=(40, 4, 4), offset=(60, 0, 0)), resolution=VOXEL, corner=(0, 0, 60), note="whole voxels"
    ),
    "h5 affinities czyx": Input(make.hdf5(CHANNELS), CHANNELS.transpose(3, 2, 1, 0), axes="czyx", note="3 channels"),
    "h5 affinities zyxc": Input(
        make.hdf5(np.moveaxis(CHANNELS, 0, -1)),
        CHANNELS.transpose(3, 2, 1, 0),
        axes="zyxc",
        axes_origin="3 floats",
        note="3 channels",
    ),
    "h5 --channel": Input(make.hdf5(CHANNELS), CHANNELS[1].T, named(channel=1), axes="czyx"),
    "h5 --time": Input(make.hdf5(np.stack([ZYX, ZYX // 2]), axes="tzyx"), XYZ // 2, named(time=1), axes="tzyx"),
    "h5 external link": Input(make.hdf5_link),
    "h5 one value in the last axis": Input(make.hdf5(ZYX[..., None]), axes="zyxc", axes_origin="one value a voxel"),
    "h5 bool": Input(make.hdf5(ZYX > 99), XYZ > 99),
    "h5 one section": Input(make.hdf5(ZYX[0]), XYZ[..., :1], axes="yx"),
    # TIFF
    "tiff": Input(make.tiff(), axes_origin="unnamed"),
    "tiff page by page": Input(make.tiff_with_preview(":1")),
    "tiff marked preview": Input(make.tiff_with_preview(marked=True), note="smaller copies"),
    "tiff big": Input(make.tiff(bigtiff=True)),
    "tiff big-endian uint16": Input(make.tiff(ZYX.astype("u2") * 257, byteorder=">"), XYZ.astype("u2") * 257),
    "tiff lzw": Input(make.tiff(compression="lzw", predictor=True)),
    "tiff jpeg 2000": Input(make.tiff(compression="jpeg2000")),
    "tiff tiled": Input(make.tiff(tile=(16, 16), compression="zlib")),
    "tiff strips": Input(make.tiff(rowsperstrip=5, compression="zstd")),
    "tiff float": Input(make.tiff(ZYX.astype("f4")), XYZ.astype("f4")),
    "tiff min-is-white": Input(make.tiff(photometric="miniswhite"), 255 - XYZ),
    "tiff min-is-white lzw": Input(make.tiff(photometric="miniswhite", compression="lzw"), 255 - XYZ),
    "tiff grey palette": Input(make.tiff_palette(GREYS), 255 - XYZ),
    "tiff of ImageJ": Input(make.imagej(spacing=0.04, unit="um"), resolution=VOXEL, axes_origin="channels"),
    "tiff of ImageJ, escaped unit": Input(make.imagej(spacing=0.04, unit="\\u00B5m", axes="ZYX"), resolution=VOXEL),
    "tiff of ImageJ, channels": Input(
        make.tiff(np.stack([ZYX, 255 - ZYX], 1), imagej=True, metadata={"axes": "ZCYX"}),
        np.stack([XYZ, 255 - XYZ], -1),
        axes="zcyx",
        note="2 channels",
    ),
    "ome-tiff": Input(make.ome_tiff(**PIXELS), resolution=VOXEL, axes_origin="OME-XML"),
    "ome-tiff in nm": Input(make.ome_tiff(PhysicalSizeZ=0.04, **NANOMETRES), resolution=VOXEL),
    # Sections
    "sections tif": Input(make.sections("123456"), axes_origin="convention of sections"),
    "sections png": Input(make.sections(["8", "9", "10", "11", "12", "13"], "png")),
    "sections negative": Input(make.sections(["-2", "-1", "0", "1", "2", "3"]), note="a minus is a sign"),
    "sections in two formats": Input(make.sections("123456", "tif", "png"), note="in 2 formats .*z_1.png and z_1.tif"),
    "sections blank": Input(
        make.sections("1245"), np.insert(XYZ[..., :4], 2, 0, axis=2), named(missing_sections="blank"), note="left black"
    ),
    "sections closed up": Input(make.sections("1245"), XYZ[..., :4], named(missing_sections="close"), note="closed up"),
    "sections by wafer": Input(make.sections(["1_8", "1_9", "1_10", "2_1", "2_2", "2_3"]), note="2 numbers"),
    "sections z-2 beside z3": Input(make.folder_of(["z-2", "z-1", "z0", "z1", "z2", "z3"]), note="a minus is a sign"),
    "sections z-2 beside z-3": Input(make.folder_of(["z-2", "z-3", "z-4", "z-5", "z-6", "z-7"])),
    "sections without numbers": Input(make.folder_of("abcdef"), note="more than a number"),
    "section png": Input(make.picture("L"), XYZ[..., :1]),
    "section png of equal colours": Input(make.picture("RGB"), XYZ[..., :1]),
    "section png opaque": Input(make.picture("LA"), XYZ[..., :1]),
    "section png grey palette": Input(make.picture("L", make.grey_palette), 255 - XYZ[..., :1]),
    # MRC
    "mrc": Input(make.mrc(ZYX.astype("i2")), XYZ.astype("i2"), resolution=VOXEL, axes_origin="MAPC"),
    "mrc float": Input(make.mrc(ZYX.astype("f4")), XYZ.astype("f4"), resolution=VOXEL),
    "mrc uint16 that starts later": Input(
        make.mrc(ZYX.astype("u2"), start=3), XYZ.astype("u2"), resolution=VOXEL, corner=(12, 0, 0)
    ),
    "mrc of 1 angstrom": Input(make.mrc(ZYX.astype("i2"), angstrom=1.0), XYZ.astype("i2")),
    "mrc turned": Input(
        make.mrc(XYZ.astype("f4"), (40.0, 40.0, 400.0), mapc=3, mapr=2, maps=1),
        XYZ.astype("f4"),
        axes="xyz",
        resolution=VOXEL,
    ),
    # NRRD
    "nrrd": Input(make.nrrd_file(), axes="xyz", axes_origin="convention of NRRD"),
    "nrrd gzip": Input(make.nrrd_file(encoding="gzip"), axes="xyz"),
    "nrrd bzip2 big-endian": Input(
        make.nrrd_file(XYZ.astype(">u2"), encoding="bzip2", endian="big"), XYZ.astype("u2"), axes="xyz"
    ),
    "nrrd detached": Input(make.nrrd_detached, axes="xyz"),
    "nrrd spacings": Input(
        make.nrrd_file(spacings=[0.004, 0.004, 0.04], units=["um", "um", "um"]), axes="xyz", resolution=VOXEL
    ),
    "nrrd space": Input(
        make.nrrd_file(
            **{
                "space dimension": 3,
                "space directions": np.diag(VOXEL),
                "space units": ["nm"] * 3,
                "space origin": [8, 12, 80],
            }
        ),
        axes="xyz",
        resolution=VOXEL,
        corner=(8, 12, 80),
    ),
    "nrrd turned": Input(
        make.nrrd_file(
            ZYX,
            **{"space dimension": 3, "space directions": np.fliplr(np.diag([40.0, -4, 4])), "space units": ["nm"] * 3},
        ),
        axes="zyx",
        resolution=VOXEL,
        note="axis y runs backwards",
    ),
    "nrrd channels": Input(
        make.nrrd_file(np.stack([XYZ, 255 - XYZ]), kinds=["vector", "domain", "domain", "domain"]),
        np.stack([XYZ, 255 - XYZ], -1),
        axes="cxyz",
        note="2 channels",
    ),
    # NumPy
    "npy": Input(make.npy(), axes_origin="convention of NumPy"),
    "npy Fortran": Input(make.npy(np.asfortranarray(ZYX))),
    "npz": Input(make.npz()),
    # wkw and KNOSSOS
    "wkw dataset": Input(
        make.wkw_dataset(":color"), axes="cxyz", resolution=VOXEL, corner=(8, 4, 120), kind="segmentation"
    ),
    "wkw magnification": Input(
        make.wkw_dataset("/color/1"), axes="cxyz", resolution=VOXEL, corner=(8, 4, 120), kind="segmentation"
    ),
    "wkw alone": Input(
        make.wkw_dataset("/color", properties=False),
        np.pad(XYZ, [(2, 28), (1, 10), (3, 23)]),
        axes="cxyz",
        note="as large as its files",
    ),
    "webknossos of zarr": Input(make.webknossos_zarr, axes="cxyz", resolution=(8, 8, 40), kind="segmentation"),
    "knossos": Input(
        make.knossos, np.pad(XYZ, [(0, 0), (0, 0), (0, 194)]), resolution=VOXEL, note="1 of 2 cubes are not stored"
    ),
    # Zarr, N5, precomputed
    "zarr 2": Input(make.zarr_array(named=":raw"), axes_origin="convention of Zarr"),
    "zarr 2, the only array": Input(make.zarr_array()),
    "zarr 2 of xarray": Input(
        make.zarr_array(XYZ, named="/raw", attributes={"_ARRAY_DIMENSIONS": ["x", "y", "z"]}), axes="xyz"
    ),
    "zarr 2 of daisy": Input(
        make.zarr_array(attributes={"voxel_size": [40, 4, 4], "offset": [80, 0, 4], "axis_names": ["z", "y", "x"]}),
        resolution=VOXEL,
        corner=(4, 0, 80),
    ),
    "zarr 2 resolution without axes": Input(make.zarr_array(attributes={"resolution": [40, 4, 4]}), resolution=VOXEL),
    "zarr 3 dimension names": Input(
        make.zarr_array(XYZ[np.newaxis], 3, dimension_names=("c", "x", "y", "z")), axes="cxyz"
    ),
    "zarr 3 sharded": Input(make.zarr_array(version=3, shards=(8, 8, 8))),
    "ome-zarr": Input(make.ome_zarr(), resolution=VOXEL, axes_origin="OME axes"),
    "ome-zarr 0.5": Input(make.ome_zarr(version="0.5"), resolution=VOXEL),
    "ome-zarr xyz": Input(make.ome_zarr("xyz", (0.004, 0.004, 0.04), data=XYZ), axes="xyz", resolution=VOXEL),
    "ome-zarr scale named": Input(make.ome_zarr(named=":0"), resolution=VOXEL),
    "ome-zarr scale by path": Input(make.ome_zarr(named="/0"), resolution=VOXEL),
    "ome-zarr placed": Input(make.ome_zarr(move=(0.4, 0.08, 0.12)), resolution=VOXEL, corner=(120, 80, 400)),
    "ome-zarr scaled as a whole": Input(make.ome_zarr(scale=(1, 1, 1), top=(0.04, 0.004, 0.004)), resolution=VOXEL),
    "ome-zarr labels": Input(make.ome_zarr(**{"image-label": {}}), resolution=VOXEL, kind="segmentation"),
    "ome-zarr tczyx": Input(
        make.ome_zarr("tczyx", (1, 1, 0.04, 0.004, 0.004), data=ZYX[None, None]), axes="tczyx", resolution=VOXEL
    ),
    "ome-zarr of bioformats2raw": Input(make.ome_zarr(below="0"), resolution=VOXEL),
    "ome-zarr without a unit of z": Input(make.ome_zarr(units=(None, "micrometer", "micrometer"))),
    "n5": Input(
        make.n5(resolution=VOXEL, offset=(8, 4, 40), named=":vol/s0"), axes="xyz", resolution=VOXEL, corner=(8, 4, 40)
    ),
    "n5 group of scales": Input(make.n5(group={"resolution": VOXEL}, named="/vol"), axes="xyz", resolution=VOXEL),
    "n5 root": Input(make.n5(pixelResolution={"dimensions": VOXEL, "unit": "nm"}), axes="xyz", resolution=VOXEL),
    "precomputed": Input(
        make.precomputed(), XYZ.astype("u4"), axes="xyzc", resolution=VOXEL, corner=(20, 24, 280), kind="segmentation"
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_what_a_file_says_comes_out(tmp_path: Path, name: str) -> None:
    """Voxels, axes, size, corner and kind are those of the file, each with its origin, whole and box by box."""
    case = INPUTS[name]
    with open_source(case.write(tmp_path), case.options) as source:
        expected = case.voxels if case.voxels.ndim == 4 else case.voxels[..., np.newaxis]
        assert (source.shape, source.channels, source.dtype) == (expected.shape[:3], expected.shape[3], expected.dtype)
        np.testing.assert_array_equal(source.read(Box((0, 0, 0), source.shape)), expected)
        corner = [size // 3 for size in source.shape]
        part = Box.from_shape(corner, [size - c for size, c in zip(source.shape, corner, strict=True)])
        np.testing.assert_array_equal(source.read(part), expected[part.slices])
        assert (source.axes.value, case.axes_origin in source.axes.origin) == (case.axes, True), source.axes
        assert (source.resolution_nm and source.resolution_nm.value) == case.resolution
        assert (source.corner_nm and source.corner_nm.value) == case.corner
        assert (source.kind and source.kind.value) == case.kind
        notes = "\n".join(source.notes)
        assert bool(notes) == bool(case.note), notes
        assert re.search(case.note, notes)


def text(path: Path) -> str:
    """A file that is not what its suffix says."""
    path.write_text("not what it seems")
    return str(path)


def cut(write: Write) -> Write:
    """A file without its last bytes."""

    def shortened(folder: Path) -> str:
        path = Path(write(folder))
        path.write_bytes(path.read_bytes()[:-60])
        return str(path)

    return shortened


def colourful(image: Image.Image) -> Image.Image:
    pixels = np.array(image)
    pixels[..., 0] //= 2
    return Image.fromarray(pixels)


def see_through(image: Image.Image) -> Image.Image:
    image.putalpha(100)
    return image


def cut_sections(folder: Path) -> str:
    """Each format without its last bytes, each with the name of its section."""
    stack = folder / "stack"
    stack.mkdir()
    for name in ("z_1.tif", "z_2.tif", "z_3.png", "z_4.jpg"):
        make.save_section(stack / name, ZYX[0])
        if name != "z_1.tif":
            (stack / name).write_bytes((stack / name).read_bytes()[:-100])
    return str(stack)


def damaged_wkw(folder: Path) -> str:
    header = Path(empty_wkw(folder)) / "color" / "1" / "header.wkw"
    header.write_bytes(b"not what it seems")
    return str(folder)


def empty_wkw(folder: Path) -> str:
    wkw.Dataset.create(str(folder / "color" / "1"), wkw.Header(np.uint8)).close()
    return str(folder)


WRONG = {
    # HDF5
    "h5 link to nothing": (make.hdf5_dangling, {}, r"no array 'x'.*x is a link to gone\.h5:raw, which is not there"),
    "h5 several": (
        lambda f: make.cremi(f).rpartition(":")[0],
        {},
        r"several arrays.*neuron_ids \(6, 21, 34\) uint64, .*raw",
    ),
    "h5 no such array": (make.hdf5(), {"dataset": "rwa"}, r"no array 'rwa'. There are: raw \(6, 21, 34\) uint8"),
    "h5 five axes": (make.hdf5(ZYX[None, None]), {}, r"not a volume without a word on its axes.*--axes, such as tczyx"),
    "h5 two readings": (make.hdf5(np.stack([ZYX] * 3, -1)), {}, "may be zyxc or czyx; say which with --axes"),
    "h5 axes of other words": (make.hdf5(axes="abc"), {}, r"says a, b, c, which does not name.*with --axes"),
    "h5 empty": (make.hdf5(np.zeros((3, 0, 2), "u1")), {}, "is empty"),
    "h5 several times": (make.hdf5(np.stack([ZYX] * 2), axes="tzyx"), {}, r"has 2 times.*--time 0\.\.1"),
    "h5 no such channel": (make.hdf5(CHANNELS), {"channel": 3}, r"no channel 3; --channel is one of 0\.\.2"),
    "h5 --axes that do not fit": (make.hdf5(), {"axes": "zyxc"}, "does not name the 3 axes"),
    "h5 --axes doubled": (make.hdf5(), {"axes": "zyy"}, "each a letter of x, y, z, c, t"),
    "h5 --resolution inf": (make.hdf5(), {"resolution_nm": (4.0, 4.0, float("inf"))}, "three finite numbers above 0"),
    "h5 put together from what is gone": (make.hdf5_virtual, {}, r"1 are not there: gone\.h5"),
    "h5 of text": (lambda f: text(f / "a.h5"), {}, "as HDF5"),
    # TIFF
    "tiff cut": (make.tiff_cut(0.5), {}, "cut off or damaged"),
    "tiff cut in its last page": (make.tiff_cut(0.9, compression="lzw"), {}, "cut off or damaged"),
    "tiff of ImageJ cut": (make.tiff_cut(0.8, imagej=True), {}, "cut off or damaged"),
    "tiff of complex numbers": (make.tiff(ZYX.astype("c8")), {}, "holds complex64"),
    "tiff of four axes": (make.tiff(np.stack([ZYX] * 2)), {}, r"axes zqyx .* is not a volume.*--axes"),
    "tiff with a preview": (
        make.tiff_with_preview(),
        {},
        r"2 images, such as a preview.*0 \(7, 9\) uint8, 1 \(6, 21, 34\)",
    ),
    "tiff no such image": (make.tiff_with_preview(":2"), {}, "no image '2'"),
    "tiff of colours": (make.tiff(np.stack([ZYX] * 3, -1), photometric="rgb"), {}, "has colours"),
    "tiff palette of colours": (make.tiff_palette(COLOURS), {}, "palette of colours"),
    "tiff float min-is-white": (make.tiff(ZYX.astype("f4"), photometric="miniswhite"), {}, "smallest value is white"),
    "tiff of text": (lambda f: text(f / "a.tif"), {}, "as TIFF"),
    "ome-tiff of times": (make.ome_tiff("TYX"), {}, r"has 6 times.*--time 0\.\.5"),
    # Sections
    "sections gap": (make.sections("12356"), {}, "sections 4 of 1 to 6 are missing.*--missing-sections"),
    "sections twice, some": (
        make.sections("123456", other=lambda f: make.save_section(f / "z_2.png", ZYX[1])),
        {},
        "1 sections are there twice: z_2.png and z_2.tif",
    ),
    "sections twice, other images": (
        make.sections("1", other=lambda f: make.save_section(f / "z_1.png", ZYX[1])),
        {},
        "not the same image",
    ),
    "sections twice, padded": (
        make.sections("123", other=lambda f: make.save_section(f / "z_02.tif", ZYX[1])),
        {},
        "z_02.tif and z_2.tif",
    ),
    "sections of other sizes, and a gap": (
        make.sections("1246", other=lambda f: make.save_section(f / "z_7.tif", ZYX[0, 1:])),
        {},
        "z_7.tif: 20 rows of 34 uint8, but z_1.tif and 3 others are 21 rows of 34 uint8.*sections 3, 5 of 1 to 7",
    ),
    "sections cut": (cut_sections, {}, r"z_2.tif is cut off.*z_3.png is cut off.*z_4.jpg is cut off"),
    "section in CMYK": (make.picture("CMYK", suffix="jpg"), {}, r"has colours \(CMYK\)"),
    "sections and a mask": (
        make.sections("123", other=lambda f: make.save_section(f / "mask.png", ZYX[1])),
        {},
        "several kinds by their names: 1 like mask.png, 3 like z_1.tif",
    ),
    "sections of pages": (
        make.sections("12", other=lambda f: make.save_section(f / "z_3.tif", ZYX)),
        {},
        "z_3.tif has 6 pages",
    ),
    "sections that are none": (make.sections("12", other=lambda f: text(f / "z_3.tif")), {}, "z_3.tif cannot be read"),
    "sections, other policy": (make.sections("12"), {"missing_sections": "skip"}, "none of error, blank, close"),
    "section of colours": (make.picture("RGB", colourful), {}, "convert colours"),
    "section transparent": (make.picture("LA", see_through), {}, "partly transparent"),
    "no sections": (str, {}, "no section images"),
    # MRC, NRRD, NumPy, wkw, KNOSSOS
    "mrc cut": (make.mrc_cut, {}, "as MRC"),
    "mrc complex": (make.mrc(ZYX.astype("c8")), {}, "holds complex64"),
    "nrrd of text": (lambda f: text(f / "a.nrrd"), {}, "as NRRD"),
    "nrrd cut": (cut(make.nrrd_file()), {}, "cut off"),
    "nrrd gzip cut": (cut(make.nrrd_file(encoding="gzip")), {}, "cut off"),
    "npy cut": (cut(make.npy()), {}, "cut off"),
    "npy of objects": (make.npy(np.array([[None]])), {}, "holds object"),
    "npz no such array": (make.npz(":row"), {}, r"no array 'row'. There are: raw \(6, 21, 34\) uint8"),
    "npy with a name": (make.npy(), {"dataset": "raw"}, "one array without a name; leave 'raw' out"),
    "knossos of words": (lambda f: make.knossos(f, boundary="many"), {}, "ValueError: invalid literal"),
    "wkw damaged": (damaged_wkw, {}, "as wkw"),
    "wkw without files": (empty_wkw, {}, "holds no voxels"),
    # Zarr, N5, precomputed
    "zarr no such array": (make.zarr_array(named=":row"), {}, r"no array 'row'. There are: raw \(6, 21, 34\) uint8"),
    "ome-zarr of other axes": (make.ome_zarr("abc"), {}, r"OME axes are a, b, c.*with --axes"),
    "ome-zarr of fewer axes": (make.ome_zarr("yx", (1, 1)), {}, r"axes yx .* is not a volume"),
    "n5 no such array": (make.n5(named=":row"), {}, r"no array 'row'. There are: vol/s0 \(34, 21, 6\) uint8"),
    "precomputed no such scale": (make.precomputed(":9"), {}, "mip 9"),
    "a word": (lambda f: text(f / "a.doc"), {}, r"\.doc is none of the formats known.*NRRD"),
    "nothing": (lambda f: str(f / "a.h5:raw"), {}, "no such file or folder"),
    "a file in a bucket": (lambda f: "s3://bucket/a.h5:raw", {}, "copy it here first"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_with_what_to_do(tmp_path: Path, name: str) -> None:
    """Files that are cut off, incomplete, ambiguous or none of the format are refused before anything is read."""
    write, options, message = WRONG[name]
    path = write(tmp_path)
    with pytest.raises((VolumeError, DataError), match=f"(?s){message}"):
        open_source(path, SourceOptions(**options))


SIZES = {
    "OME unit missing": (make.ome_zarr(units=(None, "micrometer", "micrometer")), "z 0.04 without a unit"),
    "OME in pixels": (make.ome_zarr(units=("pixel",) * 3), "does not give x and y and z"),
    "h5 in m without a unit": (make.hdf5(resolution=(40e-9, 4e-9, 4e-9)), "implausible, as voxels are of 0.1 nm"),
    "h5 flat": (make.hdf5(resolution=(4000, 4, 4)), "one side is over 100 times another"),
    "tiff of ImageJ in pixels": (make.imagej(unit="pixel", spacing=1), "does not give x and y and z"),
    "tiff in dpi": (make.tiff(resolution=(72, 72), resolutionunit=2), "x 72 pixels per inch"),
    "mrc of 1 angstrom": (make.mrc(ZYX.astype("i2"), angstrom=1.0), "programs write that do not know it"),
    "nrrd without a unit": (make.nrrd_file(spacings=[4.0, 4.0, 40.0]), "x 4 without a unit"),
    "nrrd oblique": (
        make.nrrd_file(**{"space dimension": 3, "space directions": [[4, 1, 0], [0, 4, 0], [0, 0, 4]]}),
        "oblique",
    ),
    "h5 without a word": (make.hdf5(), "voxels are. Give it"),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_size_that_is_not_known_is_asked_for(tmp_path: Path, name: str) -> None:
    """A size without a unit, for some axes only, or that nobody can mean is not taken: the message says what it is."""
    write, said = SIZES[name]
    path = write(tmp_path)
    with open_source(path) as source, pytest.raises(VolumeError, match="--resolution") as error:
        voxel_size(source)
    assert said in str(error.value)
    with open_source(path, SourceOptions(resolution_nm=VOXEL)) as source:
        assert voxel_size(source) == VOXEL


def test_voxels_that_cannot_be_decoded_are_named(tmp_path: Path) -> None:
    """A file whose voxels are damaged is told with the box that was read, not with a traceback."""
    path = Path(make.tiff(compression="zlib")(tmp_path))
    with tifffile.TiffFile(path) as file:
        start = file.pages[3].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(bytes(content))
    with open_source(str(path)) as source:
        source.read(Box((0, 0, 0), (34, 21, 2)))
        with pytest.raises(DataError, match=r"the voxels of \[0\.\.34, 0\.\.21, 2\.\.5\] cannot be read"):
            source.read(Box((0, 0, 2), (34, 21, 5)))


@pytest.mark.parametrize(
    "name", ["h5", "tiff lzw", "sections tif", "nrrd gzip", "npz", "wkw dataset", "n5", "ome-zarr"]
)
def test_nothing_of_a_source_is_changed(tmp_path: Path, name: str) -> None:
    """Reading writes nothing beside a file or into it."""
    path = INPUTS[name].write(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with open_source(path) as source:
        source.read(Box((0, 0, 0), source.shape))
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("name", ["contiguous", "by page", "npy"])
def test_memory_holds_what_was_read_last(tmp_path: Path, name: str) -> None:
    """A file that is mapped takes no more memory than its parts, however much of it has been read."""
    stack = np.random.default_rng(0).integers(0, 255, (48, 1024, 1024), dtype=np.uint8)
    path = tmp_path / ("a.npy" if name == "npy" else "a.tif")
    if name == "npy":
        np.save(path, stack)
    else:
        with tifffile.TiffWriter(path) as writer:
            for part in stack if name == "by page" else [stack]:
                writer.write(part, metadata=None)
    del stack
    process = psutil.Process()
    with open_source(str(path)) as source:
        source.read(Box((0, 0, 0), (1024, 1024, 1))).max()
        before = process.memory_info().rss
        most = 0
        for z in range(source.shape[2]):
            source.read(Box((0, 0, z), (1024, 1024, z + 1))).max()
            most = max(most, process.memory_info().rss - before)
    assert most < 12 << 20


def test_a_short_cube_is_named(tmp_path: Path) -> None:
    """A KNOSSOS cube that is cut off is told with its path when it is read."""
    with open_source(make.knossos(tmp_path, size=1000)) as source, pytest.raises(DataError, match=r"e_x0.*1000 bytes"):
        source.read(Box((0, 0, 0), (5, 5, 5)))

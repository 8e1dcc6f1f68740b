"""Arrays in the formats people bring: HDF5, Zarr, TIFF, and folders of section images.

A source is read box by box, so that a volume of any size passes through a bounded memory. Files
store the slowest axis first (zyx, czyx); sources give (X, Y, Z, C), as everything here does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.errors import DataError, VolumeError
from seuron.volumes.volume import Resolution

if TYPE_CHECKING:
    import zarr

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf")
TIFF_SUFFIXES = (".tif", ".tiff")
IMAGE_SUFFIXES = (*TIFF_SUFFIXES, ".png", ".jpg", ".jpeg")
#: `file.h5:group/dataset` and the same for a Zarr folder.
NAMED = re.compile(r"(?P<path>.+\.(?:h5|hdf5|hdf|zarr))(?::(?P<dataset>.+))?", re.IGNORECASE)
#: Axes of an array without a note of its own, by their number.
AXES_BY_COUNT = {2: "yx", 3: "zyx", 4: "czyx"}
#: What TIFF files call a stack's slow axis: depth, image, time, and "whatever".
TIFF_DEPTH = "zitq"
NANOMETRES = {"nanometer": 1.0, "nm": 1.0, "micrometer": 1e3, "um": 1e3, "µm": 1e3, "millimeter": 1e6, "angstrom": 0.1}


@dataclass(frozen=True)
class SourceVolume:
    """An array that can be read box by box.

    `shape` is in x, y, z; `read(box)` gives (X, Y, Z, C) of `dtype` for a box inside it, whose
    corner is at 0, 0, 0. `resolution_nm` is what the file says of its voxels, None if nothing.
    Used in a `with` statement, its file is closed at the end.
    """

    name: str
    shape: Triple
    channels: int
    dtype: np.dtype[Any]
    read: Callable[[Box], NDArray[Any]]
    resolution_nm: Resolution | None = None
    close: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_source(path: str, dataset: str | None = None) -> SourceVolume:
    """Open a file or folder by its kind; raises VolumeError that says what is allowed, or what there is."""
    named = NAMED.fullmatch(path)
    if named is not None and named["dataset"] and not Path(path).exists():
        path, dataset = named["path"], dataset or named["dataset"]
    place = Path(path).expanduser()
    if not place.exists():
        raise VolumeError(f"cannot import {path}: there is no such file or folder; check the path")
    suffix = place.suffix.lower()
    if suffix in HDF5_SUFFIXES:
        return _hdf5(place, dataset)
    if place.is_dir() and any((place / name).exists() for name in ("zarr.json", ".zarray", ".zgroup")):
        return _zarr(place, dataset)
    if suffix in TIFF_SUFFIXES:
        return _tiff(place)
    if place.is_dir() or suffix in IMAGE_SUFFIXES:
        return _sections(place)
    raise VolumeError(
        f"cannot import {path}: {suffix or 'a file without a suffix'} is none of the formats known, which are HDF5 "
        f"({', '.join(HDF5_SUFFIXES)}), Zarr folders, TIFF stacks ({', '.join(TIFF_SUFFIXES)}) and folders of sections "
        f"({', '.join(IMAGE_SUFFIXES)})"
    )


def _array_source(name: str, array: Any, axes: str, resolution_nm: Resolution | None = None) -> SourceVolume:
    """A source over anything that slices like numpy, whose axes are named by letters of x, y, z, c, t.

    Axes named t must have one entry: a series in time is several volumes.
    """
    sizes = dict(zip(axes, array.shape, strict=True))
    if not {"x", "y"} <= set(sizes) or set(sizes) - set("xyzct") or len(sizes) != len(axes) or sizes.get("t", 1) != 1:
        raise VolumeError(
            f"{name}: an array of shape {tuple(array.shape)} with axes {axes!r} is not a volume; "
            "allowed are yx, zyx and czyx in any order, one time point at most"
        )

    def read(box: Box) -> NDArray[Any]:
        wanted = dict(zip("xyz", box.slices, strict=True)) | {"c": slice(None), "t": slice(0, 1)}
        part = np.asarray(array[tuple(wanted[axis] for axis in axes)])
        here = list(axes)
        for missing in set("xyzct") - set(axes):
            part, here = part[..., np.newaxis], [*here, missing]
        return part.transpose([here.index(axis) for axis in "xyzct"])[..., 0]

    shape = triple([sizes["x"], sizes["y"], sizes.get("z", 1)])
    return SourceVolume(name, shape, sizes.get("c", 1), np.dtype(array.dtype), read, resolution_nm)


def _axes(name: str, array: Any, noted: Any) -> str:
    """The axes an array's own note names, or the usual ones for its number of axes."""
    if isinstance(noted, bytes):
        noted = noted.decode()
    if isinstance(noted, str) and len(noted) == len(array.shape):
        return noted.lower()
    axes = AXES_BY_COUNT.get(len(array.shape))
    if axes is None:
        raise VolumeError(
            f"{name}: an array of shape {tuple(array.shape)} is not a volume; "
            "allowed are 2 axes (yx), 3 (zyx) and 4 (czyx)"
        )
    return axes


def _noted_resolution(values: Any) -> Resolution | None:
    """A `resolution` attribute: three numbers in nm, slowest axis first as the array is."""
    if values is None or np.shape(values) != (3,):
        return None
    z, y, x = (float(value) for value in values)
    return (x, y, z)


def _choose(path: Path, dataset: str | None, known: Mapping[str, Any]) -> str:
    """The name of the array to import: the one given, or the only one there is."""
    listed = ", ".join(f"{name} {tuple(array.shape)} {array.dtype}" for name, array in sorted(known.items())) or "none"
    if dataset is None and len(known) == 1:
        return next(iter(known))
    if dataset is None:
        raise VolumeError(f"{path} holds several arrays or none; name one as {path.name}:DATASET. There are: {listed}")
    if dataset.strip("/") not in known:
        raise VolumeError(f"{path} holds no array {dataset!r}. There are: {listed}")
    return dataset.strip("/")


def _hdf5(path: Path, dataset: str | None) -> SourceVolume:
    import h5py

    with ExitStack() as stack:
        try:
            file = stack.enter_context(h5py.File(path, "r"))
        except OSError as error:
            raise VolumeError(f"cannot read {path} as HDF5 ({error}); give a complete .h5 file") from error
        known: dict[str, Any] = {}
        file.visititems(lambda name, item: known.update({name: item}) if isinstance(item, h5py.Dataset) else None)
        chosen = _choose(path, dataset, known)
        array, name = known[chosen], f"{path}:{chosen}"
        axes = _axes(name, array, array.attrs.get("axes"))
        source = _array_source(name, array, axes, _noted_resolution(array.attrs.get("resolution")))
        return replace(source, close=stack.pop_all().close)


def _zarr(path: Path, dataset: str | None) -> SourceVolume:
    import zarr

    opened = zarr.open(str(path), mode="r")
    if isinstance(opened, zarr.Array):
        return _array_source(str(path), opened, _axes(str(path), opened, None), None)
    if dataset is None and (found := _ome(path, opened)) is not None:
        return found
    known = {name: item for name, item in opened.members(max_depth=None) if isinstance(item, zarr.Array)}
    chosen = _choose(path, dataset, known)
    array = known[chosen]
    name = f"{path}:{chosen}"
    noted = array.attrs.get("resolution")
    return _array_source(name, array, _axes(name, array, array.attrs.get("axes")), _noted_resolution(noted))


def _ome(path: Path, group: zarr.Group) -> SourceVolume | None:
    """The finest scale of the first image of an OME-Zarr (0.4 and 0.5); None where it is not one."""
    attributes = dict(group.attrs)
    noted = attributes.get("ome", attributes)
    scales = noted.get("multiscales") if isinstance(noted, dict) else None
    if not isinstance(scales, list) or not scales:
        return None
    image: dict[str, Any] = scales[0]
    finest: dict[str, Any] = image["datasets"][0]
    axes = [axis if isinstance(axis, str) else axis["name"] for axis in image.get("axes", [])]
    array = group[finest["path"]]
    name = f"{path}:{finest['path']}"
    letters = "".join(axis.lower() for axis in axes) or None
    return _array_source(name, array, _axes(name, array, letters), _ome_resolution(image, finest))


def _ome_resolution(image: Mapping[str, Any], scale: Mapping[str, Any]) -> Resolution | None:
    """Nanometres along x, y, z, where the file gives a length unit for all three; a 2D image's z is 1 nm."""
    steps = next((t["scale"] for t in scale.get("coordinateTransformations", []) if t.get("type") == "scale"), None)
    axes = [axis for axis in image.get("axes", []) if isinstance(axis, dict)]
    if steps is None or len(axes) != len(steps):
        return None
    sizes = {
        axis["name"].lower(): step * NANOMETRES[unit]
        for axis, step in zip(axes, steps, strict=True)
        if (unit := str(axis.get("unit", "")).lower()) in NANOMETRES
    }
    if not {"x", "y"} <= set(sizes):
        return None
    return (float(sizes["x"]), float(sizes["y"]), float(sizes.get("z", 1)))


def _tiff(path: Path) -> SourceVolume:
    """A stack in one file, through its Zarr view: pages are decoded as they are asked for."""
    import tifffile
    import zarr

    with ExitStack() as stack:
        try:
            series = stack.enter_context(tifffile.TiffFile(path)).series[0]
        except (tifffile.TiffFileError, IndexError) as error:
            raise VolumeError(f"cannot read {path} as TIFF ({error}); give a complete file") from error
        axes = "".join("z" if axis.lower() in TIFF_DEPTH else axis.lower() for axis in series.axes)
        # tifffile's own ImageJ writer calls the pages of a plain stack channels.
        axes = axes if "z" in axes else axes.replace("c", "z")
        if "s" in axes:
            raise VolumeError(
                f"{path} has colours (axes {series.axes}, shape {series.shape}); convert it to one grey channel"
            )
        opened = zarr.open(stack.enter_context(series.aszarr(level=0)), mode="r")
        array = opened if isinstance(opened, zarr.Array) else opened["0"]
        return replace(_array_source(str(path), array, axes), close=stack.pop_all().close)


def natural_order(name: str) -> list[tuple[int, int | str]]:
    """A key that sorts numbers in names by value: section 9 comes before section 10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name.lower()) if part]


def _sections(place: Path) -> SourceVolume:
    """Section images in a folder (or a single one), by natural order of their names; one image is one z."""
    paths = [place] if place.is_file() else [p for p in place.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
    paths = sorted((p for p in paths if not p.name.startswith(".")), key=lambda p: natural_order(p.name))
    if not paths:
        raise VolumeError(
            f"{place} holds no section images ({', '.join(IMAGE_SUFFIXES)}) and is no Zarr; check the folder"
        )
    first = read_section(paths[0])

    def read(box: Box) -> NDArray[Any]:
        x, y, z = box.slices
        return np.stack([_same(paths, i, first)[y, x].T for i in range(z.start, z.stop)], axis=2)[..., np.newaxis]

    rows, columns = first.shape
    return SourceVolume(str(place), (columns, rows, len(paths)), 1, first.dtype, read)


def _same(paths: Sequence[Path], index: int, first: NDArray[Any]) -> NDArray[Any]:
    section = read_section(paths[index])
    if section.shape != first.shape or section.dtype != first.dtype:
        raise DataError(
            f"{paths[index]} is {section.shape} {section.dtype}, but {paths[0].name} is {first.shape} {first.dtype}; "
            "all sections must have one size and type (columns and rows are given as rows, columns)"
        )
    return section


def read_section(path: Path) -> NDArray[Any]:
    """One section image as (rows, columns). Grey stored as colour is taken as grey; colours are refused."""
    if path.suffix.lower() in TIFF_SUFFIXES:
        import tifffile

        pixels: NDArray[Any] = np.squeeze(np.asarray(tifffile.imread(path)))
    else:
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = None  # sections of 20k x 20k pixels are normal here, not an attack
        with Image.open(path) as image:
            pixels = np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4) and (pixels[..., :1] == pixels[..., 1:3]).all():
        pixels = np.ascontiguousarray(pixels[..., 0])
    if pixels.ndim != 2:
        raise DataError(
            f"{path} has the shape {pixels.shape}; a section is one grey image: "
            "convert colours, or give a stack as one file"
        )
    return pixels

"""Files in the formats of the field, as public libraries write them, for the table in `test_inputs.py`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import mrcfile
import nrrd
import numpy as np
import tensorstore
import tifffile
import wkw
import zarr
from numpy.typing import NDArray
from PIL import Image

#: Slowest axis first, as files have it; no two sizes are equal, so that a swapped axis is seen.
ZYX: NDArray[np.uint8] = np.random.default_rng(0).integers(1, 255, (6, 21, 34), dtype=np.uint8)
XYZ = ZYX.transpose(2, 1, 0)
VOXEL = (4.0, 4.0, 40.0)

Write = Callable[[Path], str]


def hdf5(data: NDArray[Any] = ZYX, name: str = "raw", labels: Sequence[str] = (), **attributes: Any) -> Write:
    def write(folder: Path) -> str:
        with h5py.File(folder / "a.h5", "w") as file:
            dataset = file.create_dataset(name, data=data, chunks=True, compression="gzip")
            dataset.attrs.update(attributes)
            for i, label in enumerate(labels):
                dataset.dims[i].label = label
        return str(folder / "a.h5")

    return write


def hdf5_link(folder: Path) -> str:
    hdf5()(folder)
    with h5py.File(folder / "link.h5", "w") as file:
        file["x"] = h5py.ExternalLink("a.h5", "raw")
        file["loop"] = h5py.SoftLink("/")
    return f"{folder / 'link.h5'}:x"


def hdf5_dangling(folder: Path) -> str:
    with h5py.File(folder / "link.h5", "w") as file:
        file["x"] = h5py.ExternalLink("gone.h5", "raw")
    return f"{folder / 'link.h5'}:x"


def hdf5_virtual(folder: Path) -> str:
    layout = h5py.VirtualLayout(ZYX.shape, np.uint8)
    layout[:] = h5py.VirtualSource("gone.h5", "raw", shape=ZYX.shape)
    with h5py.File(folder / "v.h5", "w") as file:
        file.create_virtual_dataset("raw", layout)
    return str(folder / "v.h5")


def cremi(folder: Path) -> str:
    with h5py.File(folder / "c.hdf", "w") as file:
        raw = file.create_dataset("volumes/raw", data=np.pad(ZYX, 5))
        raw.attrs["resolution"] = (40.0, 4.0, 4.0)
        labels = file.create_dataset("volumes/labels/neuron_ids", data=ZYX.astype("u8"))
        labels.attrs["resolution"] = (40.0, 4.0, 4.0)
        labels.attrs["offset"] = (200.0, 20.0, 20.0)
        file["annotations/ids"] = np.arange(4)
    return f"{folder / 'c.hdf'}:volumes/labels/neuron_ids"


def tiff(data: NDArray[Any] = ZYX, **how: Any) -> Write:
    def write(folder: Path) -> str:
        tifffile.imwrite(folder / "a.tif", data, **({"photometric": "minisblack"} | how))
        return str(folder / "a.tif")

    return write


def ome_tiff(axes: str = "ZYX", data: NDArray[Any] = ZYX, **sizes: Any) -> Write:
    def write(folder: Path) -> str:
        tifffile.imwrite(folder / "a.ome.tif", data, metadata={"axes": axes, **sizes})
        return str(folder / "a.ome.tif")

    return write


def imagej(**metadata: Any) -> Write:
    return tiff(imagej=True, resolution=(250, 250), metadata=metadata)


def tiff_with_preview(number: str = "", *, marked: bool = False) -> Write:
    def write(folder: Path) -> str:
        with tifffile.TiffWriter(folder / "a.tif") as writer:
            writer.write(ZYX[0, :7, :9], metadata=None, subfiletype=1 if marked else 0)
            for section in ZYX:
                writer.write(section, metadata=None)
        return f"{folder / 'a.tif'}{number}"

    return write


def tiff_cut(keep: float, **how: Any) -> Write:
    def write(folder: Path) -> str:
        path = Path(tiff(**how)(folder))
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])
        return str(path)

    return write


def tiff_palette(colours: NDArray[Any]) -> Write:
    return tiff(photometric="palette", colormap=(colours.T.astype(np.uint16) * 257), metadata=None)


def sections(numbers: Sequence[str], *suffixes: str, other: Callable[[Path], None] = lambda folder: None) -> Write:
    """Sections `numbers` of ZYX in their order, as files `z_NUMBER`."""

    def write(folder: Path) -> str:
        stack = folder / "stack"
        stack.mkdir()
        for number, section in zip(numbers, ZYX, strict=False):
            for suffix in suffixes or ("tif",):
                save_section(stack / f"z_{number}.{suffix}", section)
        other(stack)
        return str(stack)

    return write


def folder_of(names: Sequence[str]) -> Write:
    """Sections of ZYX in their order, as TIFF files of these names."""

    def write(folder: Path) -> str:
        (folder / "stack").mkdir()
        for name, section in zip(names, ZYX, strict=True):
            save_section(folder / "stack" / f"{name}.tif", section)
        return str(folder / "stack")

    return write


def save_section(path: Path, section: NDArray[Any]) -> None:
    if path.suffix == ".tif":
        tifffile.imwrite(path, section)
    else:
        Image.fromarray(section).save(path)


def picture(
    mode: str, change: Callable[[Image.Image], Image.Image] = lambda image: image, suffix: str = "png"
) -> Write:
    def write(folder: Path) -> str:
        path = folder / f"a.{suffix}"
        change(Image.fromarray(ZYX[0]).convert(mode)).save(path)
        return str(path)

    return write


def grey_palette(image: Image.Image) -> Image.Image:
    image = Image.fromarray(ZYX[0], "L").convert("P")
    image.putpalette([value for k in range(256) for value in (255 - k,) * 3])
    return image


def mrc(data: NDArray[Any] = ZYX, angstrom: Any = (40.0, 40.0, 400.0), start: int = 0, **header: Any) -> Write:
    def write(folder: Path) -> str:
        with mrcfile.new(folder / "a.mrc", overwrite=True) as file:
            file.set_data(data)
            file.voxel_size = angstrom
            file.header.nxstart = start
            for name, value in header.items():
                file.header[name] = value
        return str(folder / "a.mrc")

    return write


def mrc_cut(folder: Path) -> str:
    path = Path(mrc()(folder))
    path.write_bytes(path.read_bytes()[:-100])
    return str(path)


def nrrd_file(data: NDArray[Any] = XYZ, **header: Any) -> Write:
    def write(folder: Path) -> str:
        nrrd.write(str(folder / "a.nrrd"), np.asfortranarray(data), {"encoding": "raw"} | header)
        return str(folder / "a.nrrd")

    return write


def nrrd_detached(folder: Path) -> str:
    nrrd.write(str(folder / "a.nhdr"), np.asfortranarray(XYZ), {"encoding": "gzip"}, detached_header=True)
    return str(folder / "a.nhdr")


def npy(data: NDArray[Any] = ZYX) -> Write:
    def write(folder: Path) -> str:
        np.save(folder / "a.npy", data)
        return str(folder / "a.npy")

    return write


def npz(name: str = "") -> Write:
    def write(folder: Path) -> str:
        np.savez_compressed(folder / "a.npz", raw=ZYX, scale=np.zeros(3))
        return f"{folder / 'a.npz'}{name}"

    return write


def wkw_dataset(named: str, *, properties: bool = True, mag: str = "1") -> Write:
    def write(folder: Path) -> str:
        with wkw.Dataset.create(str(folder / "color" / mag), wkw.Header(np.uint8, block_len=8, file_len=4)) as dataset:
            dataset.write((0, 0, 0), np.asfortranarray(np.pad(XYZ, [(2, 0), (1, 0), (3, 0)])))
        box = {"topLeft": [2, 1, 3], "width": 34, "height": 21, "depth": 6}
        layer = {"name": "color", "category": "segmentation", "boundingBox": box}
        if properties:
            said = {"scale": {"factor": list(VOXEL), "unit": "nanometer"}, "dataLayers": [layer]}
            (folder / "datasource-properties.json").write_text(json.dumps(said))
        return str(folder) + named

    return write


def webknossos_zarr(folder: Path) -> str:
    """A dataset whose layer is Zarr 3 in the magnification 2-2-1, as WebKnossos writes them now."""
    array = zarr.create_array(
        str(folder / "color" / "2-2-1"),
        shape=(1, *XYZ.shape),
        dtype="u1",
        chunks=(1, 8, 8, 8),
        zarr_format=3,
        dimension_names=("c", "x", "y", "z"),
    )
    array[...] = XYZ[None]
    layer = {"name": "color", "category": "segmentation", "dataFormat": "zarr3"}
    said = {"scale": {"factor": list(VOXEL), "unit": "nanometer"}, "dataLayers": [layer]}
    (folder / "datasource-properties.json").write_text(json.dumps(said))
    return str(folder)


def knossos(folder: Path, *, boundary: object = 200, size: int = 128**3) -> str:
    lines = [f"boundary {axis} {n};" for axis, n in zip("xyz", (34, 21, boundary), strict=True)]
    lines += [f"scale {axis} {n};" for axis, n in zip("xyz", VOXEL, strict=True)]
    (folder / "knossos.conf").write_text("\n".join(['experiment name "e";', *lines, "magnification 1;"]))
    cube = np.zeros((128, 128, 128), np.uint8)
    cube[:6, :21, :34] = ZYX
    path = folder / "x0000" / "y0000" / "z0000" / "e_x0000_y0000_z0000.raw"
    path.parent.mkdir(parents=True)
    path.write_bytes(cube.tobytes()[:size])
    return str(folder)


def zarr_array(
    data: NDArray[Any] = ZYX, version: Any = 2, named: str = "", attributes: Any = None, **how: Any
) -> Write:
    """An array `raw` in a group; `named` is what the path has behind the group's."""

    def write(folder: Path) -> str:
        group = zarr.open_group(str(folder / "a.zarr"), mode="w", zarr_format=version)
        how_stored = {"chunks": (4,) * data.ndim} | how
        array = group.create_array("raw", shape=data.shape, dtype=data.dtype, **how_stored)
        array[...] = data
        array.attrs.update(attributes or {})
        return str(folder / "a.zarr") + named

    return write


def ome_zarr(
    axes: str = "zyx",
    scale: Sequence[float] = (0.04, 0.004, 0.004),
    *,
    units: Sequence[str | None] | None = None,
    move: Sequence[float] | None = None,
    top: Sequence[float] | None = None,
    version: str = "0.4",
    data: NDArray[Any] | None = None,
    below: str = "",
    named: str = "",
    **more: Any,
) -> Write:
    """An OME-Zarr of one scale `0` in micrometres, in the group `below`."""

    def write(folder: Path) -> str:
        form: Any = 2 if version == "0.4" else 3
        group = zarr.open_group(str(folder / "a.zarr"), mode="w", zarr_format=form)
        if below:
            group.attrs["bioformats2raw.layout"] = 3
            group = group.create_group(below)
        voxels = data if data is not None else ZYX
        array = group.create_array("0", shape=voxels.shape, dtype=voxels.dtype, chunks=(4,) * voxels.ndim)
        array[...] = voxels
        kinds = {"c": "channel", "t": "time"}
        named_axes: list[dict[str, Any]] = [{"name": a, "type": kinds.get(a, "space")} for a in axes]
        for axis, unit in zip(named_axes, units or ["micrometer"] * len(axes), strict=True):
            if unit and axis["type"] == "space":
                axis["unit"] = unit
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": list(scale)}]
        steps += [{"type": "translation", "translation": list(move)}] if move else []
        image: dict[str, Any] = {"axes": named_axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
        if top:
            image["coordinateTransformations"] = [{"type": "scale", "scale": list(top)}]
        said = {"version": version, "multiscales": [image | {"version": version}], **more}
        group.attrs.update(said if version == "0.4" else {"ome": said})
        return str(folder / "a.zarr") + named

    return write


def n5(data: NDArray[Any] = XYZ, group: Any = None, named: str = "", **attributes: Any) -> Write:
    """An N5 array `vol/s0`, x first."""

    def write(folder: Path) -> str:
        place = folder / "a.n5" / "vol" / "s0"
        metadata = {"dimensions": list(data.shape), "blockSize": [8] * data.ndim, "compression": {"type": "gzip"}}
        spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{place}/"}}
        spec["metadata"] = metadata | {"dataType": str(data.dtype)}
        tensorstore.open(spec, create=True).result().write(data).result()
        document = json.loads((place / "attributes.json").read_text()) | attributes
        (place / "attributes.json").write_text(json.dumps(document))
        (folder / "a.n5" / "attributes.json").write_text(json.dumps({"n5": "2.5.0"}))
        (place.parent / "attributes.json").write_text(json.dumps(group or {}))
        return str(folder / "a.n5") + named

    return write


def precomputed(named: str = "") -> Write:
    def write(folder: Path) -> str:
        from seuron.box import Box
        from seuron.volumes import create_volume

        box = Box.from_shape((5, 6, 7), XYZ.shape)
        layer = create_volume(str(folder / "layer"), box, VOXEL, dtype="uint32", kind="segmentation")
        layer.write(box, XYZ.astype("u4")[..., np.newaxis])
        return str(folder / "layer") + named

    return write

"""Volumes in OME-Zarr, Zarr and N5 as other programs write them, for tests: made by zarr-python and tensorstore."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, BytesCodec, GzipCodec, ShardingCodec, ZstdCodec

from seuron.box import Box

#: A voxel in nm, and the corner of the volumes, in voxels.
RESOLUTION = (4.0, 4.0, 40.0)
CORNER = (30, 20, 10)
VOXELS = np.random.default_rng(0).integers(1, 256, (50, 40, 30), dtype=np.uint8)
BOX = Box.from_shape(CORNER, VOXELS.shape)


@dataclass(frozen=True)
class Example:
    """A volume: what makes it in a folder, the path below that which is opened, and what it is called."""

    make: Callable[[Path], None]
    about: str
    path: str = "image.zarr"
    box: Box = BOX


def ordered(axes: str, voxels: NDArray[Any] = VOXELS) -> NDArray[Any]:
    """Voxels (X, Y, Z) with the axes of an array, slowest first; those that they lack have one entry."""
    places = ["xyz".index(axis) for axis in axes if axis in "xyz"]
    return np.expand_dims(voxels.transpose(places), [n for n, axis in enumerate(axes) if axis not in "xyz"])


def ome_attributes(
    axes: str, paths: Sequence[str], factors: Sequence[int] = (1,), *, centres: bool = False, unit: str = "micrometer"
) -> dict[str, Any]:
    """A group's `multiscales`; the translations of coarser scales are of centres or of corners."""
    per = {"micrometer": 1e-3, "nanometer": 1.0}[unit]
    sizes, corner = dict(zip("xyz", RESOLUTION, strict=True)), dict(zip("xyz", CORNER, strict=True))
    datasets = []
    for path, factor in zip(paths, factors, strict=True):
        scale = [sizes[a] * factor * per if a in sizes else 1.0 for a in axes]
        moved = [sizes[a] * (factor - 1) / 2 if centres and a in sizes else 0.0 for a in axes]
        place = [(corner[a] * sizes[a] + m) * per if a in sizes else 0.0 for a, m in zip(axes, moved, strict=True)]
        steps = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": place}]
        datasets.append({"path": path, "coordinateTransformations": steps})
    types = {"c": "channel", "t": "time"}
    named = [{"name": a, "type": types[a]} if a in types else {"name": a, "type": "space", "unit": unit} for a in axes]
    return {"version": "0.4", "axes": named, "datasets": datasets}


def ome(axes: str = "zyx", zarr_format: int = 3, name: str = "image.zarr", **array: Any) -> Callable[[Path], None]:
    """Makes an OME-Zarr 0.4 or 0.5 with one scale `0`; `array` is for zarr-python's create_array."""

    def make(folder: Path) -> None:
        group = zarr.open_group(folder / name, mode="w", zarr_format=zarr_format)  # type: ignore[arg-type]
        voxels = ordered(axes)
        chunks = tuple(17 if axis in "xyz" else 1 for axis in axes)
        made = group.create_array("0", shape=voxels.shape, dtype="u1", **{"chunks": chunks, **array})
        made[...] = voxels
        image = ome_attributes(axes, ["0"])
        ours = {"multiscales": [image]} if zarr_format == 2 else {"ome": {"version": "0.5", "multiscales": [image]}}
        group.attrs.update(ours)

    return make


def plain(zarr_format: int, **attributes: Any) -> Callable[[Path], None]:
    """Makes an array without OME's metadata, which says all that is needed in attributes."""

    def make(folder: Path) -> None:
        names = {"dimension_names": ("z", "y", "x")} if zarr_format == 3 else {}
        path = folder / "image.zarr"
        made = zarr.create_array(
            path,
            shape=(30, 40, 50),
            chunks=(16, 16, 16),
            dtype="u1",
            zarr_format=zarr_format,
            **names,  # type: ignore[arg-type]
        )
        made[...] = ordered("zyx")
        made.attrs.update(attributes)

    return make


#: The attributes of N5 viewers, and of Paintera.
VIEWERS = {"pixelResolution": {"dimensions": [0.004, 0.004, 0.04], "unit": "um"}}
PAINTERA = {"resolution": [4, 4, 40], "offset": [120, 80, 400], "units": "nm"}


def n5(compression: str = "gzip", scales: bool = True, said: Mapping[str, Any] = VIEWERS) -> Callable[[Path], None]:
    """Makes an N5 with a scale s0, or an array alone, with what its attributes say of voxels and place."""

    def make(folder: Path) -> None:
        place = folder / "image.n5" / ("s0" if scales else "")
        metadata = {"dimensions": [50, 40, 30], "blockSize": [16, 16, 16], "dataType": "uint8"}
        spec = {
            "driver": "n5",
            "kvstore": {"driver": "file", "path": f"{place}/"},
            "metadata": {**metadata, "compression": {"type": compression}},
        }
        tensorstore.open(spec, create=True).result()[...] = VOXELS
        document = place / "attributes.json"
        document.write_text(json.dumps(json.loads(document.read_text()) | dict(said)))

    return make


def bioformats2raw(folder: Path) -> None:
    """A group whose only image lies in its group `0`."""
    group = zarr.open_group(folder / "image.zarr", mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    ome("tczyx", 2, "image.zarr/0")(folder)


_SHARDS = ShardingCodec(chunk_shape=(8, 8, 8), codecs=[BytesCodec(), ZstdCodec()])
_V2 = {"name": "v2", "separator": "/"}
AT_ZERO = Box.from_shape((0, 0, 0), VOXELS.shape)
PLAIN = {"resolution": [40, 4, 4], "offset": [400, 80, 120], "units": "nm"}

#: Volumes that hold VOXELS and are used where they lie, by name.
EXAMPLES = {
    "0.4, zyx": Example(ome("zyx", 2), "OME-Zarr 0.4"),
    "0.4, slashes": Example(ome("zyx", 2, chunk_key_encoding=_V2), "OME-Zarr 0.4"),
    "0.4, no compression": Example(ome("zyx", 2, compressors=None), "OME-Zarr 0.4"),
    "0.4, tczyx": Example(ome("tczyx", 2), "OME-Zarr 0.4"),
    "0.5, zyx": Example(ome("zyx"), "OME-Zarr 0.5"),
    "0.5, xyz": Example(ome("xyz"), "OME-Zarr 0.5"),
    "0.5, czyx": Example(ome("czyx"), "OME-Zarr 0.5"),
    "0.5, blosc": Example(ome(compressors=[BloscCodec(cname="lz4")]), "OME-Zarr 0.5"),
    "0.5, gzip": Example(ome(compressors=[GzipCodec()]), "OME-Zarr 0.5"),
    "0.5, dots": Example(ome(chunk_key_encoding={"name": "default", "separator": "."}), "OME-Zarr 0.5"),
    "0.5, keys of v2": Example(ome(chunk_key_encoding=_V2), "OME-Zarr 0.5"),
    "0.5, shards": Example(ome(chunks=(8, 8, 8), shards=(16, 24, 16)), "OME-Zarr 0.5"),
    "0.5, a scale by a slash": Example(ome(), "OME-Zarr 0.5", "image.zarr/0"),
    "0.5, a scale by a colon": Example(ome(), "OME-Zarr 0.5", "image.zarr:0"),
    "bioformats2raw": Example(bioformats2raw, "OME-Zarr 0.4"),
    "array of Zarr 2": Example(plain(2, _ARRAY_DIMENSIONS=["z", "y", "x"], **PLAIN), "Zarr 2"),
    "array of Zarr 3": Example(plain(3, **PLAIN), "Zarr 3"),
    "N5, scales": Example(n5(), "N5", "image.n5", AT_ZERO),
    "N5, a scale": Example(n5("zstd"), "N5", "image.n5/s0", AT_ZERO),
    "N5, a unit in a word": Example(n5(said=PAINTERA), "N5", "image.n5"),
    "N5, raw": Example(n5("raw", scales=False), "N5", "image.n5", AT_ZERO),
}

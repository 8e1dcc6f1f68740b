"""Formats that store blocks in a folder: N5, and WebKnossos' wkw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from seuron.box import Box, Triple
from seuron.volumes.exports.target import ExportedArray, Target

N5_VERSION = "2.5.1"
N5_BLOCK: Triple = (64, 64, 64)
#: WebKnossos' own choice: files of 32^3 blocks of 32^3 voxels.
WKW_BLOCK = 32


@contextmanager
def open_n5(path: Path, array: ExportedArray) -> Iterator[Target]:
    """An N5 folder whose array is `s0`: x, y, z and channels, packed by gzip, with resolution and offset in nm."""
    import tensorstore

    several = array.channels > 1
    metadata = {
        "dimensions": [*array.shape, *([array.channels] if several else [])],
        "blockSize": [*N5_BLOCK, *([1] if several else [])],
        "dataType": array.dtype.name,
        "compression": {"type": "gzip", "level": 1},
        "axes": ["x", "y", "z", *(["c"] if several else [])],
        "units": ["nm", "nm", "nm", *([""] if several else [])],
        "resolution": [*array.resolution_nm, *([1.0] if several else [])],
    }
    place = path / "s0"
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{place}/"}, "metadata": metadata}
    store = tensorstore.open(spec, create=True).result()
    (path / "attributes.json").write_text(json.dumps({"n5": N5_VERSION}))
    # tensorstore writes attributes that it knows only.
    own = json.loads((place / "attributes.json").read_text())
    offset = [*array.offset_nm, *([0.0] if several else [])]
    (place / "attributes.json").write_text(json.dumps(own | {"offset": offset}))

    def write(box: Box, voxels: NDArray[Any]) -> None:
        store[box.slices].write(voxels if several else voxels[..., 0]).result()

    yield Target(write)


@contextmanager
def open_wkw(path: Path, array: ExportedArray) -> Iterator[Target]:
    """A WebKnossos dataset with one layer in its finest magnification: `color/1` or `segmentation/1`.

    Voxels lie at their place in the layer, where that is not below 0: wkw has no such places, and begins at 0 then.
    """
    import wkw

    name = "segmentation" if array.kind == "segmentation" else "color"
    corner = wkw_corner(array.box)
    (path / name).mkdir(parents=True)
    header = wkw.Header(array.dtype.type, array.channels, block_len=WKW_BLOCK, file_len=WKW_BLOCK)
    with wkw.Dataset.create(str(path / name / "1"), header) as dataset:

        def write(box: Box, voxels: NDArray[Any]) -> None:
            dataset.write(box.shifted(corner).minimum, voxels.transpose(3, 0, 1, 2))

        yield Target(write)
    properties = _wkw_properties(path.name, name, corner, array)
    (path / "datasource-properties.json").write_text(json.dumps(properties, indent=1))


def wkw_corner(box: Box) -> Triple:
    """Where the first voxel of a box lies in a wkw layer."""
    return box.minimum if min(box.minimum) >= 0 else (0, 0, 0)


def _wkw_properties(dataset: str, name: str, corner: Triple, array: ExportedArray) -> dict[str, Any]:
    width, height, depth = array.shape
    layer: dict[str, Any] = {
        "name": name,
        "category": name,
        "boundingBox": {"topLeft": list(corner), "width": width, "height": height, "depth": depth},
        "elementClass": "float" if array.dtype.name == "float32" else array.dtype.name,
        "numChannels": array.channels,
        "dataFormat": "wkw",
        "wkwResolutions": [{"resolution": [1, 1, 1], "cubeLength": WKW_BLOCK**2}],
    }
    return {
        "id": {"name": dataset, "team": ""},
        "dataLayers": [layer],
        "scale": {"factor": list(array.resolution_nm), "unit": "nanometer"},
    }

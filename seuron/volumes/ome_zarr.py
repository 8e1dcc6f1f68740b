"""Layers of ours in OME-Zarr 0.5: their metadata, and their chunks or shards, written whole.

Arrays are Zarr 3 with the axes (c,) z, y, x and begin at the layer's corner. A chunk holds all channels. Translations
are of centres, as other programs write pyramids: that of the finest scale is its corner, that of a coarser one lies
half of what its voxels are larger beside it.

tensorstore encodes; files are written through `Storage`, whole or not at all. Chunks of zeros are stored like any
other: what is not there has not been written yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box
from seuron.storage import Storage
from seuron.volumes.array_volume import ArrayVolume, ScaleArray
from seuron.volumes.layouts import LayerLayout, ScaleLayout
from seuron.volumes.volume import Kind

#: The attribute of a group that marks a layer of ours, which may be written; its value is the layer's kind.
LAYER_ATTRIBUTE = "seuron_layer"
#: Codecs of chunks, by the name of a layer's encoding. Labels gain little from higher levels (docs/performance.md).
CODECS: dict[str, list[dict[str, Any]]] = {
    "zstd": [{"name": "zstd", "configuration": {"level": 3, "checksum": False}}],
    "gzip": [{"name": "gzip", "configuration": {"level": 4}}],
    "raw": [],
}


@dataclass(frozen=True)
class OmeZarrLayer(ArrayVolume):
    """One scale of a layer of ours."""

    @cached_property
    def _encoder(self) -> Any:
        """An array in memory, whose files are taken from there."""
        import tensorstore

        spec = {
            "driver": "zarr3",
            "kvstore": "memory://",
            "metadata": {k: v for k, v in self._array.metadata.items() if k != "consolidated_metadata"},
            "store_data_equal_to_fill_value": True,
        }
        return tensorstore.open(spec, context=tensorstore.Context(), create=True).result()

    def _write(self, box: Box, blocks: Sequence[Box], voxels: NDArray[Any]) -> int:
        array, order = self._encoder, ["xyzc".index(axis) for axis in self.axes]
        voxels = voxels if "c" in self.axes else voxels[..., 0]

        def encoded() -> Iterator[tuple[str, bytes]]:
            for block in blocks:
                array[self._part(block)].write(voxels[block.within(box)].transpose(order)).result()
                (name,) = self._array.files(self._part(block))
                yield self.block_name(block), bytes(array.kvstore[name])
                del array.kvstore[name]

        return Storage(self.path).put_all(encoded())


def is_layer(arrays: Sequence[ScaleArray]) -> bool:
    """Whether arrays are those of a layer of ours."""
    return all(LAYER_ATTRIBUTE in (scale.array.metadata.get("attributes") or {}) for scale in arrays)


def ome_zarr_files(layout: LayerLayout) -> dict[str, dict[str, Any]]:
    """The metadata files of a layer by their names: the group's, and each scale's."""
    files = {"zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": {"ome": _ome(layout)}}}
    for number, scale in enumerate(layout.scales):
        files[f"{number}/zarr.json"] = _array(layout, scale)
    return files


def write_ome_zarr(path: str, layout: LayerLayout) -> None:
    """Write a layer's metadata, the group's last: it names the arrays."""
    storage = Storage(path)
    for name, content in reversed(ome_zarr_files(layout).items()):
        storage.put(name, json.dumps(content, indent=1).encode())


def _axes(layout: LayerLayout) -> str:
    return "zyx" if layout.channels == 1 else "czyx"


def _ome(layout: LayerLayout) -> dict[str, Any]:
    """The attributes of the group."""
    space = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    channel = [{"name": "c", "type": "channel"}] if layout.channels > 1 else []
    method = "mode" if layout.kind == "segmentation" else "mean"
    image = {
        "axes": channel + space,
        "datasets": [
            {"path": str(number), "coordinateTransformations": _transformations(layout, scale)}
            for number, scale in enumerate(layout.scales)
        ],
        "name": "/",
        "type": method,
        "metadata": {"method": "tensorstore.downsample", "description": f"the {method} of the voxels of a cell"},
    }
    label: dict[str, Any] = {"image-label": {}} if layout.kind == "segmentation" else {}
    return {"version": "0.5", "multiscales": [image], **label}


def _transformations(layout: LayerLayout, scale: ScaleLayout) -> list[dict[str, Any]]:
    fine, channel = layout.scales[0], [0.0] * (layout.channels > 1)
    place = [
        float(f"{corner * first + (own - first) / 2:.12g}")
        for corner, first, own in zip(fine.box.minimum, fine.resolution_nm, scale.resolution_nm, strict=True)
    ]
    return [
        {"type": "scale", "scale": [1.0 for _ in channel] + list(reversed(scale.resolution_nm))},
        {"type": "translation", "translation": channel + list(reversed(place))},
    ]


def _array(layout: LayerLayout, scale: ScaleLayout) -> dict[str, Any]:
    """The metadata of one scale's array."""
    channels = [layout.channels] if layout.channels > 1 else []
    chunk, block = ([*channels, *reversed(size)] for size in (scale.chunk, scale.block))
    codecs = _codecs(layout)
    if scale.shard_bits:
        index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
        configuration = {"chunk_shape": chunk, "codecs": codecs, "index_codecs": index, "index_location": "end"}
        codecs = [{"name": "sharding_indexed", "configuration": configuration}]
    kind: Kind = layout.kind
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [*channels, *reversed(scale.box.shape)],
        "data_type": layout.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": block}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0 if np.dtype(layout.dtype).kind == "f" else 0,
        "codecs": codecs,
        "attributes": {LAYER_ATTRIBUTE: kind},
        "dimension_names": list(_axes(layout)),
    }


def _codecs(layout: LayerLayout) -> list[dict[str, Any]]:
    size = np.dtype(layout.dtype).itemsize
    endian = {"configuration": {"endian": "little"}} if size > 1 else {}
    if layout.encoding != "blosc":
        return [{"name": "bytes", **endian}, *CODECS[layout.encoding]]
    # Bytes of equal weight lie together, which is most of what makes labels small.
    settings = {"cname": "zstd", "clevel": 3, "shuffle": "shuffle" if size > 1 else "noshuffle", "blocksize": 0}
    return [{"name": "bytes", **endian}, {"name": "blosc", "configuration": {**settings, "typesize": size}}]

"""Layers of ours: made, and made again when their box has grown."""

from __future__ import annotations

from seuron.box import Box, Triple
from seuron.storage import cloud_path
from seuron.volumes.detection import open_volume
from seuron.volumes.growth import remove_stale_blocks
from seuron.volumes.layouts import SHARD_ABOVE, LayerFormat, LayerLayout
from seuron.volumes.ome_zarr import write_ome_zarr
from seuron.volumes.precomputed import precomputed_info, write_info
from seuron.volumes.volume import Kind, Resolution, Volume


def create_volume(
    path: str,
    box: Box,
    resolution_nm: Resolution,
    *,
    dtype: str,
    channels: int = 1,
    kind: Kind = "image",
    block_size: Triple = (64, 64, 64),
    pyramid: bool = True,
    layer_format: LayerFormat = "precomputed",
    encoding: str = "",
    shard_above: int = SHARD_ABOVE,
) -> Volume:
    """Write the metadata of a new layer, all scales of its pyramid included, and open its first scale.

    Idempotent: the same arguments write the same metadata. The arguments are those of `LayerLayout`.
    `seuron.volumes.pyramid` fills the further scales.
    """
    layout = LayerLayout(
        box, resolution_nm, dtype, channels, kind, block_size, pyramid, layer_format, encoding, shard_above
    )
    return write_layer(path, layout)


def write_layer(path: str, layout: LayerLayout) -> Volume:
    """Write the metadata of a layer and open its first scale."""
    if layout.layer_format == "precomputed":
        write_info(path, precomputed_info(layout))
    else:
        write_ome_zarr(path, layout)
    return open_volume(cloud_path(path))


def renew_layer(path: str, layout: LayerLayout) -> int:
    """Write the metadata of a layer that may be there with a smaller box; its whole blocks stay.

    Returns how many blocks there were to delete, which the old faces had cut.
    """
    removed = remove_stale_blocks(path, layout)
    write_layer(path, layout)
    return removed

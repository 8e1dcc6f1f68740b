"""The only door to voxels on disk: open, create, read a box, write whole blocks."""

from seuron.volumes.precomputed import Volume, create_volume, open_volume

__all__ = ["Volume", "create_volume", "open_volume"]

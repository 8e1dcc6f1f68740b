"""The only door to voxels on disk: open, create, read a box, write whole blocks."""

from seuron.volumes.detection import open_volume
from seuron.volumes.layers import create_volume
from seuron.volumes.volume import Volume

__all__ = ["Volume", "create_volume", "open_volume"]

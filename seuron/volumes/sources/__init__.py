"""Volumes in the formats that people bring, each read by a library and described by what its file says."""

from seuron.volumes.sources.formats import open_source
from seuron.volumes.sources.source import SourceOptions, SourceVolume, Stated

__all__ = ["SourceOptions", "SourceVolume", "Stated", "open_source"]

"""Volumes in the formats that people bring, each read by a library and described by what its file says."""

from __future__ import annotations

from seuron.volumes import source_files
from seuron.volumes.sources.source import SourceOptions, SourceVolume, Stated


def open_source(path: str, options: SourceOptions | None = None) -> SourceVolume:
    """Open a file or folder by its kind."""
    options = options or SourceOptions()
    old = source_files.open_source(path, options.dataset)
    found = options.resolution_nm or old.resolution_nm
    resolution = None if found is None else Stated(found, "--resolution" if options.resolution_nm else "attributes")
    corner = None
    if found and options.offset:
        x, y, z = (o * r for o, r in zip(options.offset, found, strict=True))
        corner = Stated((x, y, z), "--offset")
    axes = Stated("zyx", "convention")
    return SourceVolume(
        old.name, "file", old.shape, old.channels, old.dtype, old.read, axes, resolution, corner, close=old.close
    )

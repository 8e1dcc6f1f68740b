"""How Neuroglancer is told where a volume lies and where in space: a source for each format.

Precomputed layers say all of that themselves. Of arrays (OME-Zarr, Zarr, N5) Neuroglancer takes OME's translation as
the place of the first voxel's centre, where ours is its corner, and knows no place or size of others, so these get a
transformation: their axes in the array's order, and the shift that puts the first voxel where the volume has it.
"""

from __future__ import annotations

from typing import Any

from seuron.volumes import Volume
from seuron.volumes.array_volume import ArrayVolume

#: Where Neuroglancer puts the lower corner of an OME image whose translation is 0, in voxels.
OME_CORNER = -0.5


def layer_source(volume: Volume, url: str) -> str | dict[str, Any]:
    """The `source` of a layer in Neuroglancer's state, for a volume at its finest scale that is served at `url`."""
    if not isinstance(volume, ArrayVolume):
        return f"precomputed://{url}"
    scheme = "n5" if volume.about == "N5" else "zarr"
    return {"url": f"{scheme}://{url}", "transform": _transform(volume)}


def _transform(volume: ArrayVolume) -> dict[str, Any]:
    """Axes in the order of the array; channels become what shaders see as channels (`c^`)."""
    axes, sizes = volume.axes, dict(zip("xyz", volume.resolution_nm, strict=True))
    dimensions = {{"c": "c^"}.get(axis, axis): [sizes[axis] * 1e-9, "m"] if axis in sizes else [1, ""] for axis in axes}
    shifts = dict(zip("xyz", _shift(volume), strict=True))
    rank = len(axes)
    matrix = [
        [float(row == column) for column in range(rank)] + [shifts.get(axis, 0.0)] for row, axis in enumerate(axes)
    ]
    return {"matrix": matrix, "outputDimensions": dimensions}


def _shift(volume: ArrayVolume) -> list[float]:
    """How far the first voxel's corner lies from where Neuroglancer puts it, in voxels."""
    said = volume.scale.metadata.corner_nm
    if not volume.about.startswith("OME-Zarr") or volume.key == "":
        return [float(corner) for corner in volume.box.minimum]
    place = said.value if said is not None else (0.0, 0.0, 0.0)
    parts = zip(volume.box.minimum, place, volume.resolution_nm, strict=True)
    return [corner - (nm / step + OME_CORNER) for corner, nm, step in parts]

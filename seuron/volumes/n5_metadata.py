"""What attributes of an N5 array and of the group it lies in say: pure functions, nothing is opened.

N5 stores the fastest axis first: arrays are x, y, z (and c), and so are the numbers of its attributes. Only COSEM's
`transform` names its own axes, in C order, with places of centres.

    pixelResolution, downsamplingFactors   N5 viewers: the finest scale's voxel, and how much larger this scale's are
    resolution, offset, units              Paintera, Saalfeld lab: of the group, times `downsamplingFactors`
    transform                              COSEM: axes, scale, translate and units of this scale
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from seuron.volumes.array_metadata import (
    ArrayMetadata,
    axis_letters,
    by_axis,
    nanometres_of,
    numbers,
    plain_metadata,
    stated_axes,
    stated_corner,
    text,
    tidy,
    voxel_size,
)
from seuron.volumes.stated import Stated

#: Axes of an array whose attributes do not name them, by their number.
N5_AXES = {2: "xy", 3: "xyz", 4: "xyzc", 5: "xyzct"}


def n5_metadata(own: Mapping[str, Any], group: Mapping[str, Any], dimensions: int) -> ArrayMetadata:
    """What is said of an N5 array by its own attributes and by those of the group around it.

    Axes are in N5's order, which is that of tensorstore's driver: x first.
    """
    axes, notes = stated_axes({**group, **own}, dimensions)
    if axes is None and dimensions in N5_AXES:
        axes = Stated(N5_AXES[dimensions], "convention of N5")
    if axes is None:
        return ArrayMetadata(notes=notes)
    if isinstance(own.get("transform"), Mapping):
        return replace(_cosem(own["transform"], axes), notes=notes)
    factors = by_axis(numbers(own.get("downsamplingFactors")) or [1.0], axes.value)
    described = _pixel_resolution(own.get("pixelResolution", group.get("pixelResolution")), axes, factors)
    if described is None and any(factor != 1 for factor in factors.values()) and "resolution" in own:
        problem = (
            f"attribute `resolution` says {text(own['resolution'])} beside `downsamplingFactors` "
            f"{text(own['downsamplingFactors'])}, which leaves open whether it is of this scale"
        )
        described = ArrayMetadata(axes, size_problem=problem)
    if described is None:
        described = _scaled(plain_metadata({**group, **own}, axes), factors)
    return replace(described, notes=notes)


def _pixel_resolution(value: Any, axes: Stated[str], factors: Mapping[str, float]) -> ArrayMetadata | None:
    """`pixelResolution`: {"dimensions": [x, y, z], "unit": "nm"}, or the numbers alone, which have no unit."""
    if value is None:
        return None
    unit = text(value.get("unit")) if isinstance(value, Mapping) else ""
    steps = by_axis(numbers(value.get("dimensions") if isinstance(value, Mapping) else value) or [], axes.value)
    factor = nanometres_of(unit)
    sizes = {axis: None if factor is None else step * factor * factors.get(axis, 1.0) for axis, step in steps.items()}
    said = f"{', '.join(f'{step:g}' for step in steps.values())} {unit or 'without a unit'}"
    found, problem = voxel_size(sizes, said, "attribute `pixelResolution`")
    return ArrayMetadata(axes, found, size_problem=problem)


def _scaled(described: ArrayMetadata, factors: Mapping[str, float]) -> ArrayMetadata:
    """A group's size times what this scale's voxels are larger."""
    if described.resolution_nm is None or all(factor == 1 for factor in factors.values()):
        return described
    x, y, z = (
        tidy(size * factors.get(axis, 1.0)) for axis, size in zip("xyz", described.resolution_nm.value, strict=True)
    )
    origin = f"{described.resolution_nm.origin}, times `downsamplingFactors`"
    return replace(described, resolution_nm=Stated((x, y, z), origin))


def _cosem(transform: Mapping[str, Any], axes: Stated[str]) -> ArrayMetadata:
    """COSEM's `transform`. Its places are of centres, but its finest scale begins at 0, so they are kept as corners."""
    letters = axis_letters(transform.get("axes") or ())
    steps, places = numbers(transform.get("scale")) or [], numbers(transform.get("translate")) or []
    if letters is None or sorted(letters) != sorted(axes.value) or len(steps) != len(letters):
        return ArrayMetadata(axes, size_problem=f"attribute `transform` is not understood: {dict(transform)}")
    units = transform.get("units") or [""] * len(letters)
    factors = {axis: nanometres_of(unit) for axis, unit in zip(letters, units, strict=True)}

    def lengths(values: list[float]) -> dict[str, float | None]:
        pairs = zip(letters, values, strict=True)
        return {axis: None if (f := factors[axis]) is None else value * f for axis, value in pairs if axis in "xyz"}

    found, problem = voxel_size(lengths(steps), f"{steps} {list(units)}", "attribute `transform`")
    corner = stated_corner(lengths(places), "attribute `transform`") if len(places) == len(letters) else None
    return ArrayMetadata(axes, found, corner, size_problem=problem)

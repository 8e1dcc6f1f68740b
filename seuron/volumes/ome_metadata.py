"""What OME-Zarr's attributes (0.1 to 0.5) say of an image's scales: pure functions, nothing is opened.

A scale's transformations and then those of the whole image are applied one after the other. A translation is taken as
the place of the lower corner of the first voxel. Where a coarser scale's translation is that of the finest plus half
of what its voxels are larger, the file speaks of centres, and the coarser scale gets the finest one's corner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isclose
from typing import Any

from seuron.volumes.array_metadata import (
    ArrayMetadata,
    axis_letters,
    nanometres_of,
    stated_corner,
    tidy,
    voxel_size,
)
from seuron.volumes.stated import Stated

#: Before version 0.3 the axes were not written down: they were always these.
EARLY_AXES = "tczyx"


@dataclass(frozen=True)
class OmeScale:
    """One scale of an OME-Zarr image: its array's path below the image's group, and what is said of it."""

    path: str
    metadata: ArrayMetadata


@dataclass(frozen=True)
class OmeImage:
    """An OME-Zarr image: the version of its metadata, and its scales, the finest first."""

    version: str
    scales: tuple[OmeScale, ...]

    def scale(self, path: str) -> OmeScale | None:
        """The scale whose array lies at `path` below the image's group."""
        return next((scale for scale in self.scales if scale.path.strip("/") == path.strip("/")), None)


def ome_attributes(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """OME's own attributes of a group: below `ome` since 0.5, beside the others before."""
    inner = attributes.get("ome")
    return inner if isinstance(inner, Mapping) else attributes


def bioformats2raw(attributes: Mapping[str, Any]) -> bool:
    """Whether a group is bioformats2raw's, whose images are the groups `0`, `1`, ... below it."""
    return "bioformats2raw.layout" in ome_attributes(attributes)


def ome_image(attributes: Mapping[str, Any]) -> OmeImage | None:
    """The first image of a group's attributes; None where they are none of OME-Zarr."""
    own = ome_attributes(attributes)
    images = own.get("multiscales")
    if not isinstance(images, Sequence) or not images or not isinstance(images[0], Mapping):
        return None
    image = images[0]
    datasets = [entry for entry in image.get("datasets", ()) if isinstance(entry, Mapping) and "path" in entry]
    version = str(own.get("version") or image.get("version") or "0.4")
    scales = [OmeScale(str(entry["path"]), _scale_metadata(image, entry, version)) for entry in datasets]
    if "image-label" in own:
        kind = Stated[Any]("segmentation", "attribute `image-label`")
        scales = [replace(scale, metadata=replace(scale.metadata, kind=kind)) for scale in scales]
    notes = (f"the group holds {len(images)} images; the first one is taken",) if len(images) > 1 else ()
    scales = [replace(s, metadata=replace(s.metadata, notes=(*s.metadata.notes, *notes))) for s in scales]
    return OmeImage(version, tuple(_corners_from_centres(scales)))


def _axes(image: Mapping[str, Any], version: str) -> tuple[Stated[str] | None, dict[str, str]]:
    """Letters of the axes, and the unit of each axis that has one."""
    entries = image.get("axes")
    if not entries:
        if version in ("0.1", "0.2"):
            return Stated(EARLY_AXES, f"convention of OME-Zarr {version}"), {}
        return None, {}
    named = [dict(entry) if isinstance(entry, Mapping) else {"name": entry} for entry in entries]
    names = [str(entry.get("name", "")) for entry in named]
    # Channels and times may have any name, as their type says what they are.
    typed = [{"channel": "c", "time": "t"}.get(str(e.get("type")), name) for e, name in zip(named, names, strict=True)]
    letters = axis_letters(typed)
    if letters is None:
        return None, {}
    units = {axis: str(e["unit"]) for axis, e in zip(letters, named, strict=True) if e.get("unit")}
    return Stated(letters, "OME axes"), units


def _scale_metadata(image: Mapping[str, Any], dataset: Mapping[str, Any], version: str) -> ArrayMetadata:
    axes, units = _axes(image, version)
    if axes is None:
        names = [e.get("name") if isinstance(e, Mapping) else e for e in image.get("axes") or ()]
        listed = ", ".join(map(str, names)) or "none"
        return ArrayMetadata(notes=(f"the OME axes are {listed}, which do not name x, y, z, c, t",))
    lists = [dataset.get("coordinateTransformations") or [], image.get("coordinateTransformations") or []]
    steps, origin, problem = _composed([step for steps in lists for step in steps], len(axes.value))
    if problem or steps is None or origin is None:
        return ArrayMetadata(axes, size_problem=problem)
    factors = {axis: nanometres_of(units.get(axis, "")) for axis in axes.value if axis in "xyz"}

    def lengths(values: Sequence[float]) -> dict[str, float | None]:
        by_letter = dict(zip(axes.value, values, strict=True))
        return {axis: None if f is None else by_letter[axis] * f for axis, f in factors.items()}

    said = ", ".join(
        f"{axis} {step:g} {units.get(axis, 'without a unit')}"
        for axis, step in zip(axes.value, steps, strict=True)
        if axis in "xyz"
    )
    resolution, problem = voxel_size(lengths(steps), said, "OME scale")
    corner = stated_corner(lengths(origin), "OME translation") if any(origin) else None
    return ArrayMetadata(axes, resolution, corner, None, problem)


def _composed(
    transformations: Sequence[Mapping[str, Any]], dimensions: int
) -> tuple[list[float] | None, list[float] | None, str]:
    """Scale and translation of all transformations together; None without a scale; a problem for unknown ones."""
    steps, origin, scaled = [1.0] * dimensions, [0.0] * dimensions, False
    for transformation in transformations:
        name = str(transformation.get("type"))
        values = transformation.get(name)
        if name == "identity":
            continue
        if name not in ("scale", "translation") or not isinstance(values, Sequence) or len(values) != dimensions:
            return None, None, f"OME transformation {name!r} is not {dimensions} numbers of a scale or translation"
        numbers = [float(value) for value in values]
        if name == "scale":
            steps, scaled = [a * b for a, b in zip(steps, numbers, strict=True)], True
            origin = [a * b for a, b in zip(origin, numbers, strict=True)]
        else:
            origin = [a + b for a, b in zip(origin, numbers, strict=True)]
    return (steps, origin, "") if scaled else (None, None, "")


def _corners_from_centres(scales: Sequence[OmeScale]) -> list[OmeScale]:
    """The scales, with the finest one's corner for those whose translations are moved as centres are."""
    first = scales[0].metadata if scales else ArrayMetadata()
    if first.resolution_nm is None:
        return list(scales)
    corner = first.corner_nm.value if first.corner_nm is not None else (0.0, 0.0, 0.0)
    placed = [scales[0]]
    for scale in scales[1:]:
        own = scale.metadata
        if own.resolution_nm is not None and own.corner_nm is not None:
            parts = zip(corner, first.resolution_nm.value, own.resolution_nm.value, strict=True)
            centres = [tidy(c + (coarse - fine) / 2) for c, fine, coarse in parts]
            if all(
                isclose(a, b, rel_tol=1e-6, abs_tol=1e-6) for a, b in zip(centres, own.corner_nm.value, strict=True)
            ):
                moved = Stated(corner, f"{own.corner_nm.origin}, which is of centres")
                scale = replace(scale, metadata=replace(own, corner_nm=moved))
        placed.append(scale)
    return placed

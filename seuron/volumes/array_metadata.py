"""What attributes of an array say of its axes and of its place in space: pure functions, nothing is opened.

Attributes are plain Python or numpy values, as libraries give them. Lengths become nanometres. Every result carries
the attribute that it was read from, and a size that is incomplete or implausible is left out, with the reason.

`corner_nm` is the place of the *lower corner* of the first voxel: a translation of 400 nm with voxels of 40 nm is
voxel 10. Where a format speaks of centres, `ome_metadata` and `n5_metadata` say how it is brought to corners.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from seuron.volumes.stated import Stated

if TYPE_CHECKING:
    from seuron.volumes.volume import Kind, Resolution

#: Nanometres of a unit, by the names that files use for it (without capitals, singular).
NANOMETRES = {
    **dict.fromkeys(("angstrom", "ångström", "å", "ang"), 0.1),
    **dict.fromkeys(("nm", "nanometer", "nanometre", "nanom"), 1.0),
    **dict.fromkeys(("um", "µm", "μm", "micron", "micrometer", "micrometre"), 1e3),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e6),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e7),
    **dict.fromkeys(("m", "meter", "metre"), 1e9),
    **dict.fromkeys(("in", "inch"), 2.54e7),
    **dict.fromkeys(("pm", "picometer", "picometre"), 1e-3),
}
#: A voxel's edge in nm, and the longest through the shortest: outside of these a number was not meant in nm.
SMALLEST_NM, LARGEST_NM, LARGEST_RATIO = 0.1, 100_000.0, 100.0
#: Words for axes beside their letters.
AXIS_WORDS = {"channel": "c", "channels": "c", "time": "t", "frame": "t", "depth": "z", "height": "y", "width": "x"}
#: Attributes that name the axes, in the order in which they are believed.
AXES_ATTRIBUTES = ("axes", "_ARRAY_DIMENSIONS", "axistags", "DIMENSION_LABELS", "axis_names")
#: Attributes of a voxel's size, with the unit that their convention has where no other attribute names one.
SIZE_ATTRIBUTES = {"resolution": "nm", "voxel_size": "nm", "element_size_um": "um", "pixelSpacing": ""}
UNIT_ATTRIBUTES = ("units", "unit", "axis_units")


@dataclass(frozen=True)
class ArrayMetadata:
    """What attributes say of an array.

    Attributes:
        axes: letters of x, y, z, c, t in the array's own order (the first index first); None without a word.
        resolution_nm: a voxel's size along x, y, z, where every axis is known and plausible.
        corner_nm: the lower corner of the first voxel, along x, y, z.
        kind: what the voxels are said to be.
        size_problem: where `resolution_nm` is None, what is said of the size and why it cannot be taken.
        notes: what a person should know of how the attributes were understood, a sentence each.
    """

    axes: Stated[str] | None = None
    resolution_nm: Stated[Resolution] | None = None
    corner_nm: Stated[Resolution] | None = None
    kind: Stated[Kind] | None = None
    size_problem: str = ""
    notes: tuple[str, ...] = ()


def nanometres_of(unit: object) -> float | None:
    """Nanometres of a unit of length; None for pixels, an empty word and what is not known."""
    name = text(unit).strip().lower().replace("\\u00b5", "µ")
    return NANOMETRES.get(name) or NANOMETRES.get(name.removesuffix("s"))


def text(value: object) -> str:
    """A word of an attribute, which some libraries give as bytes or as an array of one."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    return value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else str(value)


def axis_letters(names: Iterable[object]) -> str | None:
    """Letters of axes by their names; None where a name is not understood or stands twice."""
    words = [text(name).strip().lower().rstrip("^") for name in names]
    letters = [AXIS_WORDS.get(word, word) for word in words]
    known = all(letter in ("x", "y", "z", "c", "t") for letter in letters)
    return "".join(letters) if letters and known and len(set(letters)) == len(letters) else None


def stated_axes(attributes: Mapping[str, Any], dimensions: int) -> tuple[Stated[str] | None, tuple[str, ...]]:
    """The axes that attributes name for an array of so many dimensions, and notes on names that were not followed."""
    found: list[Stated[str]] = []
    notes = []
    for attribute in AXES_ATTRIBUTES:
        names = _axis_names(attributes.get(attribute))
        if not any(names):
            continue
        letters = axis_letters(names)
        if letters is None or len(letters) != dimensions:
            notes.append(f"attribute `{attribute}` says {', '.join(names)}, which does not name x, y, z, c, t")
        else:
            found.append(Stated(letters, f"attribute `{attribute}`"))
    notes += [
        f"{found[0].origin} says {found[0].value} and is followed; {other.origin} says {other.value}"
        for other in found[1:]
        if other.value != found[0].value
    ]
    return (found[0] if found else None), tuple(notes)


def _axis_names(value: Any) -> list[str]:
    """The names in an attribute: a list, a word of letters, or the JSON of vigra's axis tags."""
    if value is None:
        return []
    if (isinstance(value, np.ndarray) and value.size > 1) or isinstance(value, list | tuple):
        return [text(entry.get("name", entry.get("key")) if isinstance(entry, Mapping) else entry) for entry in value]
    word = text(value)
    try:
        tags = json.loads(word)
    except ValueError:
        return list(word.replace(",", " ").split()) if not word.isalpha() else list(word)
    entries = tags.get("axes") if isinstance(tags, Mapping) else tags
    return _axis_names(entries) if isinstance(entries, list) else []


def numbers(value: Any) -> list[float] | None:
    """An attribute's numbers; None for what holds none."""
    if value is None:
        return None
    if isinstance(value, bytes | str):
        value = text(value).replace(",", " ").strip("[]() ").split()
    try:
        found = np.asarray(value, dtype=float).ravel()
    except (TypeError, ValueError):
        return None
    return [float(v) for v in found] if found.size else None


def by_axis(values: Sequence[Any], axes: str) -> dict[str, Any]:
    """Values of an attribute by axis: as many as axes, or as axes of space, or one for all of them; else empty."""
    space = [axis for axis in axes if axis in "xyz"]
    if len(values) == len(axes):
        return {axis: value for axis, value in zip(axes, values, strict=True) if axis in "xyz"}
    if len(values) == len(space):
        return dict(zip(space, values, strict=True))
    return dict.fromkeys(space, values[0]) if len(values) == 1 else {}


def voxel_size(sizes_nm: Mapping[str, float | None], said: str, origin: str) -> tuple[Stated[Resolution] | None, str]:
    """A voxel's size where it is known along x, y and z and plausible, else the reason why it cannot be taken.

    `said` is the file's own wording of it, for the message.
    """
    known = {axis: size for axis in "xyz" if (size := sizes_nm.get(axis)) is not None}
    if missing := [axis for axis in "xyz" if axis not in known]:
        return None, f"{origin} says {said}, which does not give {' and '.join(missing)} in a unit of length"
    sizes = (known["x"], known["y"], known["z"])
    if problem := implausible(sizes):
        return None, f"{origin} says {said}, which is {problem}"
    return Stated((tidy(sizes[0]), tidy(sizes[1]), tidy(sizes[2])), origin), ""


def implausible(sizes: Sequence[float]) -> str:
    """What is wrong with a voxel's size in nm, empty for nothing: numbers in another unit are caught by this."""
    shown = ", ".join(f"{size:g}" for size in sizes)
    if not all(isfinite(size) and size > 0 for size in sizes):
        return f"{shown} nm: not finite numbers above 0"
    if min(sizes) < SMALLEST_NM or max(sizes) > LARGEST_NM:
        return f"{shown} nm: implausible, as voxels are of {SMALLEST_NM:g} nm to {LARGEST_NM / 1e3:g} µm"
    if max(sizes) > LARGEST_RATIO * min(sizes):
        return f"{shown} nm: implausible, as one side is over {LARGEST_RATIO:g} times another"
    return ""


def tidy(length: float) -> float:
    """Without what 0.0046 * 1000 leaves behind: nine digits are far below anything a microscope knows."""
    return float(f"{length:.9g}")


def plain_metadata(attributes: Mapping[str, Any], axes: Stated[str]) -> ArrayMetadata:
    """Size and place from attributes without a standard, for an array whose axes are known.

    Numbers stand in the array's own order. The unit is that of `units`, `unit` or `axis_units`, else the attribute's
    convention: `resolution`, `voxel_size` and `offset` are in nm (CREMI, daisy), `element_size_um` in µm. An `offset`
    has the unit of the size.
    """
    names = [name for name in SIZE_ATTRIBUTES if (numbers(attributes.get(name)) or [0])[0]]
    tagged = _tag_sizes(attributes.get("axistags"), axes.value)
    if not names and not tagged:
        return ArrayMetadata(axes, corner_nm=_corner(attributes, axes.value, {}))
    attribute = names[0] if names else "axistags"
    values = by_axis(numbers(attributes[attribute]) or [], axes.value) if names else tagged
    units = _units(attributes, axes.value, "um" if attribute == "element_size_um" else "")
    unit_origin = next((f" and `{name}`" for name in UNIT_ATTRIBUTES if name in attributes), "")
    if not units and SIZE_ATTRIBUTES.get(attribute):
        units = dict.fromkeys("xyz", SIZE_ATTRIBUTES[attribute])
        unit_origin = "" if attribute == "element_size_um" else ", in nm by convention"
    sizes = {axis: _length(value, units.get(axis)) for axis, value in values.items()}
    said = f"{text(attributes[attribute])} {'/'.join(dict.fromkeys(map(text, units.values())))}".strip()
    found, problem = voxel_size(sizes, said, f"attribute `{attribute}`{unit_origin}")
    return ArrayMetadata(axes, found, _corner(attributes, axes.value, units), None, problem)


def _length(value: float, unit: object) -> float | None:
    factor = nanometres_of(unit)
    return value * factor if factor is not None else None


def _units(attributes: Mapping[str, Any], axes: str, own: str) -> dict[str, str]:
    """The unit along each axis that the attributes name; `own` is in the name of the size's attribute itself."""
    if own:
        return dict.fromkeys("xyz", own)
    value = next((attributes[name] for name in UNIT_ATTRIBUTES if name in attributes), None)
    if isinstance(value, str) and value.startswith(("{", "[")):
        value = json.loads(value)
    if isinstance(value, Mapping):
        return {axis: text(value.get(axis)) for axis in "xyz"}
    if value is None:
        return {}
    words = [text(entry) for entry in value] if isinstance(value, list | tuple | np.ndarray) else [text(value)]
    return by_axis(words, axes)


def _corner(attributes: Mapping[str, Any], axes: str, units: Mapping[str, str]) -> Stated[Resolution] | None:
    """The attribute `offset`, which has the unit of the size, or is in nm where no unit is named."""
    values = numbers(attributes.get("offset"))
    if values is None:
        return None
    places = {axis: _length(v, units.get(axis, "nm")) for axis, v in by_axis(values, axes).items()}
    return stated_corner(places, "attribute `offset`" + ("" if units else ", in nm by convention"))


def stated_corner(places_nm: Mapping[str, float | None], origin: str) -> Stated[Resolution] | None:
    """A corner that is known along x, y and z (0 along an axis that the array lacks), else None."""
    places = [places_nm.get(axis, 0.0) for axis in "xyz"]
    x, y, z = (tidy(place) if place is not None and isfinite(place) else None for place in places)
    if not places_nm or x is None or y is None or z is None:
        return None
    return Stated((x, y, z), origin)


def _tag_sizes(value: Any, axes: str) -> dict[str, float]:
    """Sizes in the JSON of vigra's axis tags, where 0 means that it is not known; their unit stands elsewhere."""
    try:
        entries = json.loads(text(value))["axes"]
    except (ValueError, KeyError, TypeError):
        return {}
    sizes = {entry.get("key"): float(entry.get("resolution") or 0) for entry in entries}
    return {axis: size for axis, size in sizes.items() if axis in axes and axis in "xyz" and size}

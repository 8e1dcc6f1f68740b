"""An import before it is made: what the source is taken for, what the layer will be, and all that is in the way."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from seuron.box import Box, Triple
from seuron.errors import ParameterErrors
from seuron.storage import Storage, cloud_path, local_folder
from seuron.volumes.import_record import destination_problem, source_path, source_version
from seuron.volumes.inspection import Inspection, inspect_source
from seuron.volumes.layouts import LayerFormat
from seuron.volumes.sources import open_source
from seuron.volumes.sources.conversions import as_grey, as_labels, grey_window
from seuron.volumes.sources.source import SourceOptions, SourceVolume
from seuron.volumes.volume import Kind, Resolution

IMAGE_TYPES = ("uint8", "uint16", "uint32", "uint64", "float32")
#: Types that another one holds well enough: affinities and images need no more than float32.
WIDENED = {"bool": "uint8", "float16": "float32", "float64": "float32"}

#: The values that become 0 and 255, or `auto` for percentiles of them.
Window = tuple[float, float] | Literal["auto"]


@dataclass(frozen=True)
class ImportPlan:
    """All that an import's result depends on.

    `name` is the array's, by whichever path (`source`) it was given. `box` is in voxels of the layer, `stored` are the
    source's blocks along its axes, `options` what a person said about it, with the window in numbers.
    """

    source: str
    name: str
    version: str
    options: SourceOptions
    destination: str
    kind: Kind
    source_dtype: str
    dtype: str
    channels: int
    box: Box
    resolution_nm: Resolution
    block_size: Triple
    layer_format: LayerFormat
    stored: Triple | None

    @property
    def voxel_bytes(self) -> int:
        """What a voxel takes in memory, in the wider of both types."""
        return max(np.dtype(self.dtype).itemsize, np.dtype(self.source_dtype).itemsize) * self.channels

    @property
    def facts(self) -> dict[str, Any]:
        """The plan as JSON has it, for the record in the layer's folder."""
        found: dict[str, Any] = asdict(self)
        options = found.pop("options")
        for name in ("box", "destination", "source", "stored"):
            del found[name]
        for name in ("dataset", "offset", "resolution_nm"):  # they are in the plan's own name, box and voxel size
            del options[name]
        found["source"] = found.pop("name")
        found |= options | {"box": self.box.corners}
        return found


def understand(source: str, options: SourceOptions, *, kind: Kind | None = None, pixels: int = 64) -> Inspection:
    """What an import of `source` takes it for, with all problems; nothing is written.

    `kind` is what it is, where a person says so; the middle slices have at most `pixels` along each side. Raises
    VolumeError for what cannot be opened, and DataError for voxels that cannot be read.
    """
    with open_for_layer(source, options, kind) as opened:
        inspection = inspect_source(opened, kind, pixels=pixels)
        problem = _type_problem(opened, inspection.kind.value)
        return replace(inspection, problems=(*inspection.problems, *([problem] if problem else [])))


def plan_import(
    inspection: Inspection,
    source: str,
    destination: str,
    options: SourceOptions,
    *,
    block_size: Triple = (64, 64, 64),
    layer_format: LayerFormat = "precomputed",
) -> ImportPlan:
    """The import that follows from what was understood of a source; nothing is written.

    Raises ParameterErrors with all that is in its way.
    """
    problems = list(inspection.problems)
    if (overlap := _overlap(source, destination)) is not None:
        problems.append(overlap)
    if problems or inspection.resolution_nm is None:
        raise ParameterErrors(problems, inspection.name)
    kind = inspection.kind.value
    plan = ImportPlan(
        source=source,
        name=inspection.name,
        version=source_version(inspection.name, inspection.files),
        options=options,
        destination=cloud_path(destination),
        kind=kind,
        source_dtype=inspection.dtype,
        dtype=stored_dtype(inspection.dtype, kind),
        channels=inspection.channels,
        box=inspection.box,
        resolution_nm=inspection.resolution_nm.value,
        block_size=block_size,
        layer_format=layer_format,
        stored=inspection.blocks,
    )
    if (conflict := destination_problem(Storage(plan.destination), plan.facts)) is not None:
        raise ParameterErrors([conflict], inspection.name)
    return plan


def stored_dtype(dtype: str, kind: Kind) -> str:
    """The type that voxels of a source's type are stored as."""
    if kind == "segmentation":
        return "uint64" if np.dtype(dtype).itemsize > 4 else "uint32"
    return WIDENED.get(dtype, dtype)


def with_window(source: str, options: SourceOptions, window: Window | None) -> SourceOptions:
    """The options with a window in numbers, which percentiles of samples give for `auto`."""
    if window != "auto":
        return options if window is None else replace(options, window=window)
    with open_source(source, options) as opened:
        return replace(options, window=grey_window(opened))


def open_for_layer(source: str, options: SourceOptions, kind: Kind | None) -> SourceVolume:
    """A source as the layer needs it: labels as integers, grey values of 8 bits where there is a window."""
    opened = open_source(source, options)
    stated = kind if kind is not None else opened.kind.value if opened.kind is not None else None
    if stated == "segmentation" and opened.dtype.kind == "f":
        return as_labels(opened)
    return opened if options.window is None else as_grey(opened, options.window)


def _type_problem(source: SourceVolume, kind: Kind) -> str | None:
    if kind == "segmentation" and source.dtype.kind not in "uib":
        return f"{source.name} is {source.dtype}, and labels are integers; say --kind image"
    if kind == "image" and WIDENED.get(source.dtype.name, source.dtype.name) not in IMAGE_TYPES:
        return (
            f"{source.name} is {source.dtype}, which an image cannot be; allowed are {', '.join(IMAGE_TYPES)}. "
            "Give --window auto to make it uint8, or --kind segmentation where these are labels"
        )
    return None


def _overlap(source: str, destination: str) -> str | None:
    """What to say of a destination that is in or around the source, which is never changed."""
    target, origin = local_folder(destination), source_path(source)
    if target is None or origin is None:
        return None
    target, origin = target.resolve(), origin.resolve()
    if target == origin or target in origin.parents or origin in target.parents:
        return f"{destination} is in or around {source}, which is never changed; give another folder to write to"
    return None

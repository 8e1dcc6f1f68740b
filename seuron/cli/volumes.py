"""Commands for volumes in files: `import`, `inspect`, `export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from seuron.cli.output import echo

if TYPE_CHECKING:
    from seuron.volumes.import_plan import Window
    from seuron.volumes.inspection import Inspection
    from seuron.volumes.layouts import LayerFormat
    from seuron.volumes.sources.source import SourceOptions
    from seuron.volumes.volume import Kind

_SOURCE = "HDF5, TIFF, a folder of sections, OME-Zarr, N5, MRC, NRRD, wkw, KNOSSOS, NumPy, precomputed"

#: What a finished run of segmentation is exported as.
RUN_FORMATS = ("webknossos-agglomerate", "pychunkedgraph")

Source = Annotated[str, typer.Argument(metavar="FILE[:DATASET]", help=_SOURCE)]
Dataset = Annotated[str | None, typer.Option(help="the array, of a file that holds several; or FILE:DATASET")]
Resolution = Annotated[str | None, typer.Option(help="nm of a voxel, x,y,z; needed where the file does not say it")]
Offset = Annotated[str | None, typer.Option(help="where the first voxel lies, x,y,z in voxels")]
Axes = Annotated[str | None, typer.Option(help="the array's axes, slowest first, such as zyx, xyz or czyx")]
KindOption = Annotated[str | None, typer.Option("--kind", help="image or segmentation, where the guess is wrong")]
Channel = Annotated[int | None, typer.Option(min=0, help="the channel to take; all without it")]
Time = Annotated[int | None, typer.Option(min=0, help="the time point to take, of a file that has several")]
Missing = Annotated[str, typer.Option(help="gaps in numbered sections: error, blank (black) or close (moved up)")]
WindowOption = Annotated[
    str | None, typer.Option("--window", help="values that become 0 and 255 in uint8: LOW,HIGH, or auto (percentiles)")
]


def import_(
    source: Source,
    out: Annotated[str, typer.Argument(metavar="OUT", help="layer to write: a folder, or gs:// or s3://")],
    resolution: Resolution = None,
    offset: Offset = None,
    axes: Axes = None,
    kind: KindOption = None,
    dataset: Dataset = None,
    channel: Channel = None,
    time: Time = None,
    missing_sections: Missing = "error",
    window: WindowOption = None,
    layer_format: Annotated[
        str, typer.Option("--format", help="of the layer: precomputed or ome-zarr")
    ] = "precomputed",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what was understood, and write nothing")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="processes at most; each takes some 250 MiB")] = None,
) -> None:
    """Make a layer from a volume in another format.

    What was understood is shown before anything is written. The same command continues an import that was ended.
    """
    from seuron.cli.byte_progress import ByteProgress
    from seuron.commands.argument_types import absolute
    from seuron.volumes.import_plan import plan_import, understand
    from seuron.volumes.volume_import import default_workers, run_import

    source = absolute(source)
    options = _options(source, dataset, axes, resolution, offset, channel, time, missing_sections, window)
    found = understand(source, options, kind=_kind(kind))
    echo(_description(found))
    plan = plan_import(found, source, absolute(out), options, layer_format=parse_layer_format(layer_format))
    echo(f"{'layer':<10} {plan.destination}: {plan.kind}, {plan.dtype}, voxels {plan.box}")
    if dry_run:
        echo("Nothing was written (--dry-run).")
        return
    with ByteProgress() as progress:
        volume = run_import(plan, workers=workers or default_workers(), progress=progress)
    echo(f"{volume.path}: {volume.box} {volume.dtype}")


def inspect(
    source: Source,
    resolution: Resolution = None,
    offset: Offset = None,
    axes: Axes = None,
    kind: KindOption = None,
    dataset: Dataset = None,
    channel: Channel = None,
    time: Time = None,
    missing_sections: Missing = "error",
    window: WindowOption = None,
    png: Annotated[str | None, typer.Option(metavar="FILE", help="write the three middle slices as a picture")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, without a picture")] = False,
) -> None:
    """Show what is understood of a file or a layer: axes, size, place, type, kind, values, and three middle slices.

    Exit code 2 where something keeps it from being imported; all of that is named.
    """
    import json

    from seuron.commands.argument_types import absolute
    from seuron.errors import ParameterErrors
    from seuron.reporting.slice_pictures import text_picture, write_png
    from seuron.volumes.import_plan import understand

    source = absolute(source)
    options = _options(source, dataset, axes, resolution, offset, channel, time, missing_sections, window)
    found = understand(source, options, kind=_kind(kind), pixels=64 if png is None else 512)
    echo(json.dumps(found.as_dict(), indent=1) if as_json else f"{_description(found)}\n\n{text_picture(found)}")
    if png is not None:
        write_png(found, png)
    if found.problems:
        raise ParameterErrors(found.problems, found.name)


def export(
    layer: Annotated[
        str, typer.Argument(metavar="LAYER", help="a folder, gs:// or s3://, or a run's layer; or a run, see --format")
    ],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="file or folder to write, on this machine")],
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="tiff, hdf5, ome-zarr, n5, wkw, nrrd, numpy, precomputed; else by the suffix. "
            f"Of a run of segmentation: {', '.join(RUN_FORMATS)}",
        ),
    ] = None,
    box: Annotated[str | None, typer.Option(help="x0,y0,z0,x1,y1,z1 in voxels of the scale; all of it without")] = None,
    mip: Annotated[int, typer.Option(min=0, help="the scale: 0 is the finest")] = 0,
    dtype: Annotated[
        str | None, typer.Option(help="uint8, uint16, uint32, uint64 or float32; else the layer's")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace what is there")] = False,
    chunk_size: Annotated[
        str | None, typer.Option(help="x,y,z in voxels, of pychunkedgraph; about 256,256,512 without")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes, of pychunkedgraph")] = 1,
) -> None:
    """Write a layer, or a box of it, in a format of other tools, with voxel size and corner where that has a place.

    Labels that do not fit into --dtype are counted from 1 on, and TARGET.labels.csv says what they were.
    A finished run of segmentation is written with its graph: its folder instead of a layer, and --format.
    """
    if format_name in RUN_FORMATS:
        _check_run_options(format_name, box, mip, dtype, chunk_size, workers)
        _export_run(layer, target, format_name, chunk_size, workers, overwrite)
        return
    from seuron.cli.byte_progress import ByteProgress
    from seuron.commands.argument_types import absolute, parse_box
    from seuron.volumes import open_volume
    from seuron.volumes.exports.layer_export import export_layer

    volume = open_volume(absolute(layer), mip)
    wanted = None if box is None else parse_box(box, "--box")
    target = absolute(target)
    with ByteProgress() as progress:
        notes = export_layer(
            volume, target, format_name=format_name, box=wanted, dtype=dtype, overwrite=overwrite, progress=progress
        )
    for note in notes:
        echo(f"{'note':<10} {note}")
    echo(f"{target}: {wanted or volume.box} of {volume.path}, scale {mip}")


def _check_run_options(
    format_name: str, box: str | None, mip: int, dtype: str | None, chunk_size: str | None, workers: int
) -> None:
    """Raise ParameterErrors for options that mean nothing for an export of a run."""
    from seuron.errors import ParameterErrors

    given = {"--box": box, "--mip": mip, "--dtype": dtype}
    if format_name != "pychunkedgraph":
        given |= {"--chunk-size": chunk_size, "--workers": workers - 1}
    problems = [f"{name}: {format_name} takes all of a run; leave it out" for name, value in given.items() if value]
    if problems:
        raise ParameterErrors(problems, "the export")


def _export_run(run: str, target: str, format_name: str, chunk_size: str | None, workers: int, overwrite: bool) -> None:
    from functools import partial

    from seuron.cli.byte_progress import ByteProgress
    from seuron.commands.argument_types import absolute, three_sizes
    from seuron.pipelines.segmentation.exports.pychunkedgraph import export_pychunkedgraph
    from seuron.pipelines.segmentation.exports.webknossos import export_webknossos

    size = None if chunk_size is None else three_sizes(chunk_size, "--chunk-size")
    to_graph = partial(export_pychunkedgraph, chunk_size=size, workers=workers)
    write = to_graph if format_name == "pychunkedgraph" else partial(export_webknossos)
    run, target = absolute(run), absolute(target)
    with ByteProgress() as progress:
        notes = write(run, target, overwrite=overwrite, progress=progress)
    for note in notes:
        echo(f"{'note':<10} {note}")
    echo(f"{target}: {format_name} of {run}")


def _options(
    source: str,
    dataset: str | None,
    axes: str | None,
    resolution: str | None,
    offset: str | None,
    channel: int | None,
    time: int | None,
    missing_sections: str,
    window: str | None,
) -> SourceOptions:
    from seuron.commands.argument_types import three_integers, three_numbers
    from seuron.errors import ParameterErrors
    from seuron.volumes.import_plan import with_window
    from seuron.volumes.sources.source import SourceOptions

    if missing_sections not in ("error", "blank", "close"):
        raise ParameterErrors([f"--missing-sections: got {missing_sections!r}; allowed are error, blank and close"])
    options = SourceOptions(
        dataset=dataset,
        axes=axes,
        resolution_nm=None if resolution is None else three_numbers(resolution, "--resolution"),
        offset=None if offset is None else three_integers(offset, "--offset"),
        channel=channel,
        time=time,
        missing_sections=missing_sections,
    )
    return with_window(source, options, _window(window))


def _kind(text: str | None) -> Kind | None:
    from seuron.errors import ParameterErrors

    if text not in (None, "image", "segmentation"):
        raise ParameterErrors([f"--kind: got {text!r}; allowed are image and segmentation"])
    kind: Any = text  # checked above; a Literal cannot be narrowed by `in`
    found: Kind | None = kind
    return found


def parse_layer_format(text: str) -> LayerFormat:
    """The value of --format; raises ParameterErrors."""
    from seuron.errors import ParameterErrors

    if text not in ("precomputed", "ome-zarr"):
        raise ParameterErrors([f"--format: got {text!r}; allowed are precomputed and ome-zarr"])
    found: Any = text
    chosen: LayerFormat = found
    return chosen


def _window(text: str | None) -> Window | None:
    from seuron.errors import ParameterErrors

    if text is None or text == "auto":
        return "auto" if text else None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise ParameterErrors([f"--window: got {text!r}; give auto, or two numbers, the lower first, such as 200,4000"])
    return low, high


def _description(found: Inspection) -> str:
    """What was understood, a line for each fact with its origin."""
    from seuron.reporting.quantities import file_size, percent

    def numbers(values: tuple[float, ...]) -> str:
        return ", ".join(f"{value:.6g}" for value in values)

    size = found.resolution_nm
    rows = [
        ("source", found.name),
        ("format", found.format + (f", {len(found.files)} files" if len(found.files) > 1 else "")),
        ("axes", f"{found.axes.value}, slowest first ({found.axes.origin})"),
        ("size", f"{' x '.join(map(str, found.shape))} voxels (x, y, z), {file_size(found.bytes)}"),
        ("type", found.dtype + (f", {found.channels} channels" if found.channels > 1 else "")),
        ("kind", f"{found.kind.value} ({found.kind.origin})"),
        (
            "voxel",
            "not known" if (size := found.resolution_nm) is None else f"{numbers(size.value)} nm ({size.origin})",
        ),
        ("corner", f"voxel {', '.join(map(str, found.box.minimum))} ({_corner_origin(found)})"),
        ("blocks", "whole" if found.blocks is None else " x ".join(map(str, found.blocks))),
    ]
    if (values := found.sample) is not None:
        labels = f", {values.distinct} different ones" if found.kind.value == "segmentation" else ""
        zeros = f"{percent(values.zeros)} zero" if values.zeros else "none zero"
        rows.append(("values", f"{values.least:g} to {values.largest:g}, {zeros}{labels} (in the middle slices)"))
    rows += [("note", note) for note in found.notes]
    return "\n".join(f"{name:<10} {text}" for name, text in rows)


def _corner_origin(found: Inspection) -> str:
    if found.corner_nm is None:
        return "the file does not say where it lies"
    return f"{', '.join(f'{value:.6g}' for value in found.corner_nm.value)} nm: {found.corner_nm.origin}"

"""TIFF stacks: plain, of ImageJ, OME-TIFF and BigTIFF, in any compression that tifffile and imagecodecs decode.

A file of several images (series) is asked which one is meant. One that is cut off is refused: libraries would read
what is left of it, or zeros.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.errors import VolumeError
from seuron.volumes.array_metadata import ArrayMetadata, nanometres_of, text, voxel_size
from seuron.volumes.sources.array_source import FileArray, array_source, chosen_axes
from seuron.volumes.sources.grey_values import ToGrey, from_palette, from_white, one_channel
from seuron.volumes.sources.mapped import MappedArray, release
from seuron.volumes.sources.source import SourceOptions, SourceVolume, Stated

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")
#: What tifffile calls axes that no file names: pages, and others.
UNNAMED = "qi"
#: A page of at most this many bytes is decoded as a whole, a larger one tile by tile.
WHOLE_PAGE_BYTES = 256 << 20
#: TIFF's units of its resolution: none, inch, centimetre.
RESOLUTION_UNITS = {1: "", 2: "inch", 3: "cm"}


def open_tiff(path: Path, options: SourceOptions) -> SourceVolume:
    """A stack in a TIFF file; `dataset` is the number or name of one of its series."""
    import tifffile

    with ExitStack() as stack:
        try:
            with _complaints() as complaints:
                file: Any = stack.enter_context(tifffile.TiffFile(path))
                series = _chosen_series(path, file, options.dataset)
                complaints += _missing(path, file, series)
        except (tifffile.TiffFileError, IndexError, ValueError) as error:
            raise VolumeError(f"cannot read {path} as TIFF ({error}); give a complete file") from error
        if complaints:
            raise VolumeError(f"{path} is cut off or damaged: {'; '.join(complaints[:5])}. Copy or write it again")
        pages, chunks = _pages(path, series, stack)
        reduced = [page.index for page in file.pages if page.is_reduced] if len(file.series) > 1 else []
        notes = (f"{len(reduced)} pages are marked as smaller copies and left out",) if reduced else ()
        array = FileArray(_name(path, file, series), _format(file), pages, chunks, files=(str(path),), notes=notes)
        named = _axes(file, series)
        axes = chosen_axes(array, named, options)
        source = array_source(array, axes, _metadata(file, series, named), options)
        return replace(source, close=stack.pop_all().close)


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What tifffile logs of a damaged file, where it goes on with what it can read."""
    found: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage().split("> ", 1)[-1])

    logger, handler = logging.getLogger("tifffile"), Collect(logging.WARNING)
    propagate = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield found
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _chosen_series(path: Path, file: Any, dataset: str | None) -> Any:
    """The image that is meant: the one given, or the only one but for copies that are marked as smaller."""
    known = {str(i): series for i, series in enumerate(file.series)}
    full = {i: series for i, series in known.items() if not series.keyframe.is_reduced}
    if dataset is None and len(full) == 1:
        return next(iter(full.values()))
    listed = ", ".join(
        f"{i} {s.name!r} {s.shape} {s.dtype}" if s.name else f"{i} {s.shape} {s.dtype}" for i, s in known.items()
    )
    if dataset is None:
        raise VolumeError(
            f"{path} holds {len(known)} images, such as a preview before the stack; name one by its number as "
            f"{path.name}:NUMBER. There are: {listed or 'none'}"
        )
    chosen = known.get(dataset) or next((s for s in known.values() if s.name == dataset), None)
    if chosen is None:
        raise VolumeError(f"{path} holds no image {dataset!r}. There are: {listed}")
    return chosen


def _missing(path: Path, file: Any, series: Any) -> list[str]:
    """What of the image is not in the file: pages, or the end of their data."""
    size = path.stat().st_size
    if series.dataoffset is not None and not series.is_multifile:
        end = series.dataoffset + series.nbytes
        return [f"its voxels end at byte {end}, the file at {size}"] if end > size else []
    problems = []
    for i, page in enumerate(series):
        if page is None:
            problems.append(f"page {i} is missing")
        elif not series.is_multifile and any(
            offset + count > size for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
        ):
            problems.append(f"page {i} is cut off")
    told = file.imagej_metadata.get("images", 1) if file.is_imagej and file.imagej_metadata else 1
    if isinstance(told, int) and told > len(series):
        problems.append(f"ImageJ's description says {told} pages, there are {len(series)}")
    return problems


def _name(path: Path, file: Any, series: Any) -> str:
    return str(path) if len(file.series) == 1 else f"{path}:{file.series.index(series)}"


def _format(file: Any) -> str:
    kind = "TIFF of ImageJ" if file.is_imagej else "OME-TIFF" if file.is_ome else "TIFF"
    return f"Big{kind}" if file.is_bigtiff and kind == "TIFF" else kind


def _axes(file: Any, series: Any) -> Stated[str]:
    """The axes of a series. Pages that only ImageJ or nobody names are sections, where no other axis is z."""
    axes = series.axes.lower()
    if file.is_ome:
        return Stated(axes, "OME-XML")
    origin = "ImageJ's description" if file.is_imagej else "TIFF's description" if file.is_shaped else "TIFF's pages"
    if "z" in axes:
        return Stated(axes, origin)
    for letter in (*UNNAMED, "c", "t"):
        if letter in axes:
            # tifffile's own writer, and ImageJ for a plain stack, call the pages of a stack channels.
            word = "unnamed" if letter in UNNAMED else {"c": "channels", "t": "times"}[letter]
            return Stated(axes.replace(letter, "z", 1), f"convention of TIFF: pages ({word}) are sections")
    return Stated(axes, origin)


def _pages(path: Path, series: Any, stack: ExitStack) -> tuple[Any, tuple[int, ...] | None]:
    """The voxels of a series as what slices, and the shape of a stored block where a part of it costs as much."""
    import tifffile

    keyframe = series.keyframe
    name = str(path)
    if "S" in series.axes or keyframe.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR):
        raise VolumeError(
            f"{name} has colours (axes {series.axes}, shape {series.shape}); convert it to one grey channel"
        )
    grey, dtype = _grey_values(name, keyframe)
    if series.dataoffset is not None and keyframe.is_memmappable and not series.is_multifile:
        stored = np.dtype(keyframe.parent.byteorder + keyframe.dtype.char)
        mapped = np.memmap(path, stored, "r", series.dataoffset, series.shape)
        return MappedArray(mapped, grey, dtype), None
    leading = series.shape[: len(series.shape) - len(keyframe.shape)]
    by_page = leading + keyframe.shape == series.shape and int(np.prod(leading, dtype=np.int64)) == len(series)
    if by_page and keyframe.is_memmappable and not series.is_multifile:
        return PageArray(series, leading, grey, dtype, mapped=np.memmap(path, np.uint8, "r")), None
    if by_page and keyframe.nbytes <= WHOLE_PAGE_BYTES:
        return PageArray(series, leading, grey, dtype), (1,) * len(leading) + keyframe.shape
    import zarr

    opened = zarr.open(stack.enter_context(series.aszarr(level=0)), mode="r")
    array: Any = opened if isinstance(opened, zarr.Array) else opened["0"]
    return MappedArray(array, grey, dtype), array.chunks


def _grey_values(name: str, page: Any) -> tuple[ToGrey | None, np.dtype[Any]]:
    """What turns stored numbers into grey values, None where they are these, and their type."""
    import tifffile

    dtype = np.dtype(page.dtype)
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        return from_white(name, dtype, int(page.bitspersample)), dtype
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        return from_palette(name, np.asarray(page.colormap).T)
    return None, dtype


class PageArray:
    """Pages of one shape as an array: those that a slice needs are read, from `mapped` bytes or by decoding."""

    def __init__(
        self, series: Any, leading: tuple[int, ...], grey: ToGrey | None, dtype: np.dtype[Any], mapped: Any = None
    ) -> None:
        self._series, self._leading, self._grey, self._mapped = series, leading, grey, mapped
        self.shape, self.dtype = tuple(series.shape), dtype

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        release(self._mapped)
        count = len(self._leading)
        wanted = np.arange(len(self._series)).reshape(self._leading)[index[:count]]
        inside = index[count:]
        sizes = [len(range(*part.indices(size))) for part, size in zip(inside, self.shape[count:], strict=True)]
        found = np.empty((wanted.size, *sizes), self.dtype)
        for place, page in zip(found, wanted.ravel(), strict=True):
            part = self._page(int(page))[inside]
            place[...] = part if self._grey is None else self._grey(part)
        return found.reshape(*wanted.shape, *sizes)

    def _page(self, number: int) -> NDArray[Any]:
        page, keyframe = self._series[number], self._series.keyframe
        if self._mapped is None:
            found: NDArray[Any] = page.asarray()
            return found
        stored = np.dtype(keyframe.parent.byteorder + keyframe.dtype.char)
        start = page.dataoffsets[0]
        whole: NDArray[Any] = self._mapped[start : start + keyframe.nbytes].view(stored)
        return whole.reshape(keyframe.shape)


def _metadata(file: Any, series: Any, named: Stated[str]) -> ArrayMetadata:
    """A voxel's size: of OME-XML, of ImageJ's description with TIFF's resolution, or of the latter alone."""
    if file.is_ome:
        sizes, said, origin = _ome_sizes(file, file.series.index(series))
    elif file.is_imagej:
        sizes, said, origin = _imagej_sizes(file, series)
    else:
        sizes, said, origin = _resolution_tags(series.keyframe, "", "TIFF's resolution")
    if not said:
        return ArrayMetadata(named)
    resolution, problem = voxel_size(sizes, said, origin)
    return ArrayMetadata(named, resolution, size_problem=problem)


Sizes = tuple[dict[str, float | None], str, str]


def _ome_sizes(file: Any, index: int) -> Sizes:
    """`PhysicalSizeX` and the others, whose unit is the micrometre where none is named."""
    import tifffile

    image = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
    pixels = (image[index] if isinstance(image, list) else image)["Pixels"]
    sizes: dict[str, float | None] = {}
    said = []
    for axis in "xyz":
        value = pixels.get(f"PhysicalSize{axis.upper()}")
        if value is not None:
            unit = pixels.get(f"PhysicalSize{axis.upper()}Unit", "µm")
            factor = nanometres_of(unit)
            sizes[axis] = None if factor is None else float(value) * factor
            said.append(f"{axis} {value} {unit}")
    return sizes, ", ".join(said), "OME-XML PhysicalSize"


def _imagej_sizes(file: Any, series: Any) -> Sizes:
    described = file.imagej_metadata or {}
    unit = text(described.get("unit"))
    sizes, said, _ = _resolution_tags(series.keyframe, unit, "")
    spacing, factor = described.get("spacing"), nanometres_of(unit)
    if spacing is not None:
        sizes["z"] = None if factor is None else abs(float(spacing)) * factor
        said = f"{said}, spacing {spacing} {unit}".lstrip(", ")
    return sizes, said if unit or spacing is not None else "", "ImageJ's description and TIFF's resolution"


def _resolution_tags(page: Any, unit: str, origin: str) -> Sizes:
    """Pixels per unit along x and y; the unit is the tag's own where the description names none."""
    sizes: dict[str, float | None] = {}
    said = []
    named = page.tags.get("ResolutionUnit")
    unit = unit or RESOLUTION_UNITS.get(int(named.value) if named is not None else 2, "")
    factor = nanometres_of(unit)
    for axis in "xy":
        tag = page.tags.get(f"{axis.upper()}Resolution")
        pixels, units = tag.value if tag is not None else (0, 1)
        if pixels and units and (pixels, units) != (1, 1):
            sizes[axis] = None if factor is None else units / pixels * factor
            said.append(f"{axis} {pixels / units:g} pixels per {unit or 'unit that is not named'}")
    return sizes, ", ".join(said), origin


def read_page(path: Path) -> NDArray[Any]:
    """The grey values (rows, columns) of a TIFF file of one page. Raises VolumeError for anything else."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        grey, _ = _grey_values(str(path), page)
        pixels = one_channel(str(path), np.asarray(page.asarray()))
        return pixels if grey is None else grey(pixels)


def page_facts(path: Path) -> tuple[tuple[int, int], np.dtype[Any], int, int]:
    """Rows and columns, type of the grey values, pages, and values a pixel, of a TIFF file; no pixel is read."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
        if max(ends, default=0) > path.stat().st_size:
            raise VolumeError(f"{path.name} is cut off; copy it again")
        size = (page.imagelength, page.imagewidth)
        return size, _grey_values(str(path), page)[1], len(file.pages), page.samplesperpixel

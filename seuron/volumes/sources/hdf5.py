"""HDF5: CREMI's layout, ilastik's, Fiji's, and plain arrays; links into other files are followed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from seuron.errors import VolumeError
from seuron.volumes.array_metadata import plain_metadata, stated_axes
from seuron.volumes.sources.array_source import FileArray, array_source, chosen_axes
from seuron.volumes.sources.source import SourceOptions, SourceVolume

#: What a plug-in of HDF5 decodes is known by numbers; these are the ones that microscopes' software writes.
FILTERS = {32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp", 32015: "zstd", 32026: "blosc2"}


def open_hdf5(path: Path, options: SourceOptions) -> SourceVolume:
    """An array of an HDF5 file. Raises VolumeError for what is no such file, and with the arrays that it holds."""
    import h5py

    with ExitStack() as stack:
        try:
            file = stack.enter_context(h5py.File(path, "r"))
        except OSError as error:
            raise VolumeError(f"cannot read {path} as HDF5 ({error}); give a complete .h5 file") from error
        known, dangling = _arrays(file)
        chosen = chosen_name(path, options.dataset, known, dangling)
        dataset, name = known[chosen], f"{path}:{chosen}"
        _check_filters(name, dataset)
        _check_virtual(path, name, dataset)
        attributes = {key: dataset.attrs[key] for key in dataset.attrs}
        array = FileArray(name, "HDF5", dataset, dataset.chunks, files=_files(path, dataset))
        named, notes = stated_axes(attributes, len(dataset.shape))
        axes = chosen_axes(array, named, options, notes)
        metadata = replace(plain_metadata(attributes, axes), notes=notes, axes=named)
        return replace(array_source(array, axes, metadata, options), close=stack.pop_all().close)


def _arrays(file: Any) -> tuple[dict[str, Any], list[str]]:
    """Arrays of numbers by their names, links followed; and links to what is not there, each with where it points."""
    import h5py

    known: dict[str, Any] = {}
    dangling: list[str] = []

    def walk(group: Any, prefix: str, above: tuple[Any, ...]) -> None:
        for name in group:
            link = group.get(name, getlink=True)
            item = group.get(name)
            if item is None:
                target = f"{getattr(link, 'filename', '')}:{link.path}".lstrip(":")
                dangling.append(f"{prefix}{name} is a link to {target}, which is not there")
            elif isinstance(item, h5py.Group):
                if item not in above:  # a link upwards would have no end
                    walk(item, f"{prefix}{name}/", (*above, item))
            elif item.dtype.kind in "biuf" and item.ndim >= 2:
                known[prefix + name] = item

    walk(file, "", (file["/"],))
    return known, dangling


def _check_filters(name: str, dataset: Any) -> None:
    """Raise VolumeError where the array is compressed by what is not installed."""
    import h5py

    created = dataset.id.get_create_plist()
    for i in range(created.get_nfilters()):
        code = created.get_filter(i)[0]
        if not h5py.h5z.filter_avail(code) and not _plugins_have(code):
            raise VolumeError(
                f"{name} is compressed by the HDF5 filter {code} ({FILTERS.get(code, 'of a plug-in')}), which is not "
                "installed. Install the Python package hdf5plugin, or store the array with gzip"
            )


def _check_virtual(path: Path, name: str, dataset: Any) -> None:
    """Raise VolumeError where parts of a virtual dataset lie in files that are not there: they would read as 0."""
    sources = {source.file_name for source in dataset.virtual_sources()} if dataset.is_virtual else set()
    folder = Path(dataset.file.filename).parent
    missing = sorted(file for file in sources - {"."} if "%" not in file and not (folder / file).exists())
    if missing:
        raise VolumeError(
            f"{name} is put together from files of which {len(missing)} are not there: {', '.join(missing[:5])}; "
            f"put them beside {path.name}"
        )


def _plugins_have(code: int) -> bool:
    import importlib

    import h5py

    try:
        importlib.import_module("hdf5plugin")
    except ImportError:
        return False
    return bool(h5py.h5z.filter_avail(code))


def _files(path: Path, dataset: Any) -> tuple[str, ...]:
    """The file that an array lies in, beside the one that was opened where that links to it."""
    return (str(path), dataset.file.filename) if dataset.file.filename != str(path) else (str(path),)


def chosen_name(
    path: Path | str, dataset: str | None, known: Mapping[str, Any], problems: list[str] | None = None
) -> str:
    """The name of the array to read: the one given, or the only one there is. Raises VolumeError with all of them."""
    listed = ", ".join(_listed(known)) or "none"
    also = "".join(f". {problem}" for problem in problems or ())
    if dataset is None and len(known) == 1:
        return next(iter(known))
    if dataset is None:
        what = "several arrays" if known else "no array of two or more axes"
        raise VolumeError(f"{path} holds {what}; name one as {Path(path).name}:DATASET. There are: {listed}{also}")
    if dataset.strip("/") not in known:
        raise VolumeError(f"{path} holds no array {dataset!r}. There are: {listed}{also}")
    return dataset.strip("/")


def _listed(known: Mapping[str, Any]) -> Iterator[str]:
    for name, array in sorted(known.items()):
        yield f"{name} {tuple(array.shape)} {array.dtype}"

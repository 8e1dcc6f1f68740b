"""A folder of section images, one image for each z: PNG, JPEG and TIFF, by the numbers in their names.

Sections are ordered by number (9 before 10, -2 before 3). Where names differ in one number only, that is the section's:
gaps are refused, or left black, or closed up, and two files of one number are refused. Every file's size and type is
looked at before anything is read.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.errors import DataError, VolumeError
from seuron.volumes.array_metadata import ArrayMetadata
from seuron.volumes.sources.array_source import FileArray, array_source, chosen_axes
from seuron.volumes.sources.grey_values import from_palette, one_channel
from seuron.volumes.sources.source import SourceOptions, SourceVolume
from seuron.volumes.sources.tiff import TIFF_SUFFIXES, page_facts, read_page

IMAGE_SUFFIXES = (*TIFF_SUFFIXES, ".png", ".jpg", ".jpeg")
MISSING_SECTIONS = ("error", "blank", "close")
#: A number in a name; a minus counts where no letter or digit stands before it, as in z_-2.
NUMBER = re.compile(r"((?:(?<![^\W_])-)?\d+)")
LETTER_SIGNED = re.compile(r"((?:(?<!\d)-)?\d+)")
#: Pillow's names of colours that are never grey in all of their values.
COLOUR_MODES = ("CMYK", "YCbCr", "LAB", "HSV")
#: What a whole file ends with, and in how many of its last bytes it is looked for.
END_MARKS, END_BYTES = {".png": b"IEND", ".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9"}, 4096
#: How many files a message names.
NAMED_FILES = 5

#: Rows and columns, and the type of the grey values.
Facts = tuple[tuple[int, int], np.dtype[Any]]


@dataclass(frozen=True)
class SectionFile:
    """A file and its number; no number where names do not say which of theirs is the section's."""

    path: Path
    number: int | None


def open_sections(place: Path, options: SourceOptions) -> SourceVolume:
    """The sections in a folder, or a single one. Raises VolumeError with all that is wrong with them."""
    if options.missing_sections not in MISSING_SECTIONS:
        raise VolumeError(
            f"--missing-sections {options.missing_sections} is none of {', '.join(MISSING_SECTIONS)}: refuse gaps in "
            "the numbers of sections, leave them black, or close them up"
        )
    files = [place] if place.is_file() else _images(place)
    sections, notes = _numbered(files)
    sections, copies = _without_copies(sections)
    facts, problems = _facts(sections)
    paths, gap_problems, gap_notes = _with_gaps(sections, options.missing_sections)
    if problems or gap_problems:
        raise VolumeError("; ".join([f"{place}: {problem}" for problem in (*problems, *gap_problems)]))
    stack = SectionStack(paths, facts)
    if _is_colour(sections[0].path):
        read_section(sections[0].path)  # which refuses what is not grey stored as colour, before anything is written
    array = FileArray(
        str(place),
        "sections",
        stack,
        (1, *facts[0]),
        files=tuple(str(section.path) for section in sections),
        notes=(*notes, *copies, *gap_notes),
    )
    axes = chosen_axes(array, None, options)
    return array_source(array, axes, ArrayMetadata(), options)


class SectionStack:
    """Section images as an array (z, y, x); a section without a file is black."""

    def __init__(self, paths: Sequence[Path | None], facts: Facts) -> None:
        self._paths, (size, self.dtype) = tuple(paths), facts
        self.shape = (len(self._paths), *size)

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        sections = [self._section(path)[index[1:]] for path in self._paths[index[0]]]
        return np.stack(sections) if sections else np.zeros((0, *self.shape[1:]), self.dtype)

    def _section(self, path: Path | None) -> NDArray[Any]:
        if path is None:
            return np.zeros(self.shape[1:], self.dtype)
        pixels = read_section(path)
        if pixels.shape != self.shape[1:] or pixels.dtype != self.dtype:
            raise DataError(
                f"{path} is {pixels.shape} {pixels.dtype}, but its header said {self.shape[1:]} {self.dtype}; "
                "write it again"
            )
        return pixels


def read_section(path: Path) -> NDArray[Any]:
    """One section image as (rows, columns). Grey stored as colour is taken as grey; colours are refused.

    Raises DataError for a file that cannot be decoded.
    """
    try:
        if path.suffix.lower() in TIFF_SUFFIXES:
            return read_page(path)
        with _opened(path) as image:
            if image.mode in COLOUR_MODES:
                raise DataError(f"{path} has colours ({image.mode}); a section is one grey image: convert it")
            pixels = np.asarray(image)
            if image.mode == "P":
                return from_palette(str(path), _palette(image))[0](pixels)
            return one_channel(str(path), pixels)
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); write it again, or remove it and say --missing-sections"
        ) from error


def _opened(path: Path) -> Any:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # sections of 20k x 20k pixels are normal here, not an attack
    return Image.open(path)


def _palette(image: Any) -> NDArray[Any]:
    return np.asarray(image.getpalette("RGB"), np.uint8).reshape(-1, 3)


def _images(folder: Path) -> list[Path]:
    found = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    if not found:
        raise VolumeError(f"{folder} holds no section images ({', '.join(IMAGE_SUFFIXES)}); check the folder")
    return found


def natural_order(name: str, number: re.Pattern[str] = NUMBER) -> list[tuple[int, int | str]]:
    """A key that sorts numbers in names by value: section 9 comes before section 10, and z_-2 before z_3."""
    parts = number.split(name.lower())
    return [(1, part) if i % 2 == 0 else (0, int(part)) for i, part in enumerate(parts) if part]


def _number_pattern(stems: Sequence[str]) -> re.Pattern[str]:
    """Numbers as these names have them: a minus behind a letter counts where z-2 stands beside z3, not beside z-3."""
    templates = {re.sub(r"\d+", "#", stem) for stem in stems}
    return LETTER_SIGNED if any(t.replace("-#", "#") in templates for t in templates if "-#" in t) else NUMBER


def _numbered(files: Sequence[Path]) -> tuple[list[SectionFile], list[str]]:
    """The files in order, with their sections' numbers where one number is all that their names differ in."""
    pattern = _number_pattern([file.stem.lower() for file in files])
    _check_kinds(files, pattern)
    ordered = sorted(files, key=lambda file: (natural_order(file.stem, pattern), file.name))
    parts = [pattern.split(file.stem.lower()) for file in ordered]
    same = len({(len(p), *p[::2]) for p in parts}) == 1
    values = [[int(number) for number in p[1::2]] for p in parts] if same else []
    varying = [i for i in range(len(values[0]) if values else 0) if len({v[i] for v in values}) > 1]
    if len(files) == 1:
        return [SectionFile(ordered[0], None)], []
    if same and not varying:
        return [SectionFile(file, 0) for file in ordered], []  # copies of one section
    if len(varying) != 1:
        why = f"{len(varying)} numbers in their names differ" if same else "their names differ in more than a number"
        return [SectionFile(file, None) for file in ordered], [f"gaps in the sections were not looked for, as {why}"]
    numbers = [value[varying[0]] for value in values]
    notes = [f"sections are numbered {numbers[0]} to {numbers[-1]}: a minus is a sign"] if numbers[0] < 0 else []
    return [SectionFile(file, number) for file, number in zip(ordered, numbers, strict=True)], notes


def _check_kinds(files: Sequence[Path], number: re.Pattern[str]) -> None:
    """Raise VolumeError where some names differ in numbers only and others do not: masks among sections."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for file in sorted(files):
        kinds[number.sub("#", file.stem.lower())].append(file.name)
    if len(kinds) > 1 and max(map(len, kinds.values())) > 1:
        listed = ", ".join(f"{len(names)} like {names[0]}" for names in list(kinds.values())[:NAMED_FILES])
        raise VolumeError(
            f"{files[0].parent} holds images of several kinds by their names: {listed}. Put those of one stack into a "
            "folder of their own"
        )


def _without_copies(sections: Sequence[SectionFile]) -> tuple[list[SectionFile], list[str]]:
    """One file for each number. Raises VolumeError where two files of a number are not copies of one image."""
    by_number: dict[int | None, list[SectionFile]] = defaultdict(list)
    for section in sections:
        by_number[section.number].append(section)
    doubled = {number: found for number, found in by_number.items() if number is not None and len(found) > 1}
    if not doubled:
        return list(sections), []
    formats = [tuple(sorted(s.path.suffix.lower() for s in found)) for found in by_number.values()]
    named = ", ".join(" and ".join(s.path.name for s in found) for found in list(doubled.values())[:NAMED_FILES])
    problem = f"{sections[0].path.parent}: {len(doubled)} sections are there twice: {named}"
    if len(set(formats)) > 1 or len(set(formats[0])) != len(formats[0]):
        raise VolumeError(f"{problem}. Keep one file of each")
    kept = [min(found, key=lambda s: IMAGE_SUFFIXES.index(s.path.suffix.lower())) for found in by_number.values()]
    for found in (by_number[kept[0].number], by_number[kept[-1].number]):
        first, *others = [read_section(section.path) for section in found]
        if any(first.shape != other.shape or (first != other).any() for other in others):
            raise VolumeError(f"{problem}, and they are not the same image. Keep one file of each")
    return kept, [f"all sections are there in {len(formats[0])} formats ({named}, ...); {kept[0].path.suffix} is read"]


def _with_gaps(sections: Sequence[SectionFile], missing: str) -> tuple[list[Path | None], list[str], list[str]]:
    """The files with None for each missing number, problems, and notes."""
    numbers = [section.number for section in sections if section.number is not None]
    files: list[Path | None] = [section.path for section in sections]
    if len(numbers) != len(sections):
        return files, [], []
    gaps = [(a + 1, b - 1) for a, b in pairwise(numbers) if b - a > 1]
    if not gaps:
        return files, [], []
    named = ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in gaps[:NAMED_FILES])
    others = " and others" if len(gaps) > NAMED_FILES else ""
    told = f"sections {named}{others} of {numbers[0]} to {numbers[-1]} are missing"
    if missing == "error":
        return files, [f"{told}; put them there, or say --missing-sections blank (black) or close (close up)"], []
    if missing == "close":
        return files, [], [f"{told}, and the stack is closed up"]
    by_number = dict(zip(numbers, files, strict=True))
    return [by_number.get(n) for n in range(numbers[0], numbers[-1] + 1)], [], [f"{told}, and left black"]


def _facts(sections: Sequence[SectionFile]) -> tuple[Facts, list[str]]:
    """Size and type that all sections have, by their headers, and a problem for those that differ."""
    by_facts: dict[Facts, list[str]] = defaultdict(list)
    problems = []
    for section in sections:
        try:
            by_facts[_header(section.path)].append(section.path.name)
        except VolumeError as error:
            problems.append(str(error))
        except (OSError, SyntaxError, ValueError, IndexError) as error:
            problems.append(f"{section.path.name} cannot be read ({error})")
    usual = max(by_facts, key=lambda facts: len(by_facts[facts]), default=((0, 0), np.dtype(np.uint8)))
    for facts, names in by_facts.items():
        if facts != usual:
            (rows, columns), dtype = facts
            listed = ", ".join(names[:NAMED_FILES]) + (
                f" and {len(names) - NAMED_FILES} others" if len(names) > NAMED_FILES else ""
            )
            problems.append(
                f"{listed}: {rows} rows of {columns} {dtype}, but {by_facts[usual][0]} and {len(by_facts[usual]) - 1} "
                f"others are {usual[0][0]} rows of {usual[0][1]} {usual[1]}; all sections must have one size and type"
            )
    return usual, problems[:20]


def _is_colour(path: Path) -> bool:
    """Whether a picture has several values a pixel."""
    if path.suffix.lower() in TIFF_SUFFIXES:
        return page_facts(path)[3] > 1
    with _opened(path) as image:
        return len(image.getbands()) > 1


def _header(path: Path) -> Facts:
    """Rows and columns, and the type of the grey values, of an image; no pixel is read."""
    if path.suffix.lower() in TIFF_SUFFIXES:
        size, dtype, pages, _ = page_facts(path)
        if pages > 1:
            raise VolumeError(f"{path.name} has {pages} pages, and a section is one; give a stack as one file")
        return size, dtype
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - END_BYTES))
        if END_MARKS[path.suffix.lower()] not in file.read():
            raise VolumeError(f"{path.name} is cut off; copy it again")
    with _opened(path) as image:
        if image.mode == "P":
            return (image.height, image.width), from_palette(str(path), _palette(image))[1]
        kinds = {"1": "bool", "I": "int32", "F": "float32"} | dict.fromkeys(("I;16", "I;16L", "I;16B"), "uint16")
        return (image.height, image.width), np.dtype(kinds.get(image.mode, "uint8"))

"""What is wrong with the metadata of a precomputed layer, which people also write by hand: a phrase for each thing."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from math import isfinite
from typing import Any

#: The encodings of blocks, with the module that decodes each (None: numpy) and the package that it comes in.
ENCODINGS: dict[str, tuple[str | None, str]] = {
    "raw": (None, ""),
    "compressed_segmentation": ("compressed_segmentation", "compressed-segmentation"),
    "crackle": ("crackle", "crackle-codec"),
    "compresso": ("compresso", "compresso"),
    "png": ("pyspng", "pyspng-seunglab"),
    "jpeg": ("simplejpeg", "simplejpeg"),
    "jxl": ("imagecodecs", "imagecodecs"),
    "fpzip": ("fpzip", "fpzip"),
    "kempressed": ("fpzip", "fpzip"),
    "zfpc": ("zfpc", "zfpc"),
}
#: The types of voxels, as the format spells them.
TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


def info_problems(info: dict[str, Any]) -> list[str]:
    """What is wrong with the metadata of a layer, a phrase each."""
    problems = [f"`{name}` is missing" for name in ("data_type", "num_channels", "type", "scales") if name not in info]
    if "data_type" in info and info["data_type"] not in TYPES:
        problems.append(f"`data_type` is {info['data_type']!r}, allowed are {', '.join(TYPES)}")
    if "num_channels" in info and not _whole(info["num_channels"], 1):
        problems.append(f"`num_channels` is {info['num_channels']!r}, expected a number from 1 on")
    scales = info.get("scales", [])
    if not isinstance(scales, list) or (not scales and "scales" in info):
        return [*problems, f"`scales` is {scales!r}, expected a list of scales"]
    for number, scale in enumerate(scales):
        problems += [f"scale {number}: {problem}" for problem in _scale_problems(scale)]
    return problems


def _scale_problems(scale: Any) -> list[str]:
    if not isinstance(scale, dict):
        return [f"{scale!r} is no object"]
    problems = [
        f"`{name}` is missing" for name in ("key", "encoding", "size", "resolution", "chunk_sizes") if name not in scale
    ]
    fits: dict[str, tuple[Callable[[Any], bool], str]] = {
        "size": (lambda value: _triple(value, 1), "three whole numbers from 1 on"),
        "voxel_offset": (lambda value: _triple(value, -(2**62)), "three whole numbers"),
        "resolution": (_lengths, "three numbers of nanometres above 0"),
        "chunk_sizes": (_chunks, "a list of sizes, three whole numbers each"),
        "encoding": (lambda value: isinstance(value, str) and value in ENCODINGS, f"one of {', '.join(ENCODINGS)}"),
        "sharding": (_sharding, "a specification of neuroglancer_uint64_sharded_v1"),
    }
    wrong = {name: expected for name, (test, expected) in fits.items() if name in scale and not test(scale[name])}
    problems += [f"`{name}` is {scale[name]!r}, expected {expected}" for name, expected in wrong.items()]
    if "encoding" in scale and "encoding" not in wrong and (problem := codec_problem(scale["encoding"])):
        problems.append(f"`encoding` is {scale['encoding']}, {problem}")
    return problems


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _whole(value: Any, least: int) -> bool:
    return _number(value) and bool(value >= least and value == int(value))


def _triple(value: Any, least: int) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_whole(entry, least) for entry in value)


def _lengths(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_number(entry) and entry > 0 for entry in value)


def _chunks(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_triple(size, 1) for size in value)


def _sharding(value: Any) -> bool:
    bits = ("preshift_bits", "minishard_bits", "shard_bits")
    return value is None or (
        isinstance(value, dict)
        and value.get("@type") == "neuroglancer_uint64_sharded_v1"
        and value.get("hash") in ("identity", "murmurhash3_x86_128")
        and all(_whole(value.get(name), 0) for name in bits)
    )


def codec_problem(encoding: str) -> str:
    """What is missing to decode an encoding; empty for nothing."""
    module, package = ENCODINGS[encoding]
    if module is None or find_spec(module) is not None:
        return ""
    return f"for which the Python package {package} is not installed: pip install {package}"

"""What the numbers of an image file mean as grey values: min-is-white, and palettes.

A palette of greys is applied. One of colours is refused, as labels and colours cannot be told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.errors import DataError, VolumeError

#: Gives the grey values of stored numbers, of the same shape.
ToGrey = Callable[[NDArray[Any]], NDArray[Any]]


def from_palette(name: str, colours: NDArray[Any]) -> tuple[ToGrey, np.dtype[Any]]:
    """What applies a palette of shape (entries, 3), uint8 or uint16, and the type of its greys.

    Raises VolumeError for colours.
    """
    if not (colours == colours[:, :1]).all():
        raise VolumeError(
            f"{name} has a palette of colours; convert it to grey, or to plain numbers where these are labels"
        )
    greys = colours[:, 0]
    if greys.dtype == np.uint16 and np.isin(greys % 257, (0,)).all():
        greys = (greys // 257).astype(np.uint8)
    elif greys.dtype == np.uint16 and (greys % 256 == 0).all():
        greys = (greys // 256).astype(np.uint8)
    return (lambda values: greys[values]), greys.dtype


def from_white(name: str, dtype: np.dtype[Any], bits: int) -> ToGrey:
    """What turns an image whose smallest value is white around. Raises VolumeError where there is no largest value."""
    if dtype.kind == "b":
        return lambda values: ~values
    if dtype.kind != "u":
        raise VolumeError(
            f"{name} says that its smallest value is white, which has no meaning for {dtype}; "
            "invert it in the program that wrote it"
        )
    largest = dtype.type((1 << bits) - 1)
    return lambda values: largest - values


def one_channel(name: str, pixels: NDArray[Any]) -> NDArray[Any]:
    """The grey values (rows, columns) of a picture that may be stored as three equal colours with or without opacity.

    Raises DataError for colours and for pictures that are partly transparent.
    """
    if pixels.ndim == 2:
        return pixels
    opaque = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        if not (pixels[..., -1] == opaque).all():
            raise DataError(f"{name} is partly transparent; save it without transparency")
        pixels = pixels[..., :-1]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not (pixels == pixels[..., :1]).all():
        raise DataError(
            f"{name} has the shape {pixels.shape} with colours or several pages; a section is one grey image: "
            "convert colours, or give a stack as one file"
        )
    return np.ascontiguousarray(pixels[..., 0])

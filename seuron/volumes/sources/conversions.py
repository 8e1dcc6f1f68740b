"""Labels of floats as integers, grey values of more than 8 bits as uint8."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from seuron.volumes.sources.source import SourceVolume


def grey_window(source: SourceVolume) -> tuple[float, float]:
    return (0.0, 255.0)


def as_grey(source: SourceVolume, window: tuple[float, float]) -> SourceVolume:
    return source


def as_labels(source: SourceVolume) -> SourceVolume:
    return replace(source, dtype=np.dtype("uint64"), read=lambda box: source.read(box).astype("uint64"))

"""A place in a run to open Neuroglancer at."""

from __future__ import annotations

from dataclasses import dataclass

from seuron.box import Triple


@dataclass(frozen=True)
class Focus:
    """A voxel of the run's scale, and the segments to select there."""

    voxel: Triple
    segments: tuple[int, ...] = ()

"""Levels of detail of a segment, in the fragments of Neuroglancer's format `neuroglancer_multilod_draco`.

The format cuts level `k` into fragments of `2^k` cells along each side, and no triangle may cross the middle of one.
A cell's surface ends at the cell's planes, so a fragment of level 0 is a cell's surface. Level 1 is simplified cell by
cell again, and each further level in blocks of `2^(k-1)` cells, half a fragment: nothing is ever cut, and the open
edges of blocks stay, so every level is as watertight as the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seuron.box import Triple, triple
from seuron.meshes.simplification import simplified
from seuron.meshes.surface import LatticeSurface, joined

#: Bits of a coordinate within a fragment, the most that the format has.
QUANTIZATION_BITS = 16
#: How much coarser each level is than the one before.
ERROR_FACTOR = 4
#: Draco's effort, 0 to 10: above this files get no smaller.
COMPRESSION_LEVEL = 7

#: Surfaces by the place of their cell or block; corners are counted from the grid's origin.
Pieces = Mapping[Triple, LatticeSurface]


def levels_of_detail(
    pieces: Pieces, levels: int, edge: Triple, half_voxel_nm: Sequence[float], error_nm: float
) -> list[dict[Triple, LatticeSurface]]:
    """The fragments of each level by their places; `pieces` are the first, simplified with `error_nm` already.

    A cell is `edge` voxels long.
    """
    found, blocks = [dict(pieces)], dict(pieces)
    for level in range(1, levels):
        if level > 1:
            blocks = {place: joined(parts) for place, parts in _halved(blocks).items()}
        error, planes = error_nm * ERROR_FACTOR**level, [2 * e << (level - 1) for e in edge]
        blocks = {place: simplified(surface, half_voxel_nm, error, planes) for place, surface in blocks.items()}
        found.append({place: joined(parts) for place, parts in _halved(blocks).items()})
    return found


def _halved(pieces: Pieces) -> dict[Triple, list[LatticeSurface]]:
    """The pieces of each 2x2x2 places, by the place of these."""
    found: dict[Triple, list[LatticeSurface]] = {}
    for place in sorted(pieces):
        found.setdefault(triple([p // 2 for p in place]), []).append(pieces[place])
    return found


def in_curve_order(places: Sequence[Triple]) -> list[Triple]:
    """Places along the Morton curve, in which the format has fragments: x is the lowest bit."""

    def code(place: Triple) -> int:
        bits = range(max(place).bit_length())
        return sum((p >> bit & 1) << (3 * bit + axis) for axis, p in enumerate(place) for bit in bits)

    return sorted(places, key=code)


def encoded_fragment(surface: LatticeSurface, place: Triple, size: Sequence[int]) -> bytes:
    """A fragment in Draco's format, its corners as whole numbers.

    `size` is what the fragment is long, in half voxels along x, y, z: the first corner of the fragment becomes 0, and
    the last 2^16 - 1. Corners on a plane between fragments are the same in both.
    """
    import DracoPy

    local = (surface.corners - np.multiply(place, size)) / np.asarray(size, np.float64)
    steps = np.rint(local * (2**QUANTIZATION_BITS - 1)).astype(np.uint32)
    content: bytes = DracoPy.encode(steps, surface.triangles, compression_level=COMPRESSION_LEVEL)
    return content

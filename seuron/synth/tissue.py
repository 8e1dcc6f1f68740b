"""From centre lines to voxels: who owns each voxel, how deep it lies, and its grey value without noise.

Space is divided by the additively weighted distance `distance to the centre line - calibre`, measured
at a warped position so that membranes curve; every point belongs to the neurite of the least value.
With `d1` the least value, `d2` the least of any other neurite and `g1`, `g2` their gradients, the depth
`(d2 - d1) / |g1 - g2|` is the distance to the membrane's middle to first order, which gives membranes
of even thickness however two neurites meet.

Cost is kept near ten distances a voxel by lists: blocks of 640, 160 and 40 nm each keep only the capsules
that can matter in them, from their parent's list. Everything is in nm; arrays are `(X, Y, Z)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import ndimage

from seuron.synth.neurites import MITOCHONDRION, TAPER, Capsules

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

DEPTH_LIMIT_NM = 50.0
"""Depth is computed up to here; deeper voxels are given this depth."""
WARP_SPACING_NM = 80.0
WARP_LIPSCHITZ = 0.8
"""The warp moves two points at most this fraction of their distance apart: what the lists rely on."""
MEMBRANE_HALF_NM = 19.0
"""Half the dark band between two cytoplasms: two bilayers of 7 nm, the cleft, and the microscope's blur."""
HALO_NM = 25.0
"""An organelle's membrane changes grey values this far outside it."""
TILE = 64
"""Side of the periodic texture tiles, voxels."""


@dataclass(frozen=True)
class Appearance:
    """Grey values and textures of one volume.

    Attributes:
        cytoplasm: `(neurites,)` grey value.
        grain: `(neurites,)` strength of the cytoplasm's texture, grey values.
        shift: `(neurites,)` where each neurite starts in the texture tile.
        tile: float32 `(TILE, TILE, TILE)` periodic texture, mean 0, standard deviation 1, about 30 nm fine.
        warp: float64 `(gx, gy, gz, 3)` displacement in nm on a lattice of `WARP_SPACING_NM`.
        shade: float64 `(gx, gy, gz)` slow change of brightness, grey values, on the same lattice.
    """

    cytoplasm: Floats
    grain: Floats
    shift: Indices
    tile: Singles
    warp: Floats
    shade: Floats


@dataclass(frozen=True)
class Tissue:
    """Per voxel `(X, Y, Z)`: neurite + 1 (uint32), depth in nm (uint8), grey without noise (float32)."""

    owner: npt.NDArray[np.uint32]
    depth: npt.NDArray[np.uint8]
    grey: Singles


class _Scene(NamedTuple):
    """What the kernels read: packed capsules (see `_pack`) and the fields of `Appearance`."""

    voxel_nm: Floats
    rows: Floats
    organelles: Floats
    cytoplasm: Floats
    grain: Floats
    shift: Indices
    tile: Singles
    warp: Floats
    shade: Floats


def draw_appearance(extent_nm: Floats, neurites: int, rng: np.random.Generator) -> Appearance:
    """A random appearance for a volume of `extent_nm` (3,)."""
    lattice = tuple(np.ceil(extent_nm / WARP_SPACING_NM).astype(int) + 2)
    coarse = [_smooth(rng, lattice, 3.0) * 110.0 + _smooth(rng, lattice, 1.2) * 30.0 for _ in range(3)]
    warp = np.stack(coarse, axis=-1)
    # The Jacobian's norm is at most that of its columns' lengths, each largest on a lattice edge.
    columns = [np.sqrt((np.diff(warp, axis=a) ** 2).sum(axis=-1)).max() / WARP_SPACING_NM for a in range(3)]
    warp *= min(1.0, WARP_LIPSCHITZ / float(np.linalg.norm(columns)))
    tile = _smooth(rng, (TILE, TILE, TILE), 1.5) + 0.8 * _smooth(rng, (TILE, TILE, TILE), 2.8)
    return Appearance(
        cytoplasm=np.clip(rng.normal(158.0, 20.0, neurites), 115.0, 192.0),
        grain=5.0 + 17.0 * rng.random(neurites),
        shift=rng.integers(0, TILE**3, neurites),
        tile=(tile / tile.std()).astype(np.float32),
        warp=warp,
        shade=_smooth(rng, lattice, 4.0) * 4.0,
    )


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> Floats:
    """Periodic smooth noise of mean 0 and standard deviation 1."""
    noise: Floats = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap")
    noise -= noise.mean()
    return noise / (float(noise.std()) + 1e-12)


def build_tissue(
    shape: tuple[int, int, int],
    voxel_nm: Floats,
    neurites: Capsules,
    organelles: Capsules,
    appearance: Appearance,
) -> Tissue:
    """Ownership, depth and grey value of every voxel of `shape`."""
    owner = np.zeros(shape, np.uint32, order="F")
    depth = np.zeros(shape, np.uint8, order="F")
    grey = np.zeros(shape, np.float32, order="F")
    scene = _Scene(
        voxel_nm,
        _pack(neurites),
        _pack(organelles),
        appearance.cytoplasm,
        appearance.grain,
        appearance.shift,
        appearance.tile,
        appearance.warp,
        appearance.shade,
    )
    _fill(scene, owner, depth, grey)
    return Tissue(owner, depth, grey)


def _pack(capsules: Capsules) -> Floats:
    """One row a capsule: start, axis, 1 / length squared, calibre, its change, owner, kind."""
    square = np.maximum((capsules.axis**2).sum(axis=1), 1e-9)
    columns = [capsules.start, capsules.axis, (1.0 / square)[:, None], capsules.calibre[:, :1]]
    columns += [np.diff(capsules.calibre, axis=1), capsules.owner[:, None], capsules.kind[:, None]]
    return np.ascontiguousarray(np.concatenate(columns, axis=1))


@njit(cache=True, inline="always")
def _distance(row: Floats, x: float, y: float, z: float) -> tuple[float, float, float, float]:
    """Weighted distance to one capsule, and the unweighted vector from its line to the point."""
    px, py, pz = x - row[0], y - row[1], z - row[2]
    t = (px * row[3] + py * row[4] + pz * row[5]) * row[6]
    t = min(1.0, max(0.0, t))
    px, py, pz = px - t * row[3], py - t * row[4], pz - t * row[5]
    return np.sqrt(px * px + py * py + pz * pz) - row[7] - t * row[8], px, py, pz


@njit(cache=True)
def _keep(
    rows: Floats,
    source: Indices,
    count: int,
    centre: Floats,
    reach: float,
    absolute: bool,
    kept: Indices,
    scratch: Floats,
) -> int:
    """Of `source[:count]`, those within `reach` of the nearest (or of the surface itself, if `absolute`)."""
    least = 1e30
    for i in range(count):
        scratch[i] = _distance(rows[source[i]], centre[0], centre[1], centre[2])[0]
        least = min(least, scratch[i])
    limit = reach if absolute else least + reach
    number = 0
    for i in range(count):
        if scratch[i] <= limit:
            kept[number] = source[i]
            number += 1
    return number


@njit(cache=True, inline="always")
def _lerp(lattice: Floats, x: float, y: float, z: float) -> float:
    """Trilinear interpolation of `lattice` `(gx, gy, gz)` at a position in lattice steps."""
    i, j, k = int(x), int(y), int(z)
    u, v, w = x - i, y - j, z - k
    a = lattice[i, j, k] * (1 - u) + lattice[i + 1, j, k] * u
    b = lattice[i, j + 1, k] * (1 - u) + lattice[i + 1, j + 1, k] * u
    c = lattice[i, j, k + 1] * (1 - u) + lattice[i + 1, j, k + 1] * u
    d = lattice[i, j + 1, k + 1] * (1 - u) + lattice[i + 1, j + 1, k + 1] * u
    value: float = (a * (1 - v) + b * v) * (1 - w) + (c * (1 - v) + d * v) * w
    return value


@njit(cache=True)
def _warped(warp: Floats, x: float, y: float, z: float, out: Floats) -> None:
    """Where the tissue at `x, y, z` (nm) came from."""
    s = 1.0 / WARP_SPACING_NM
    out[0] = x + _lerp(warp[..., 0], x * s, y * s, z * s)
    out[1] = y + _lerp(warp[..., 1], x * s, y * s, z * s)
    out[2] = z + _lerp(warp[..., 2], x * s, y * s, z * s)


@njit(cache=True)
def _narrow(
    scene: _Scene,
    organelles: bool,
    source: Indices,
    count: int,
    block: Indices,
    kept: Indices,
    scratch: Floats,
) -> int:
    """The list of a block `(low, stop)`, from its parent's: neurites, or organelles."""
    centre, moved, half = np.zeros(3), np.zeros(3), 0.0
    for axis in range(3):
        size = block[1, axis] - block[0, axis] - 1
        centre[axis] = (block[0, axis] + 0.5 * size) * scene.voxel_nm[axis]
        half += (0.5 * size * scene.voxel_nm[axis]) ** 2
    _warped(scene.warp, centre[0], centre[1], centre[2], moved)
    # By how much a weighted distance can differ between the block's centre and its corner.
    reach = np.sqrt(half) * (1.0 + WARP_LIPSCHITZ) * (1.0 + TAPER)
    if organelles:
        return _keep(scene.organelles, source, count, moved, reach + HALO_NM, True, kept, scratch)
    return _keep(scene.rows, source, count, moved, 2.0 * (reach + DEPTH_LIMIT_NM), False, kept, scratch)


@njit(cache=True)
def _blocks(low: Indices, stop: Indices, size: Indices) -> Indices:
    """Blocks of `size` voxels that cover `low..stop`, `(n, 2, 3)`: first voxel, and one past the last."""
    count = (stop - low + size - 1) // size
    blocks = np.zeros((count[0] * count[1] * count[2], 2, 3), np.int64)
    for i in range(len(blocks)):
        rest = i
        for axis in range(3):
            blocks[i, 0, axis] = low[axis] + rest % count[axis] * size[axis]
            blocks[i, 1, axis] = min(blocks[i, 0, axis] + size[axis], stop[axis])
            rest //= count[axis]
    return blocks


@njit(cache=True)
def _fill(scene: _Scene, owner: npt.NDArray[np.uint32], depth: npt.NDArray[np.uint8], grey: Singles) -> None:
    """Fill all three arrays: blocks of 640, 160 and 40 nm, each with its lists, then voxels."""
    sizes = np.ones((3, 3), np.int64)
    for level, nm in enumerate((640.0, 160.0, 40.0)):
        for axis in range(3):
            sizes[level, axis] = max(1, round(nm / scene.voxel_nm[axis]))
    n, m = len(scene.rows), len(scene.organelles)
    every, some = np.arange(n), np.arange(m)
    large, middle, small = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    inside, inner = np.zeros(m, np.int64), np.zeros(m, np.int64)
    scratch = np.zeros(max(n, m))
    for outer in _blocks(np.zeros(3, np.int64), np.array(owner.shape), sizes[0]):
        n0 = _narrow(scene, False, every, n, outer, large, scratch)
        m0 = _narrow(scene, True, some, m, outer, inside, scratch)
        for block in _blocks(outer[0], outer[1], sizes[1]):
            n1 = _narrow(scene, False, large, n0, block, middle, scratch)
            m1 = _narrow(scene, True, inside, m0, block, inner, scratch)
            for cell in _blocks(block[0], block[1], sizes[2]):
                n2 = _narrow(scene, False, middle, n1, cell, small, scratch)
                _fill_cell(scene, cell, small[:n2], inner[:m1], owner, depth, grey)


@njit(cache=True)
def _fill_cell(
    scene: _Scene,
    cell: Indices,
    near: Indices,
    inside: Indices,
    owner: npt.NDArray[np.uint32],
    depth: npt.NDArray[np.uint8],
    grey: Singles,
) -> None:
    """The voxels of one cell, from the neurites `near` and the organelles `inside` that can matter there."""
    q = np.zeros(3)
    nx, ny, nz = scene.voxel_nm[0], scene.voxel_nm[1], scene.voxel_nm[2]
    s = 1.0 / WARP_SPACING_NM
    tile = scene.tile
    for z in range(cell[0, 2], cell[1, 2]):
        for y in range(cell[0, 1], cell[1, 1]):
            for x in range(cell[0, 0], cell[1, 0]):
                _warped(scene.warp, x * nx, y * ny, z * nz, q)
                mine, gap = _nearest(scene.rows, near, q)
                at = scene.shift[mine]
                texture = tile[(x + at) % TILE, (y + at // TILE) % TILE, (z + at // TILE**2) % TILE]
                # The same tile four times as coarse, for what varies along a membrane.
                rough = tile[(x // 4 + 17) % TILE, (y // 4 + 5) % TILE, (z // 4) % TILE]
                value = scene.cytoplasm[mine] + scene.grain[mine] * (texture if texture < 0 else 0.5 * texture)
                value = _organelle(scene.organelles, inside, mine, gap, q, texture, rough, value)
                owner[x, y, z] = mine + 1
                depth[x, y, z] = int(gap)
                grey[x, y, z] = _membrane(value, gap, rough) + _lerp(scene.shade, x * nx * s, y * ny * s, z * nz * s)


@njit(cache=True, inline="always")
def _nearest(rows: Floats, near: Indices, q: Floats) -> tuple[int, float]:
    """The neurite that owns `q`, and the depth of `q` in it, nm, at most `DEPTH_LIMIT_NM`."""
    mine, first, second = -1, 1e30, 1e30
    ax = ay = az = bx = by = bz = 0.0
    for i in range(len(near)):
        row = rows[near[i]]
        d, vx, vy, vz = _distance(row, q[0], q[1], q[2])
        if d >= second:
            continue
        who = int(row[9])
        if who == mine:
            if d < first:
                first, ax, ay, az = d, vx, vy, vz
        elif d < first:
            second, bx, by, bz = first, ax, ay, az
            first, ax, ay, az, mine = d, vx, vy, vz, who
        else:
            second, bx, by, bz = d, vx, vy, vz
    gap = second - first
    if gap >= 2.0 * DEPTH_LIMIT_NM:
        return mine, DEPTH_LIMIT_NM
    la, lb = np.sqrt(ax * ax + ay * ay + az * az) + 1e-9, np.sqrt(bx * bx + by * by + bz * bz) + 1e-9
    gx, gy, gz = ax / la - bx / lb, ay / la - by / lb, az / la - bz / lb
    slope = max(0.5, np.sqrt(gx * gx + gy * gy + gz * gz))
    return mine, min(DEPTH_LIMIT_NM, gap / slope)


@njit(cache=True, inline="always")
def _membrane(value: float, gap: float, rough: float) -> float:
    """Grey value at depth `gap` where the cytoplasm is `value`: a dark band, often with a paler cleft."""
    half = MEMBRANE_HALF_NM + 2.0 * rough
    band = 1.0 / (1.0 + np.exp((gap - half) / 6.0))
    dark = 88.0 + 7.0 * rough
    if rough > 0:
        dark += 14.0 * min(1.0, rough) * np.exp(-((gap / 6.0) ** 2))
    shown: float = value + (min(dark, value) - value) * band
    return shown


@njit(cache=True, inline="always")
def _organelle(
    organelles: Floats,
    inside: Indices,
    mine: int,
    gap: float,
    q: Floats,
    texture: float,
    rough: float,
    value: float,
) -> float:
    """Grey value in, at or outside the organelles of this neurite, all kept off the membrane."""
    for kind in range(2):
        surface, along = 1e30, 0.0
        for i in range(len(inside)):
            row = organelles[inside[i]]
            if int(row[9]) == mine and int(row[10]) == kind:
                d, vx, vy, vz = _distance(row, q[0], q[1], q[2])
                if d < surface:
                    surface, along = d, vx * 0.8 + vy * 0.5 + vz * 0.33
        surface = max(surface + 5.0 * rough, 30.0 - gap)
        if surface > HALO_NM:
            continue
        solid = 1.0 / (1.0 + np.exp(surface / 4.0))
        rim = np.exp(-((surface / 9.0) ** 2))
        if kind == MITOCHONDRION:
            cristae = np.sin(along / 9.0 + 1.5 * texture)
            value += (79.0 + 5.0 * cristae + 2.0 * texture - value) * solid
            value -= 7.0 * rim
        else:
            value += (188.0 + 2.0 * texture - value) * solid
            value += (98.0 - value) * 0.8 * rim
    return value

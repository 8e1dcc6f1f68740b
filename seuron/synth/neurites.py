"""Centre lines of branching neurites and of the organelles inside them, in nm.

A neurite is a tree of capsules: straight segments with a calibre at each end. Space is later divided
among neurites by `distance to the centre line - calibre` (see `tissue.py`), so calibre says how
far a neurite pushes its neighbours away, not its exact radius.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Owners = npt.NDArray[np.int64]

MARGIN_NM = 500.0
"""Tissue goes on this far outside the volume, so its faces look like any cut through neuropil."""
STEP_NM = 80.0
"""Length of a segment."""
TAPER = 0.3
"""Largest change of calibre along a neurite, nm per nm."""
GRID_NM = 80.0
"""Cell of the grid in which growing neurites feel those that are there already."""

MITOCHONDRION, VACUOLE = 0, 1


@dataclass(frozen=True)
class NeuriteClass:
    """A class of neurites. `length_density` is in nm of centre line per cubic nm."""

    calibre_nm: tuple[float, float]
    length_density: float
    straightness: float
    branching: float


# Fly neuropil (FIB-25): a few large-calibre trunks, many twigs of 100-300 nm between them. Trunks grow first.
KINDS = (
    NeuriteClass((160.0, 420.0), 1.0 / 1500.0**2, 0.92, 0.02),
    NeuriteClass((50.0, 140.0), 1.0 / 560.0**2, 0.86, 0.05),
    NeuriteClass((0.0, 40.0), 1.0 / 290.0**2, 0.78, 0.07),
)


@dataclass(frozen=True)
class Capsules:
    """`n` capsules.

    Attributes:
        start, axis: `(n, 3)` nm; the capsule runs from `start` to `start + axis`.
        calibre: `(n, 2)` nm at start and end.
        owner: `(n,)`, the neurite, from 0.
        kind: `(n,)`, 0 for neurites, `MITOCHONDRION` or `VACUOLE` for organelles.
    """

    start: Floats
    axis: Floats
    calibre: Floats
    owner: Owners
    kind: Owners


def grow_neurites(extent_nm: Floats, rng: np.random.Generator) -> Capsules:
    """Neurites that fill a box of `extent_nm` (3,) and its margin, thick ones first."""
    low, high = np.full(3, -MARGIN_NM), extent_nm + MARGIN_NM
    volume = float(np.prod(high - low))
    crowding = np.zeros(tuple(np.ceil((high - low) / GRID_NM).astype(int) + 1))
    parts: list[Floats] = []
    first = 0
    for kind in KINDS:
        wanted = max(1, int(volume * kind.length_density / STEP_NM))
        rows = np.zeros((wanted, 9))
        _grow(low, high, np.array(kind.calibre_nm), kind.straightness, kind.branching, first, rows, crowding, rng)
        parts.append(rows)
        first = int(rows[-1, 8]) + 1
    rows = np.concatenate(parts)
    owner = rows[:, 8].astype(np.int64)
    return Capsules(rows[:, :3].copy(), rows[:, 3:6].copy(), rows[:, 6:8].copy(), owner, np.zeros_like(owner))


@njit(cache=True)
def _grow(
    low: Floats,
    high: Floats,
    calibres: Floats,
    straightness: float,
    branching: float,
    first_owner: int,
    rows: Floats,
    crowding: Floats,
    rng: np.random.Generator,
) -> None:
    """Fill `rows` (start xyz, axis xyz, calibre at both ends, owner) with walks, one neurite after another."""
    row, owner = 0, first_owner
    pending = np.zeros((64, 7))  # Branch points still to grow: position, direction, calibre.
    while row < len(rows):
        base = calibres[0] + (calibres[1] - calibres[0]) * rng.random() ** 1.5
        count = 2  # A neurite passes through: it grows both ways from its first point.
        for axis in range(3):
            pending[0, axis] = low[axis] + rng.random() * (high[axis] - low[axis])
            pending[0, 3 + axis] = rng.standard_normal()
            pending[1, axis], pending[1, 3 + axis] = pending[0, axis], -pending[0, 3 + axis]
        pending[:2, 6] = base
        children = int(rng.random() * 5)
        while count > 0 and row < len(rows):
            count -= 1
            row, grown = _walk(
                low,
                high,
                straightness,
                branching if children > 0 else 0.0,
                owner,
                pending,
                count,
                row,
                rows,
                crowding,
                rng,
            )
            children -= grown - count
            count = grown
        owner += 1


@njit(cache=True)
def _walk(
    low: Floats,
    high: Floats,
    straightness: float,
    branching: float,
    owner: int,
    pending: Floats,
    count: int,
    row: int,
    rows: Floats,
    crowding: Floats,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """One branch, from `pending[count]` until it leaves the box or its length is up."""
    position, direction = pending[count, :3].copy(), pending[count, 3:6].copy()
    direction /= np.sqrt((direction**2).sum()) + 1e-9
    base = pending[count, 6]
    calibre = base
    steps = 20 + int(rng.random() * 120)
    for _ in range(steps):
        if row >= len(rows):
            break
        heading = _least_crowded(position, direction, straightness, base, low, crowding, rng)
        direction = heading
        target = position + heading * STEP_NM
        # Varicosities: the calibre wanders about its base, slowly enough to stay smooth.
        following = base * (0.45 + 1.1 * rng.random()) * 0.5 + calibre * 0.5
        following = min(calibre + TAPER * STEP_NM, max(calibre - TAPER * STEP_NM, following))
        rows[row, :3], rows[row, 3:6] = position, heading * STEP_NM
        rows[row, 6], rows[row, 7], rows[row, 8] = calibre, following, owner
        row += 1
        _occupy(target, calibre, low, crowding)
        position, calibre = target, following
        if (position < low).any() or (position > high).any():
            break
        if rng.random() < branching and count < len(pending):
            pending[count, :3] = position
            for axis in range(3):
                pending[count, 3 + axis] = heading[axis] + rng.standard_normal() * 0.8
            pending[count, 6] = base * (0.5 + 0.4 * rng.random())
            count += 1
    return row, count


@njit(cache=True)
def _least_crowded(
    position: Floats,
    direction: Floats,
    straightness: float,
    base: float,
    low: Floats,
    crowding: Floats,
    rng: np.random.Generator,
) -> Floats:
    """Of six headings near `direction`, the one that leads away from thicker neurites."""
    best, lowest = direction, 1e30
    for _ in range(6):
        heading = direction * straightness
        for axis in range(3):
            heading[axis] += rng.standard_normal() * (1.0 - straightness) * 1.6
        heading /= np.sqrt((heading**2).sum()) + 1e-9
        cell = ((position + heading * (STEP_NM + 0.5 * base) - low) / GRID_NM).astype(np.int64)
        inside = True
        for axis in range(3):
            inside = inside and 0 <= cell[axis] < crowding.shape[axis]
        crowd = crowding[cell[0], cell[1], cell[2]] if inside else 0.0
        if crowd < lowest:
            best, lowest = heading, crowd
    return best


@njit(cache=True)
def _occupy(centre: Floats, calibre: float, low: Floats, crowding: Floats) -> None:
    """Mark the ball of `calibre` about `centre`: deeper inside is more crowded."""
    reach = calibre + 60.0
    first = np.maximum((centre - reach - low) / GRID_NM, 0.0).astype(np.int64)
    last = np.maximum((centre + reach - low) / GRID_NM, -1.0).astype(np.int64)
    for x in range(first[0], min(last[0] + 1, crowding.shape[0])):
        for y in range(first[1], min(last[1] + 1, crowding.shape[1])):
            for z in range(first[2], min(last[2] + 1, crowding.shape[2])):
                offset = np.array((x, y, z)) * GRID_NM + low - centre
                depth = reach - np.sqrt((offset**2).sum())
                crowding[x, y, z] = max(crowding[x, y, z], depth)


def place_organelles(neurites: Capsules, rng: np.random.Generator) -> Capsules:
    """Mitochondria along thick stretches and vacuoles anywhere but in the thinnest twigs."""
    calibre = neurites.calibre.mean(axis=1)
    rows: list[tuple[Floats, Floats, float, int, int]] = []
    chance = rng.random(len(calibre))
    index = 0
    while index < len(calibre):
        if calibre[index] > 60 and chance[index] < min(0.16, 0.05 + calibre[index] / 2500):
            length = int(rng.integers(3, 14))
            index = _mitochondrion(neurites, calibre, index, length, rng, rows)
        elif calibre[index] > 30 and chance[index] > 0.90:
            centre = neurites.start[index] + rng.normal(0, 0.35 * calibre[index], 3)
            rows.append((centre, rng.normal(0, 40, 3), float(rng.uniform(35, 75)), int(neurites.owner[index]), VACUOLE))
        index += 1
    if not rows:
        return Capsules(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 2)), *(np.zeros(0, np.int64),) * 2)
    start, axis, radius, owner, kind = zip(*rows, strict=True)
    width = np.repeat(np.array(radius)[:, None], 2, axis=1)
    return Capsules(np.array(start), np.array(axis), width, np.array(owner), np.array(kind))


def _mitochondrion(
    neurites: Capsules,
    calibre: Floats,
    index: int,
    length: int,
    rng: np.random.Generator,
    rows: list[tuple[Floats, Floats, float, int, int]],
) -> int:
    """Append a mitochondrion that follows the centre line for `length` segments; the segment after it."""
    owner = int(neurites.owner[index])
    radius = float(min(rng.uniform(90, 260), 0.75 * calibre[index] + 45))
    offset = rng.normal(0, 0.25 * calibre[index], 3)
    for at in range(index, min(index + length, len(calibre))):
        # Segments of one branch follow each other; a jump to another branch ends the organelle.
        if neurites.owner[at] != owner or (
            at > index and np.abs(neurites.start[at] - neurites.start[at - 1] - neurites.axis[at - 1]).max() > 1e-6
        ):
            return at
        rows.append((neurites.start[at] + offset, neurites.axis[at], radius, owner, MITOCHONDRION))
    return index + length

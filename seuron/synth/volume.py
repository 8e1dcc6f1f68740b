"""`synthesize`: one call from a seed to an EM-like volume with its ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
import numpy.typing as npt
from numba import njit

from seuron.errors import PermanentError
from seuron.synth.defects import Defects, apply_defects
from seuron.synth.neurites import grow_neurites, place_organelles
from seuron.synth.synapses import stamp_synapses
from seuron.synth.tissue import build_tissue, draw_appearance

SMALLEST_NM3 = 64e3
"""Pieces of a neurite of less than this (64 voxels at 10 nm) become extracellular space."""
EXTRACELLULAR_GREY = 95.0
NOISE_GREY = 5.5
"""Standard deviation of the shot noise at middle grey, about FIB-25's."""


@dataclass(frozen=True)
class SyntheticVolume:
    """An image and what is truly in it.

    Attributes:
        image: uint8 `(X, Y, Z)`, Fortran order.
        labels: uint32 `(X, Y, Z)`, Fortran order: 1..n without gaps, each one 6-connected component;
            0 is extracellular space (well under 1 %).
        displacement: int32 `(Z, 2)`: by how many pixels each section was moved along x and y.
        resolution: nm of a voxel.
    """

    image: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint32]
    displacement: npt.NDArray[np.int32]
    resolution: tuple[float, float, float]


def synthesize(
    shape: tuple[int, int, int],
    seed: int,
    *,
    defects: Defects = Defects(),
    resolution: tuple[float, float, float] = (10.0, 10.0, 10.0),
) -> SyntheticVolume:
    """An EM-like volume of packed, branching neurites.

    Args:
        shape: voxels along x, y, z.
        seed: any integer from 0; with the other arguments it fixes every byte.
        defects: damage to single sections of the image; labels are not damaged.
        resolution: nm of a voxel along x, y, z. Sections thicker than 10 nm are sampled at their
            middle, not averaged.

    Raises:
        PermanentError: an impossible shape, seed or resolution, or a defect outside the volume.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise PermanentError(f"synthesize shape: got {shape}; give three positive numbers of voxels")
    if seed < 0 or len(resolution) != 3 or not all(1 <= nm <= 200 for nm in resolution):
        raise PermanentError(
            f"synthesize: got seed {seed}, resolution {resolution}; the seed must not be negative, "
            "a voxel must measure 1 to 200 nm along each axis"
        )
    defects.check(shape[2])
    # One stream for each matter, so that a change to one leaves the others as they were.
    lines, inside, greys, marks = (np.random.default_rng([seed, stream]) for stream in range(4))
    voxel_nm = np.array(resolution, np.float64)
    extent_nm = np.array(shape) * voxel_nm
    neurites = grow_neurites(extent_nm, lines)
    organelles = place_organelles(neurites, inside)
    appearance = draw_appearance(extent_nm, int(neurites.owner.max()) + 1, greys)
    tissue = build_tissue(shape, voxel_nm, neurites, organelles, appearance)
    stamp_synapses(tissue, voxel_nm, marks)
    labels = _connected(tissue.owner, SMALLEST_NM3 / float(np.prod(voxel_nm)))
    image = np.zeros(shape, np.uint8, order="F")
    _develop(tissue.grey, labels, np.uint64(seed), image)
    image, displacement = apply_defects(image, defects, seed)
    return SyntheticVolume(image, labels, displacement, resolution)


def _connected(owner: npt.NDArray[np.uint32], smallest: float) -> npt.NDArray[np.uint32]:
    """Owners as labels 1..n, one for each connected piece; pieces of under `smallest` voxels become 0."""
    pieces, number = cc3d.connected_components(owner, connectivity=6, return_N=True, out_dtype=np.uint32)
    counts = np.bincount(pieces.ravel(order="K"), minlength=number + 1)
    kept = counts >= smallest
    kept[0] = False
    names = np.zeros(number + 1, np.uint32)
    names[kept] = np.arange(1, int(kept.sum()) + 1, dtype=np.uint32)
    return np.asfortranarray(names[pieces])


@njit(cache=True)
def _develop(
    grey: npt.NDArray[np.float32],
    labels: npt.NDArray[np.uint32],
    seed: np.uint64,
    image: npt.NDArray[np.uint8],
) -> None:
    """Grey values with noise, as uint8. The noise of a voxel is a hash of its place and the seed."""
    key = seed * np.uint64(0xD1342543DE82EF95) + np.uint64(0x2545F4914F6CDD1D)
    for z in range(image.shape[2]):
        for y in range(image.shape[1]):
            row = np.uint64(y) * np.uint64(0x1000193) + np.uint64(z) * np.uint64(0x100000001B3)
            before = _gauss(row * np.uint64(0x9E3779B97F4A7C15) ^ key)
            for x in range(image.shape[0]):
                value = _blurred(grey, x, y, z) if labels[x, y, z] != 0 else EXTRACELLULAR_GREY
                counter = np.uint64(x + 1) + row * np.uint64(0x9E3779B97F4A7C15)
                fresh = _gauss(counter ^ key)
                # A scanned beam smears along x: neighbours there share some noise.
                noise = 0.88 * fresh + 0.47 * before
                before = fresh
                value += NOISE_GREY * np.sqrt(max(value, 20.0) / 130.0) * noise
                image[x, y, z] = np.uint8(min(255.0, max(1.0, value + 0.5)))


@njit(cache=True, inline="always")
def _blurred(grey: npt.NDArray[np.float32], x: int, y: int, z: int) -> float:
    """The microscope's blur: a voxel shares more than half its value with its face neighbours."""
    nx, ny, nz = grey.shape
    around = grey[max(x - 1, 0), y, z] + grey[min(x + 1, nx - 1), y, z]
    around += grey[x, max(y - 1, 0), z] + grey[x, min(y + 1, ny - 1), z]
    around += grey[x, y, max(z - 1, 0)] + grey[x, y, min(z + 1, nz - 1)]
    blurred: float = 0.4 * grey[x, y, z] + 0.1 * around
    return blurred


@njit(cache=True, inline="always")
def _gauss(counter: np.uint64) -> float:
    """Nearly normal number of a counter: four 16-bit parts of splitmix64, summed."""
    h = counter
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    h = h ^ (h >> np.uint64(31))
    low = np.uint64(0xFFFF)
    total = (h & low) + ((h >> np.uint64(16)) & low) + ((h >> np.uint64(32)) & low) + (h >> np.uint64(48))
    return (np.float64(total) - 131070.0) * (1.7320508 / 65536.0)

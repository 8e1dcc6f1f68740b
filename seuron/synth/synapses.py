"""Synapses in the fly's manner: a T-bar on one side, darkened membranes opposite, vesicles about it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from seuron.synth.tissue import Tissue

Floats = npt.NDArray[np.float64]

DENSITY_PER_UM3 = 1.6
VESICLES = 28
"""Vesicles tried at each synapse; those that fall into a membrane or an organelle are left out."""
CLUSTER_NM = 220.0
VESICLE_NM = 19.0
REACH_NM = 130.0
"""Everything a synapse darkens lies within this distance of it."""


def stamp_synapses(tissue: Tissue, voxel_nm: Floats, rng: np.random.Generator) -> int:
    """Draw synapses into `tissue.grey`, in place; how many there were room for.

    Random voxels on membranes are tried; one is taken where its own neurite fills enough of the
    neighbourhood to be a bouton.
    """
    shape = np.array(tissue.owner.shape)
    volume = float(np.prod(shape * voxel_nm)) / 1e9
    wanted = round(volume * DENSITY_PER_UM3)
    tries = rng.integers(0, shape, (max(1, wanted) * 60, 3))
    scatter = rng.standard_normal((max(1, wanted), VESICLES, 3)) * CLUSTER_NM * 0.5
    return int(_stamp_all(tries, scatter, wanted, voxel_nm, tissue.owner, tissue.depth, tissue.grey))


@njit(cache=True)
def _stamp_all(
    tries: npt.NDArray[np.int64],
    scatter: Floats,
    wanted: int,
    voxel_nm: Floats,
    owner: npt.NDArray[np.uint32],
    depth: npt.NDArray[np.uint8],
    grey: npt.NDArray[np.float32],
) -> int:
    """Go through the tried voxels until `wanted` synapses stand."""
    made = 0
    normal = np.zeros(3)
    for i in range(len(tries)):
        if made >= wanted:
            break
        voxel = tries[i]
        if depth[voxel[0], voxel[1], voxel[2]] > 8:
            continue
        share = _inward(voxel, voxel_nm, owner, normal)
        if 0.5 < share < 0.85:
            _stamp_density(voxel, normal, voxel_nm, owner, depth, grey)
            for j in range(scatter.shape[1]):
                _stamp_vesicle(voxel, normal, scatter[made, j], voxel_nm, owner, depth, grey)
            made += 1
    return made


@njit(cache=True)
def _inward(
    voxel: npt.NDArray[np.int64],
    voxel_nm: Floats,
    owner: npt.NDArray[np.uint32],
    normal: Floats,
) -> float:
    """Unit vector into the voxel's neurite; the neurite's share of a ball of 100 nm about the voxel."""
    me = owner[voxel[0], voxel[1], voxel[2]]
    normal[:] = 0.0
    mine = total = 0
    rx, ry, rz = int(100 / voxel_nm[0]), int(100 / voxel_nm[1]), int(100 / voxel_nm[2])
    for x in range(max(0, voxel[0] - rx), min(owner.shape[0], voxel[0] + rx + 1), 2):
        for y in range(max(0, voxel[1] - ry), min(owner.shape[1], voxel[1] + ry + 1), 2):
            for z in range(max(0, voxel[2] - rz), min(owner.shape[2], voxel[2] + rz + 1)):
                dx, dy, dz = (x - voxel[0]) * voxel_nm[0], (y - voxel[1]) * voxel_nm[1], (z - voxel[2]) * voxel_nm[2]
                if dx * dx + dy * dy + dz * dz > 1e4:
                    continue
                sign = 1.0 if owner[x, y, z] == me else -1.0
                mine += 1 if sign > 0 else 0
                total += 1
                normal[0] += sign * dx
                normal[1] += sign * dy
                normal[2] += sign * dz
    normal /= np.sqrt((normal**2).sum()) + 1e-9
    return mine / max(1, total)


@njit(cache=True)
def _stamp_density(
    voxel: npt.NDArray[np.int64],
    normal: Floats,
    voxel_nm: Floats,
    owner: npt.NDArray[np.uint32],
    depth: npt.NDArray[np.uint8],
    grey: npt.NDArray[np.float32],
) -> None:
    """Darken the T-bar (pedestal of 40 nm, platform of 110 nm) and the membranes opposite."""
    me = owner[voxel[0], voxel[1], voxel[2]]
    rx, ry, rz = int(REACH_NM / voxel_nm[0]), int(REACH_NM / voxel_nm[1]), int(REACH_NM / voxel_nm[2])
    for z in range(max(0, voxel[2] - rz), min(owner.shape[2], voxel[2] + rz + 1)):
        for y in range(max(0, voxel[1] - ry), min(owner.shape[1], voxel[1] + ry + 1)):
            for x in range(max(0, voxel[0] - rx), min(owner.shape[0], voxel[0] + rx + 1)):
                dx, dy, dz = (x - voxel[0]) * voxel_nm[0], (y - voxel[1]) * voxel_nm[1], (z - voxel[2]) * voxel_nm[2]
                height = dx * normal[0] + dy * normal[1] + dz * normal[2]
                aside = np.sqrt(max(0.0, dx * dx + dy * dy + dz * dz - height * height))
                if aside > REACH_NM or abs(height) > REACH_NM:
                    continue
                if owner[x, y, z] == me and height > -20:
                    pedestal = max(aside - 20.0, height - 60.0)
                    platform = max(aside - 55.0, abs(height - 58.0) - 13.0)
                    dark = 0.9 / (1.0 + np.exp(min(pedestal, platform) / 4.0))
                else:
                    gap = depth[x, y, z] / 32.0
                    dark = 0.9 * np.exp(-gap * gap) / (1.0 + np.exp((aside - 85.0) / 10.0))
                if grey[x, y, z] > 66.0:
                    grey[x, y, z] -= (grey[x, y, z] - 66.0) * dark


@njit(cache=True)
def _stamp_vesicle(
    voxel: npt.NDArray[np.int64],
    normal: Floats,
    offset: Floats,
    voxel_nm: Floats,
    owner: npt.NDArray[np.uint32],
    depth: npt.NDArray[np.uint8],
    grey: npt.NDArray[np.float32],
) -> None:
    """One vesicle: a dark ring of 38 nm about a paler middle, only in its neurite's clear cytoplasm."""
    me = owner[voxel[0], voxel[1], voxel[2]]
    centre = np.zeros(3)
    cell = np.zeros(3, np.int64)
    for axis in range(3):
        centre[axis] = voxel[axis] * voxel_nm[axis] + offset[axis] + 0.6 * CLUSTER_NM * normal[axis]
        cell[axis] = round(centre[axis] / voxel_nm[axis])
        if not 0 <= cell[axis] < owner.shape[axis]:
            return
    here = (cell[0], cell[1], cell[2])
    if owner[here] != me or depth[here] < 36 or grey[here] < 110.0:
        return
    reach = VESICLE_NM + 10.0
    rx, ry, rz = int(reach / voxel_nm[0]), int(reach / voxel_nm[1]), int(reach / voxel_nm[2])
    for z in range(max(0, cell[2] - rz), min(owner.shape[2], cell[2] + rz + 1)):
        for y in range(max(0, cell[1] - ry), min(owner.shape[1], cell[1] + ry + 1)):
            for x in range(max(0, cell[0] - rx), min(owner.shape[0], cell[0] + rx + 1)):
                dx, dy, dz = x * voxel_nm[0] - centre[0], y * voxel_nm[1] - centre[1], z * voxel_nm[2] - centre[2]
                distance = np.sqrt(dx * dx + dy * dy + dz * dz)
                ring = np.exp(-(((distance - VESICLE_NM + 6.0) / 7.0) ** 2))
                grey[x, y, z] -= 45.0 * ring

"""What the boundary net learns: affinities of labels whose boundaries were grown by one voxel.

Pure numpy. Arrays are `(X, Y, Z)` or `(C, X, Y, Z)`: channels first here, as torch wants them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.uint32]
Mask = npt.NDArray[np.bool_]


def grow_boundaries(labels: Labels) -> Labels:
    """Labels `(X, Y, Z)` with every voxel set to 0 that has a face neighbour of another label.

    Bodies that touch then have a boundary two voxels wide, near what a membrane is at 10 nm: the
    net sees a membrane it can find, not an edge of no thickness it must guess.
    """
    grown = labels.copy()
    for axis in range(3):
        low: list[slice] = [slice(None)] * 3
        high: list[slice] = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        differ = labels[tuple(low)] != labels[tuple(high)]
        grown[tuple(low)][differ] = 0
        grown[tuple(high)][differ] = 0
    return grown


def small_bodies(labels: Labels, voxels: int) -> Mask:
    """Mask `(X, Y, Z)` of bodies of fewer than `voxels` voxels, label 0 apart.

    Proofread data hold specks (two thirds of FIB-25's bodies are under 100 voxels) that are no
    neurites: the loss leaves them out rather than teach a boundary around each.
    """
    ids, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    small: Mask = ((counts < voxels) & (ids != 0))[inverse.reshape(labels.shape)]
    return small


def affinity_targets(grown: Labels, known: Mask, offsets: Sequence[int]) -> tuple[npt.NDArray[np.float32], Mask]:
    """Affinities of grown labels, and where they are known.

    Args:
        grown: labels `(X, Y, Z)` from `grow_boundaries`; 0 is boundary.
        known: `(X, Y, Z)`; an affinity with an unknown end is unknown.
        offsets: distances in voxels.

    Returns:
        Affinities, float32 0 or 1, and their mask, both `(3 * offsets, X, Y, Z)` with channels
        `(offset, axis)`. Channel `(d, c)` at `v` is the affinity of `v` and `v - d e_c`; it is
        unknown (mask false) where `v - d e_c` is outside.
    """
    affinities = np.zeros((3 * len(offsets), *grown.shape), np.float32)
    mask = np.zeros(affinities.shape, bool)
    for channel, (offset, axis) in enumerate((o, a) for o in offsets for a in range(3)):
        here: list[slice] = [slice(None)] * 3
        there: list[slice] = [slice(None)] * 3
        here[axis], there[axis] = slice(offset, None), slice(None, -offset)
        end, start = tuple(here), tuple(there)
        affinities[channel][end] = (grown[end] == grown[start]) & (grown[end] != 0)
        mask[channel][end] = known[end] & known[start]
    return affinities, mask


def balance_weights(affinities: npt.NDArray[np.float32], mask: Mask) -> npt.NDArray[np.float32]:
    """Loss weights that give each channel's ones and zeros the same say in this patch.

    Each class of each channel gets weights that sum to half the channel's voxels, at most 20 a
    voxel so that a handful of voxels cannot shout; a channel of one class keeps weight 1.
    """
    weights = np.zeros(affinities.shape, np.float32)
    for channel in range(len(affinities)):
        known = mask[channel]
        ones = known & (affinities[channel] > 0.5)
        count, positive = int(known.sum()), int(ones.sum())
        if 0 < positive < count:
            weights[channel][known] = min(20.0, 0.5 * count / (count - positive))
            weights[channel][ones] = min(20.0, 0.5 * count / positive)
        else:
            weights[channel][known] = 1.0
    return weights

"""What the boundary net learns: affinities of labels whose boundaries were grown by one voxel.

Pure numpy. Arrays are `(X, Y, Z)` or `(C, X, Y, Z)`: channels first here, as torch wants them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seuron.box import Triple

#: Those that runs use.
NEAREST: tuple[Triple, ...] = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))

Labels = npt.NDArray[np.uint32]
Mask = npt.NDArray[np.bool_]


def grow_boundaries(labels: Labels, steps: int = 1, axes: Sequence[int] = (0, 1, 2)) -> Labels:
    """Labels `(X, Y, Z)` with every voxel set to 0 that has a face neighbour of another label, `steps` times.

    Bodies that touch then have a boundary two voxels wide, near what a membrane is at 10 nm: the
    net sees a membrane it can find, not an edge of no thickness it must guess.

    Args:
        labels: 0 is boundary.
        steps: voxels that each body loses on each side.
        axes: along which neighbours are looked at. Thick sections are eroded within their plane only.
    """
    for _ in range(steps):
        labels = _grown_once(labels, axes)
    return labels


def finest_axes(resolution: Sequence[float]) -> tuple[int, ...]:
    """The axes whose voxels are less than twice as long as the shortest: along those, bodies are eroded."""
    return tuple(axis for axis in range(3) if resolution[axis] < 2 * min(resolution))


def _grown_once(labels: Labels, axes: Sequence[int]) -> Labels:
    grown = labels.copy()
    for axis in axes:
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


def affinity_targets(grown: Labels, known: Mask, offsets: Sequence[Triple]) -> tuple[npt.NDArray[np.float32], Mask]:
    """Affinities of grown labels, and where they are known.

    Args:
        grown: labels `(X, Y, Z)` from `grow_boundaries`; 0 is boundary.
        known: `(X, Y, Z)`; an affinity with an unknown end is unknown.
        offsets: of each channel, from a voxel to the one before it that its affinity is with: none is above 0.

    Returns:
        Affinities, float32 0 or 1, and their mask, both `(C, X, Y, Z)`. Channel `c` at `v` is the affinity of `v` and
        `v + offsets[c]`; it is unknown (mask false) where that is outside.
    """
    affinities = np.zeros((len(offsets), *grown.shape), np.float32)
    mask = np.zeros(affinities.shape, bool)
    for channel, offset in enumerate(offsets):
        end = tuple(slice(-step, None) for step in offset)
        start = tuple(slice(None, step or None) for step in offset)
        if any(-step >= side for step, side in zip(offset, grown.shape, strict=True)):
            continue
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

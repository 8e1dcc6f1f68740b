"""What a run's input and result show that is seldom meant: nothing is refused for it, and everybody is warned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seuron.nets.normalisation import sample_boxes
from seuron.pipelines.segmentation.facts import VolumeFacts
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.segment_sizes import Sizes
from seuron.volumes import open_volume

#: Share of the labelled voxels that one segment has, and of all voxels that none has.
ONE_SEGMENT, BACKGROUND = 0.9, 0.9
#: Means of the three channels of affinities that are this far apart, and a mean of all below which most edges are cut.
CHANNELS_APART, MOSTLY_CUT = 0.3, 0.3
#: Share of the cut loops of four edges that one edge alone cuts: none in labels, few in predictions; and by how much
#: another convention must lower it to be named.
LONE_CUTS, LOWERED = 0.1, 0.5
#: Samples of affinities that are read at most.
SAMPLES = 8

Slices = tuple[slice, slice, slice]


class Convention(NamedTuple):
    """The axes of the channels, and which neighbour a voxel's affinities are with."""

    channels: str
    edges: str


def input_warnings(params: SegmentationParams, facts: VolumeFacts) -> list[str]:
    """What is seldom meant of a run's input; nothing of it is wrong by itself."""
    return [] if params.affinities is None else _affinity_warnings(params, facts)


def result_warnings(sizes: Sizes) -> list[str]:
    """What a segmentation shows that is seldom right."""
    if not sizes.total:
        return ["The segmentation is empty: no voxel has a label. Look at the affinities and `watershed_low`."]
    found = []
    largest, background = sizes.voxels[0] / sizes.total, sizes.background / (sizes.total + sizes.background)
    if largest > ONE_SEGMENT:
        found.append(
            f"One segment ({sizes.ids[0]}) holds {largest:.0%} of the labelled voxels: nearly all was joined. Look at "
            "the affinities, at their convention, and at `agglomeration_threshold` and `watershed_high`."
        )
    if background > BACKGROUND:
        found.append(
            f"{background:.0%} of the voxels have no label: nearly all is dust. Look at the affinities, at their "
            "convention, and at `watershed_low` and `watershed_dust`."
        )
    return found


def _affinity_warnings(params: SegmentationParams, facts: VolumeFacts) -> list[str]:
    """What samples of affinities that were given show: values that mean the opposite, channels that disagree."""
    samples = _samples(params, facts)
    if not samples:
        return []
    means = np.mean([sample.reshape(-1, 3).mean(axis=0) for sample in samples], axis=0)
    found = []
    if means.max() - means.min() > CHANNELS_APART:
        shown = ", ".join(f"{mean:.2f}" for mean in means)
        found.append(
            f"The channels of `affinities` disagree: their means along x, y, z are {shown}. Are all three affinities?"
        )
    if means.mean() < MOSTLY_CUT:
        found.append(
            f"The mean of `affinities` is {means.mean():.2f}: most neighbours would be apart. If high values mean "
            f"boundaries, give `affinity_values` {_other_values(params)}."
        )
    return found + _convention_warnings(params, samples)


def _other_values(params: SegmentationParams) -> str:
    return "boundaries" if params.affinity_values == "affinities" else "affinities"


def _convention_warnings(params: SegmentationParams, samples: Sequence[NDArray[np.float32]]) -> list[str]:
    """Whether the channels would agree far better in another convention: then they are not in the one that is named."""
    given = Convention(params.affinity_channels, params.affinity_edges)
    cuts = [sample < 0.5 for sample in samples]
    others = [Convention("".join(order), edges) for order in permutations("xyz") for edges in ("backward", "forward")]
    shares = {found: _lone_cuts(cuts, found) for found in others}
    best = min(shares, key=lambda found: (shares[found], found != given))
    if shares[given] < LONE_CUTS or shares[best] > LOWERED * shares[given]:
        return []
    return [
        f"The channels of `affinities` contradict one another at {shares[given]:.0%} of the boundaries, and at "
        f"{shares[best]:.0%} with `affinity_channels` {best.channels} and `affinity_edges` {best.edges}. See how the "
        "tool that wrote them orders channels, and which neighbour a voxel's affinities are with."
    ]


def _lone_cuts(cuts: Sequence[NDArray[np.bool_]], convention: Convention) -> float:
    """Of the loops of four edges around a square of voxels that are cut, the share that one edge alone cuts.

    Who walks around the square comes back to the same object, so the second edge between two objects must be cut too.
    """
    lone = met = 0
    for cut in cuts:
        for first, second in combinations(range(3), 2):
            a, b = (cut[..., convention.channels.index("xyz"[axis])] for axis in (first, second))
            here, beside = _squares(first, second, convention.edges)
            number = a[here].astype(np.int8) + a[beside(second)] + b[here] + b[beside(first)]
            lone, met = lone + int((number == 1).sum()), met + int((number > 0).sum())
    return lone / met if met else 0.0


def _squares(first: int, second: int, edges: str) -> tuple[Slices, Callable[[int], Slices]]:
    """The corners of all squares in a plane at which both edges begin, and those one step along an axis from them."""
    near, far = (slice(1, None), slice(None, -1)) if edges == "backward" else (slice(None, -1), slice(1, None))

    def corners(moved: int | None) -> Slices:
        x, y, z = ((far if axis == moved else near) if axis in (first, second) else slice(None) for axis in range(3))
        return (x, y, z)

    return corners(None), corners


def _samples(params: SegmentationParams, facts: VolumeFacts) -> list[NDArray[np.float32]]:
    """Affinities, 0 to 1, as they are stored, in samples that are spread over the run's box."""
    volume = open_volume(params.affinities or "", params.mip)
    boxes = sample_boxes(facts.box)
    found = []
    for box in boxes[:: -(-len(boxes) // SAMPLES)]:
        stored = volume.read(box, missing="zero").astype(np.float32)
        values = stored / np.float32(255 if facts.dtype == "uint8" else 1)
        found.append(1 - values if params.affinity_values == "boundaries" else values)
    return found

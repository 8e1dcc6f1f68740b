"""Whether a net was trained on voxels like those of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seuron.nets.models.description import ModelDescription

#: Voxels of another length by more than this share are refused unless the user allows them.
RESOLUTION_LIMIT = 0.25

VoxelLengths = tuple[float, float, float]


def misfit(trained: Sequence[float], voxel: Sequence[float]) -> float:
    """By how much the lengths differ on the worst axis: 0.25 where one is 1.25 times the other."""
    return max(max(a / b, b / a) for a, b in zip(trained, voxel, strict=True)) - 1


def fits(description: ModelDescription, voxel: Sequence[float], limit: float = RESOLUTION_LIMIT) -> bool:
    """Whether a net is for voxels of that size; one that does not say what it was trained on is for any."""
    known = description.resolutions_nm
    return not known or any(misfit(trained, voxel) <= limit + 1e-9 for trained in known)


def resolution_problems(
    description: ModelDescription,
    image_scales: Mapping[int, VoxelLengths],
    mip: int,
    limit: float = RESOLUTION_LIMIT,
    others: Sequence[ModelDescription] = (),
) -> list[str]:
    """A sentence where the net does not fit the image's scale, with what would.

    Args:
        description: of the net.
        image_scales: nm of a voxel along x, y, z by `mip`.
        mip: the scale that is to be used.
        limit: the share by which an axis may differ.
        others: nets that could be used instead.
    """
    voxel = image_scales[mip]
    if fits(description, voxel, limit):
        return []
    trained = " or ".join(_nm(known) for known in description.resolutions_nm)
    scales = [f"`mip` {other} ({_nm(size)})" for other, size in image_scales.items() if fits(description, size, limit)]
    nets = [other.name for other in others if other.resolutions_nm and fits(other, voxel, limit)]
    remedies = [f"choose {' or '.join(scales)}"] if scales else []
    remedies += [f"use the net {' or '.join(nets)}"] if nets else []
    remedies += [] if remedies else ["no scale of the image and no known net fits: train one (`seuron train`)"]
    least = min(misfit(known, voxel) for known in description.resolutions_nm)
    return [
        f"`model`: the net {description.name} was trained on voxels of {trained}, and those of the image at `mip` "
        f"{mip} are {_nm(voxel)}, {least:.0%} off; allowed are {limit:.0%}: {', or '.join(remedies)}, or allow "
        f"it with `model_resolution_limit` (at least {_above(least)})"
    ]


def _nm(voxel: Sequence[float]) -> str:
    return " x ".join(f"{side:g}" for side in voxel) + " nm"


def _above(share: float) -> str:
    return f"{int(share * 100 + 1) / 100:g}"

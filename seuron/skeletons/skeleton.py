"""Skeletons in memory: traced by kimimaro in a cell, joined from cells, encoded.

Vertices that kimimaro finds are voxels, so they are integers until a skeleton is whole, and those of neighbouring
cells on the plane that both see are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: A vertex's radius, as Neuroglancer knows it.
ATTRIBUTES: list[dict[str, Any]] = [{"id": "radius", "data_type": "float32", "num_components": 1}]


class SkeletonPart(NamedTuple):
    """What a cell has of a skeleton.

    `voxels` is (N, 3), int32, in voxels from an origin that its owner knows; `edges` (M, 2), uint32, rows of them;
    `radii` (N,), float32, nm.
    """

    voxels: NDArray[np.int32]
    edges: NDArray[np.uint32]
    radii: NDArray[np.float32]

    def shifted(self, offset: Sequence[int]) -> SkeletonPart:
        """The same part from another origin: `offset` voxels are added."""
        return self._replace(voxels=self.voxels + np.asarray(offset, np.int32))


@dataclass(frozen=True)
class Tracing:
    """How skeletons are traced: TEASAR (Sato et al. 2000) as kimimaro does it.

    A path's surroundings within `scale` times its distance from the surface, plus `constant_nm`, get no path of their
    own. Joined skeletons lose pieces shorter than `shortest_nm`, and side branches shorter than `branch_nm`.
    """

    scale: float
    constant_nm: float
    shortest_nm: float
    branch_nm: float


def trace(labels: NDArray[Any], voxel_nm: Sequence[float], tracing: Tracing) -> Iterator[tuple[int, SkeletonPart]]:
    """The number and the skeleton of each label but 0, by number, in voxels from the first one.

    `labels` is (X, Y, Z), in Fortran order. Where a label reaches an end of the box its skeleton ends at a voxel that
    follows from the labels on that side alone. A label of a few voxels may have none.
    """
    import kimimaro

    found = kimimaro.skeletonize(
        labels,
        teasar_params={"scale": tracing.scale, "const": tracing.constant_nm},
        anisotropy=tuple(voxel_nm),
        dust_threshold=0,
        fix_borders=True,
        progress=False,
        parallel=1,
    )
    for number in sorted(found):
        skeleton = found[number]
        if len(skeleton.vertices):
            voxels = np.rint(skeleton.vertices / np.asarray(voxel_nm, np.float64)).astype(np.int32)
            yield int(number), SkeletonPart(voxels, skeleton.edges.astype(np.uint32), skeleton.radii)


def whole(
    number: int, parts: Sequence[SkeletonPart], origin_nm: Sequence[float], voxel_nm: Sequence[float], tracing: Tracing
) -> Any:
    """One `osteoid.Skeleton`, nm, of the parts of a segment, which have one origin; the same for the same order.

    `origin_nm` is the middle of the voxel 0, 0, 0. Pieces that are close are connected, loops opened, short pieces and
    branches removed, unless nothing were left then.
    """
    from kimimaro import postprocess
    from osteoid import Skeleton

    def positions(part: SkeletonPart) -> NDArray[np.float32]:
        found: NDArray[np.float32] = (part.voxels * np.asarray(voxel_nm) + np.asarray(origin_nm)).astype(np.float32)
        return found

    pieces = [Skeleton(positions(part), part.edges, radii=part.radii, segid=number) for part in parts]
    merged = Skeleton.simple_merge(pieces).consolidate()
    if not len(merged.edges):
        return merged
    joined = postprocess(merged, dust_threshold=tracing.shortest_nm, tick_threshold=tracing.branch_nm)
    return joined if len(joined.edges) else postprocess(merged, dust_threshold=0, tick_threshold=0)


def encoded(skeleton: Any) -> bytes:
    """A skeleton in Neuroglancer's format, with `ATTRIBUTES`."""
    skeleton.extra_attributes = ATTRIBUTES
    content: bytes = skeleton.to_precomputed()
    return content

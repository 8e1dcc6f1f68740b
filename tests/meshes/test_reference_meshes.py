"""Surfaces beside meshes that others made of the same segments: pinky40, by igneous, of voxels twice as large."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from seuron.meshes.marching_cubes import label_surfaces
from seuron.meshes.simplification import simplified
from seuron.meshes.surface import LatticeSurface, joined

DATA = Path(__file__).parents[2].parent / "shared" / "data"
MESHES, LABELS = DATA / "pinky40_reference_meshes", DATA / "pinky40_seg_512x512x512_16x16x40.ckl.gz"
VOXEL_NM, REFERENCE_NM = np.array((16.0, 16.0, 40.0)), np.array((32.0, 32.0, 40.0))
EDGE, ERROR_NM = 256, 10.0


@pytest.mark.long
@pytest.mark.skipif(not LABELS.exists(), reason="needs the data of ../shared")
def test_surfaces_are_where_the_reference_has_them() -> None:
    """All sixteen segments: closed, of the voxels' volume, half of both surfaces within half a voxel of the reference,
    99 % within one and a half, and nothing of either farther than four."""
    import crackle

    labels = crackle.decompress(gzip.decompress(LABELS.read_bytes()))
    numbers = sorted({int(path.name.partition(":")[0]) for path in MESHES.glob("*:0:*.gz")})
    assert len(numbers) == 16
    for number in numbers:
        voxels = labels == number
        surface, corner = _surface(voxels)
        assert surface.open_edges() == 0
        assert surface.volume(VOXEL_NM / 2) == pytest.approx(voxels.sum() * VOXEL_NM.prod(), rel=0.03)
        points = surface.corners * (VOXEL_NM / 2) + (corner - 0.5) * VOXEL_NM
        distances = np.concatenate(_distances((points, surface.triangles), _reference(number), voxels.shape))
        assert np.median(distances) < REFERENCE_NM[0] / 2
        assert np.percentile(distances, 99) < 1.5 * REFERENCE_NM[0]
        assert distances.max() < 4 * REFERENCE_NM[0]


def _surface(voxels: NDArray[np.bool_]) -> tuple[LatticeSurface, NDArray[np.int64]]:
    """The surface of a segment, made in cells, from the voxel before the first of its box; and that one."""
    where = np.argwhere(voxels)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    box = np.pad(voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.uint32), (1, EDGE))
    pieces = []
    for place in itertools.product(*(range((b - a) // EDGE + 1) for a, b in zip(low, high, strict=True))):
        part = box[tuple(slice(i * EDGE, (i + 1) * EDGE + 1) for i in place)]
        for _, found in label_surfaces(np.asfortranarray(part)):
            few = simplified(found, VOXEL_NM / 2, ERROR_NM, (2 * EDGE,) * 3)
            pieces.append(few.shifted([2 * EDGE * i for i in place]))
    return joined(pieces), low


def _reference(number: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Points, nm, and triangles of a mesh in Neuroglancer's oldest format."""
    points, triangles, count = [], [], 0
    for path in sorted(MESHES.glob(f"{number}:0:*.gz")):
        content = gzip.decompress(path.read_bytes())
        own = int(np.frombuffer(content[:4], np.uint32)[0])
        points.append(np.frombuffer(content[4 : 4 + 12 * own], np.float32).reshape(-1, 3))
        triangles.append(np.frombuffer(content[4 + 12 * own :], np.uint32).reshape(-1, 3).astype(np.int64) + count)
        count += own
    return np.concatenate(points), np.concatenate(triangles)


def _distances(ours: tuple, theirs: tuple, shape: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """From each surface's points to the other surface, nm; not at the volume's faces, where the reference is open."""
    import pyvista

    def mesh(points: NDArray, triangles: NDArray) -> pyvista.PolyData:
        return pyvista.PolyData(
            np.asarray(points, float), np.column_stack([np.full(len(triangles), 3), triangles]).ravel()
        )

    far, found = 4 * REFERENCE_NM, []
    for one, other in ((ours, theirs), (theirs, ours)):
        inner = ((one[0] > far) & (one[0] < shape * VOXEL_NM - far)).all(axis=1)
        sampled = pyvista.PolyData(np.asarray(one[0][inner][::5], float))
        found.append(np.abs(sampled.compute_implicit_distance(mesh(*other))["implicit_distance"]))
    return found

"""What meshes and skeletons cost, beside zmesh and kimimaro on the same labels, in one run.

    python benchmarks/shapes.py LABELS.ckl.gz --voxel 16 16 40 --corner 128 128 128 --shape 256 256 256
    python benchmarks/shapes.py LABELS.ckl.gz --voxel 16 16 40 --shape 512 512 512 --without-peers

The labels are a file of crackle, gzipped or not, with axes x, y, z. Each part is a process of its own, whose processor
seconds and peak of memory are shown. Peers are zmesh's marching cubes with its own simplification to the same number
of triangles (`reduction_factor`), and kimimaro on all voxels, with the same parameters and the same postprocessing.
Surfaces are compared with those that were not simplified: the ratio of volumes, and the distance of their corners.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crackle
import kimimaro
import numpy as np
import pyvista
import zmesh
from numpy.typing import NDArray

from seuron.box import Box
from seuron.engine.local import run_local
from seuron.meshes.marching_cubes import label_surfaces
from seuron.meshes.simplification import simplified
from seuron.meshes.surface import LatticeSurface
from seuron.params import parse_parameters
from seuron.pipelines.products.params import ProductsParams
from seuron.volumes import create_volume

#: Surfaces whose distances are measured: after so many larger ones, which take long.
SKIPPED, MEASURED = 5, 20


def read_labels(path: Path, corner: list[int], shape: list[int]) -> NDArray[Any]:
    """A box of the labels."""
    content = path.read_bytes()
    labels = crackle.decompress(gzip.decompress(content) if path.suffix == ".gz" else content)
    box = tuple(slice(a, a + n) for a, n in zip(corner, shape, strict=True))
    return np.asfortranarray(labels[box])


def run_product(product: str, labels: NDArray[Any], voxel: list[float]) -> dict[str, float]:
    """The pipeline: processor seconds of the records of a product's tasks, and what they counted."""
    with tempfile.TemporaryDirectory() as folder:
        box = Box.from_shape((0, 0, 0), labels.shape)
        form: dict[str, Any] = {"dtype": str(labels.dtype), "kind": "segmentation", "pyramid": False}
        create_volume(f"{folder}/labels", box, tuple(voxel), **form).write(box, labels)
        values = {"segmentation": f"{folder}/labels", "output": f"{folder}/run", "products": [product]}
        run = run_local(parse_parameters(ProductsParams, values))
        records = [record for record in run.records() if record.stage == product]
        found: dict[str, float] = {"of tasks": sum(record.cpu_seconds for record in records)}
        for record in records:
            for name, number in record.counts.items():
                found[name] = found.get(name, 0) + number
        return found


def plain_meshes(labels: NDArray[Any], voxel: list[float], error_nm: float, triangles: int) -> dict[str, float]:
    """zmesh alone, simplified by a factor that leaves about so many triangles."""
    mesher = zmesh.Mesher(tuple(voxel))
    mesher.mesh(np.pad(labels, 1))
    raw = sum(len(mesher.get(number, reduction_factor=0).faces) for number in mesher.ids())
    mesher = zmesh.Mesher(tuple(voxel))
    start = time.process_time()
    mesher.mesh(np.pad(labels, 1))
    factor = max(2, round(raw / triangles))
    found = [mesher.get(number, reduction_factor=factor, max_error=4 * error_nm) for number in mesher.ids()]
    seconds = time.process_time() - start
    return {"of meshing": seconds, "raw triangles": raw, "triangles": sum(len(mesh.faces) for mesh in found)}


def plain_skeletons(labels: NDArray[Any], voxel: list[float], params: ProductsParams) -> dict[str, float]:
    """kimimaro on all voxels."""
    teasar = {"scale": params.skeleton_scale, "const": params.skeleton_constant_nm}
    start = time.process_time()
    found = kimimaro.skeletonize(
        labels, teasar_params=teasar, anisotropy=tuple(voxel), dust_threshold=0, progress=False, parallel=1
    )
    seconds = time.process_time() - start
    raw = sum(float(skeleton.cable_length()) for skeleton in found.values()) / 1000
    lengths = {"dust_threshold": params.skeleton_shortest_nm, "tick_threshold": params.skeleton_branch_nm}
    kept = [kimimaro.postprocess(skeleton, **lengths) for skeleton in found.values()]
    cable = sum(float(skeleton.cable_length()) for skeleton in kept) / 1000
    return {"of tracing": seconds, "segments": len(found), "cable_um before": raw, "cable_um": cable}


def surface_errors(labels: NDArray[Any], voxel: list[float], error_nm: float) -> dict[str, float]:
    """How far simplified surfaces are from those with all triangles, of segments of middle size."""
    half = np.asarray(voxel) / 2
    raw = [surface for _, surface in label_surfaces(np.asfortranarray(np.pad(labels, 1)))]
    planes = [2 * n + 4 for n in labels.shape]
    few = [simplified(surface, half, error_nm, planes) for surface in raw]
    order = np.argsort([-len(surface.triangles) for surface in raw])[SKIPPED : SKIPPED + MEASURED]
    distances = []
    for i in order:
        points = pyvista.PolyData((raw[i].corners * half)[::10])
        distances.append(np.abs(points.compute_implicit_distance(_mesh(few[i], half))["implicit_distance"]))
    found = np.concatenate(distances)
    volumes = [sum(surface.volume(half) for surface in surfaces) for surfaces in (few, raw)]
    return {
        "volume ratio": volumes[0] / volumes[1],
        "median nm": float(np.median(found)),
        "p99 nm": float(np.percentile(found, 99)),
        "largest nm": float(found.max()),
    }


def _mesh(surface: LatticeSurface, half: NDArray[np.float64]) -> pyvista.PolyData:
    faces = np.column_stack([np.full(len(surface.triangles), 3), surface.triangles.astype(np.int64)])
    return pyvista.PolyData(surface.corners * half, faces.ravel())


def measured(work: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    """A part in a process of its own: what it found, its processor seconds, and its peak of memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (work, arguments))


def _measured(work: Callable[..., dict[str, float]], arguments: tuple[Any, ...]) -> dict[str, float]:
    start = time.process_time()
    found = work(*arguments)
    seconds = time.process_time() - start
    # Of this process alone: `ru_maxrss` begins with that of the process that started it.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {"cpu_s": seconds, "peak_mib": int(status["VmHWM"].split()[0]) / 1024, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--voxel", type=float, nargs=3, required=True, metavar="NM")
    parser.add_argument("--corner", type=int, nargs=3, default=[0, 0, 0])
    parser.add_argument("--shape", type=int, nargs=3, default=[256, 256, 256])
    parser.add_argument("--without-peers", action="store_true")
    options = parser.parse_args()
    labels = read_labels(options.labels, options.corner, options.shape)
    params = parse_parameters(ProductsParams, {"segmentation": "/labels", "output": "/run"})
    error, voxel = params.mesh_error_nm, options.voxel
    triangles = shown("meshes", run_product, "meshes", labels, voxel)["triangles"]
    shown("skeletons", run_product, "skeletons", labels, voxel)
    if not options.without_peers:
        shown("zmesh", plain_meshes, labels, voxel, error, int(triangles))
        shown("kimimaro", plain_skeletons, labels, voxel, params)
        shown("errors", surface_errors, labels, voxel, error)


def shown(name: str, work: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    """Measure a part, and print what was found."""
    figures = measured(work, *arguments)
    print(json.dumps({"part": name, **{key: round(value, 4) for key, value in figures.items()}}), flush=True)
    return figures


if __name__ == "__main__":
    main()

"""How fast the kernels are: `python benchmarks/kernels.py AFFINITIES.npy [...] [--size 50] [--repeats 5]`.

Each volume is an affinity map (X, Y, Z, 3), float32, Fortran order, as the project's shared
`make_affinities.py` writes them. It is segmented as one chunk, as float32 and as uint8, each in a
process of its own; stages are timed inside it in CPU seconds (kernels have one thread), medians are
printed as Mvox/s of one core, and memory
as bytes a voxel above the input. With `--waterz`, waterz agglomerates the same supervoxels beside it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import abiss_py
from abiss_py import agglomeration, watershed

RULES = {"high": 0.99, "low": 0.01, "dust": 50}
THRESHOLD = 0.25
#: The steps of a chunk's watershed that are timed, and what a reader calls them.
STEPS = {"_joins": "steepest edges", "_basins": "components, best edges", "edges_that_matter": "spanning forest"}


class Timed:
    """Wraps a module's function so that the time spent in it adds up."""

    def __init__(self, module: Any, name: str) -> None:
        self.seconds = 0.0
        self._function: Callable[..., Any] = getattr(module, name)
        setattr(module, name, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        try:
            return self._function(*args, **kwargs)
        finally:
            self.seconds += time.process_time() - start


def load(path: Path, dtype: str) -> NDArray[Any]:
    """The map as (X, Y, Z, 3), Fortran order, uint8 by rounding."""
    affinities = np.asfortranarray(np.load(path))
    return affinities if dtype == "float32" else np.asfortranarray(np.rint(affinities * 255).astype(np.uint8))


def measure(path: Path, dtype: str, size: int, repeats: int) -> dict[str, float]:
    """Median seconds by stage, and bytes a voxel above the input."""
    affinities = load(path, dtype)
    voxels = affinities[..., 0].size
    shape = affinities.shape[:3]
    rules = abiss_py.WatershedRules(size=size, **RULES)
    place = abiss_py.Place.all_of((shape[0], shape[1], shape[2]))
    warm = np.asfortranarray(affinities[:32, :32, :32])
    abiss_py.segment(warm, size=size, threshold=THRESHOLD, **RULES)
    before = reset_peak()
    rows: list[dict[str, float]] = []
    steps = {label: Timed(watershed, name) for name, label in STEPS.items()}
    contacts = Timed(watershed, "_contacts")
    for _ in range(repeats):
        for step in (*steps.values(), contacts):
            step.seconds = 0.0
        start = time.process_time()
        chunk = abiss_py.watershed_chunk(affinities, rules, place)
        middle = time.process_time()
        ids = chunk.keys
        graph = chunk.contacts.renamed(ids[chunk.contacts.a], ids[chunk.contacts.b])
        nobody = np.zeros(0, np.int64)
        result = agglomeration.agglomerate(graph, abiss_py.Clusters.empty(), nobody, THRESHOLD, chunk_scale(dtype))
        end = time.process_time()
        rows.append(
            {label: step.seconds for label, step in steps.items()}
            | {
                "watershed, all": middle - start - contacts.seconds,
                "region graph": contacts.seconds,
                "agglomeration": end - middle,
                "whole chunk": end - start,
            }
        )
    peak = status_bytes("VmHWM")
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    counts = {
        "basins": chunk.basins,
        "supervoxels": chunk.keys.size - 1,
        "segments": chunk.keys.size - 1 - len(result.joins),
        "contacts": len(graph),
    }
    return medians | counts | {"bytes a voxel": (peak - before) / voxels, "voxels": voxels}


def status_bytes(field: str) -> int:
    """A line of /proc/self/status in bytes: VmRSS is the memory now, VmHWM its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def reset_peak() -> int:
    """Let the peak be counted from now on; returns the memory now."""
    Path("/proc/self/clear_refs").write_text("5")
    return status_bytes("VmRSS")


def chunk_scale(dtype: str) -> int:
    return abiss_py.affinity_type(dtype).scale


def measure_waterz(path: Path, size: int) -> dict[str, float]:
    """waterz on our supervoxels: region graph and mean-affinity agglomeration, seconds."""
    import waterz

    affinities = load(path, "float32")
    ours = abiss_py.segment(affinities, size=size, threshold=THRESHOLD, **RULES)
    theirs = np.ascontiguousarray(affinities.transpose(3, 2, 1, 0)[::-1])
    scoring = "OneMinus<MeanAffinity<RegionGraphType, ScoreValue>>"
    seconds, segments = [], 0
    for _ in range(4):  # the first call compiles
        fragments = ours.supervoxels.transpose(2, 1, 0).copy()
        start = time.process_time()
        for merged in waterz.agglomerate(
            theirs, [1 - THRESHOLD], fragments=fragments, scoring_function=scoring, discretize_queue=0
        ):
            segments = len(np.unique(merged)) - 1
        seconds.append(time.process_time() - start)
    return {"seconds": statistics.median(seconds[1:]), "segments": segments, "voxels": affinities[..., 0].size}


def in_process(function: Callable[..., dict[str, float]], *args: Any) -> dict[str, float]:
    """Run in a fresh process, so that peak memory is this measurement's own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("volumes", nargs="+", type=Path)
    parser.add_argument("--size", type=int, default=50, help="watershed size threshold, voxels")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--waterz", action="store_true")
    arguments = parser.parse_args()
    for path in arguments.volumes:
        for dtype in ("float32", "uint8"):
            found = in_process(measure, path, dtype, arguments.size, arguments.repeats)
            print(f"\n{path.stem} {dtype}, size {arguments.size}: ", end="")
            print(", ".join(f"{int(found[n])} {n}" for n in ("basins", "supervoxels", "segments", "contacts")))
            for name in (*STEPS.values(), "watershed, all", "region graph", "agglomeration", "whole chunk"):
                print(f"  {name:24s} {found[name]:7.3f} s {found['voxels'] / found[name] / 1e6:8.1f} Mvox/s")
            print(f"  {'memory above the input':24s} {found['bytes a voxel']:7.1f} bytes a voxel")
        if arguments.waterz:
            found = in_process(measure_waterz, path, arguments.size)
            rate = found["voxels"] / found["seconds"] / 1e6
            print(f"  waterz, region graph + agglomeration of the same supervoxels: {found['seconds']:.3f} s,", end=" ")
            print(f"{rate:.1f} Mvox/s, {int(found['segments'])} segments")


if __name__ == "__main__":
    main()

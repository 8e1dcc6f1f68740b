"""How fast the kernels are: `python benchmarks/kernels.py AFFINITIES.npy:50 [...] [--repeats 5] [--waterz]`.

Each volume is an affinity map (X, Y, Z, 3), float32, Fortran order, as the project's shared
`make_affinities.py` writes them, and the size threshold of its watershed in voxels. It is segmented as
one chunk, as float32 and as uint8, each in a process of its own; stages are timed inside it in processor
seconds (kernels have one thread). Medians are printed as Markdown tables for docs/performance.md: Mvox/s
of one core, and memory as bytes a voxel above the input. With `--waterz`, waterz agglomerates the same
supervoxels beside it. With `--two-cores`, `segment` is timed with one thread and with two, and in two
processes that have nothing in common, in turn: that is what the machine's second core is worth just then.
These processes keep the memory they once had, so that the system's price of memory is not measured.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

import abiss_py
from abiss_py import agglomeration, watershed

Result = TypeVar("Result")

RULES = {"high": 0.99, "low": 0.01, "dust": 50}
THRESHOLD = 0.25
#: The steps of a chunk's watershed that are timed, and what a reader calls them.
STEPS = {"_joins": "steepest edges", "_basins": "components, best edges", "edges_that_matter": "spanning forest"}
STAGES = (*STEPS.values(), "size rule, the rest", "region graph", "agglomeration")


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
    steps = {label: Timed(watershed, name) for name, label in STEPS.items()}
    contacts = Timed(watershed, "_contacts")
    rows = []
    for _ in range(repeats):
        for step in (*steps.values(), contacts):
            step.seconds = 0.0
        rows.append(measure_once(affinities, rules, place))
        rows[-1] |= {label: step.seconds for label, step in steps.items()} | {"region graph": contacts.seconds}
        rows[-1]["watershed"] -= contacts.seconds
        rows[-1]["size rule, the rest"] = rows[-1]["watershed"] - sum(step.seconds for step in steps.values())
    peak = status_bytes("VmHWM")
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    return medians | {"bytes a voxel": (peak - before) / voxels, "voxels": voxels}


def measure_once(affinities: NDArray[Any], rules: abiss_py.WatershedRules, place: abiss_py.Place) -> dict[str, float]:
    """Segment one chunk: seconds, the region graph's within those of the watershed, and counts."""
    start = time.process_time()
    chunk = abiss_py.watershed_chunk(affinities, rules, place)
    middle = time.process_time()
    ids = chunk.keys
    graph = chunk.contacts.renamed(ids[chunk.contacts.a], ids[chunk.contacts.b])
    result = agglomeration.agglomerate(
        graph, abiss_py.Clusters.empty(), np.zeros(0, np.int64), THRESHOLD, chunk_scale(affinities.dtype)
    )
    end = time.process_time()
    return {
        "watershed": middle - start,
        "agglomeration": end - middle,
        "whole chunk": end - start,
        "basins": chunk.basins,
        "supervoxels": chunk.keys.size - 1,
        "segments": chunk.keys.size - 1 - len(result.joins),
    }


def status_bytes(field: str) -> int:
    """A line of /proc/self/status in bytes: VmRSS is the memory now, VmHWM its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def reset_peak() -> int:
    """Let the peak be counted from now on; returns the memory now."""
    Path("/proc/self/clear_refs").write_text("5")
    return status_bytes("VmRSS")


def chunk_scale(dtype: Any) -> int:
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


def in_process(function: Callable[..., Result], *args: Any) -> Result:
    """Run in a fresh process, so that peak memory is this measurement's own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)


def keep_memory() -> None:
    """Have the C library's allocator (glibc) give nothing back to the system, from now on, in this process."""
    set_option = ctypes.CDLL(None).mallopt
    set_option(-4, 0)  # M_MMAP_MAX: no block has pages of its own, which would go with it
    set_option(-1, -1)  # M_TRIM_THRESHOLD: the end of the heap stays
    set_option(-8, 1)  # M_ARENA_MAX: threads share what there is


def measure_two_cores(path: Path, dtype: str, size: int, repeats: int) -> dict[str, float]:
    """How much more `segment` gets done on two cores than on one: by two threads, and by two processes."""
    context = multiprocessing.get_context("spawn")
    together, results = context.Barrier(2), context.Queue()
    arguments = (path, dtype, size, repeats, together, results)
    processes = [context.Process(target=_take_turns, args=(first, *arguments)) for first in (True, False)]
    for process in processes:
        process.start()
    rows = [row for _ in processes for row in results.get()]
    for process in processes:
        process.join()
    one, threads, both = (statistics.median(row[i] for row in rows if i in row) for i in ("one", "threads", "both"))
    return {"two threads": one / threads, "two processes": 2 * one / both}


def _take_turns(first: bool, path: Path, dtype: str, size: int, repeats: int, together: Any, results: Any) -> None:
    """One of two processes: the first calls `segment` with one thread, then two; then both with one at once."""
    keep_memory()
    affinities = load(path, dtype)

    def seconds(threads: int) -> float:
        start = time.perf_counter()
        abiss_py.segment(affinities, size=size, threshold=THRESHOLD, threads=threads, **RULES)
        return time.perf_counter() - start

    rows = []
    for _ in range(repeats + 1):
        together.wait()
        row = {"one": seconds(1), "threads": seconds(2)} if first else {}
        together.wait()
        rows.append(row | {"both": seconds(1)})
    results.put(rows[1:])  # the first calls compile


def machine() -> str:
    """The processor's name and how many of its cores are ours."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "unknown processor")
    return f"{name}, {os.cpu_count()} cores, numpy {np.__version__}"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def volume(text: str) -> tuple[Path, int]:
    """A volume and its size threshold, from PATH:SIZE."""
    path, _, size = text.rpartition(":")
    if not path or not size.isdigit():
        raise argparse.ArgumentTypeError(f"got {text}; expected PATH:SIZE, such as conn256.npy:200")
    return Path(path), int(size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("volumes", nargs="+", type=volume, metavar="PATH:SIZE")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--waterz", action="store_true")
    parser.add_argument("--two-cores", action="store_true")
    arguments = parser.parse_args()
    rates, stages = [], []
    for path, size in arguments.volumes:
        for dtype in ("float32", "uint8"):
            found = in_process(measure, path, dtype, size, arguments.repeats)
            name = [f"{path.stem}, {size}", dtype]
            speeds = [found["voxels"] / found[step] / 1e6 for step in ("watershed", "region graph", "whole chunk")]
            counts = f"{int(found['basins'])} / {int(found['supervoxels'])} / {int(found['segments'])}"
            rates.append([*name, counts, *(f"{rate:.1f}" for rate in speeds), f"{found['bytes a voxel']:.1f}"])
            stages.append([*name, *(f"{found[stage]:.3f}" for stage in STAGES)])
            if arguments.two_cores:
                gains = measure_two_cores(path, dtype, size, arguments.repeats)
                rates[-1] += [f"{gain:.2f}" for gain in gains.values()]
            if arguments.waterz:
                other = in_process(measure_waterz, path, size) if dtype == "float32" else None
                ours = found["region graph"] + found["agglomeration"]
                rates[-1].append(f"{ours:.2f} / {other['seconds']:.2f}" if other else "")
    columns = ["volume, size", "type", "basins / supervoxels / segments", "watershed", "region graph", "whole chunk"]
    columns += ["bytes a voxel"] + ["two threads over one", "two processes over one"] * arguments.two_cores
    columns += ["region graph and agglomeration, s: ours / waterz"] * arguments.waterz
    print(f"{machine()}. Mvox/s of one core, median of {arguments.repeats}; bytes are those above the input.\n")
    print(table(columns, rates))
    print("\nSeconds by stage.\n")
    print(table(["volume, size", "type", *STAGES], stages))


if __name__ == "__main__":
    main()

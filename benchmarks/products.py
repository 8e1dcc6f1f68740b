"""What each product costs: `python benchmarks/products.py LABELS.ckl[.gz] [--resolution 16,16,40] [--side 512]`.

Labels are a crackle file (X, Y, Z). Kernels alone beside cc3d on the same array, then each product by itself as a run
of a process of its own over a stored layer: seconds of processor time, million voxels of them a second, GiB at most.
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.contact_faces import contact_faces
from abiss_py.segment_statistics import nearest_voxels, segment_sums
from seuron.box import Box, triple
from seuron.commands.formatting import table
from seuron.engine.local import run_local
from seuron.params import parse_parameters
from seuron.pipelines.products.params import ProductsParams
from seuron.volumes import create_volume

REPEATS = 3


def load(path: Path, side: int) -> NDArray[np.uint64]:
    """A cube in the middle of the labels."""
    import crackle

    content = path.read_bytes()
    labels: NDArray[Any] = crackle.decompress(gzip.decompress(content) if path.suffix == ".gz" else content)
    size = [min(side, n) for n in labels.shape]
    cut = tuple(slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(labels.shape, size, strict=True))
    return np.asfortranarray(labels[cut], np.uint64)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def kernels(labels: NDArray[np.uint64], resolution: tuple[float, float, float]) -> Iterator[list[str]]:
    """Ours beside cc3d's on one array: the median of some rounds, all of one after the other in each."""
    import cc3d

    sums = segment_sums(labels)
    centres = sums.sums / sums.voxels[:, np.newaxis]
    work: dict[str, Callable[[], object]] = {
        "sums and boxes": lambda: segment_sums(labels),
        "voxels inside": lambda: nearest_voxels(labels, sums.ids, centres, resolution),
        "contacts": lambda: contact_faces(labels),
        "cc3d.contacts": lambda: cc3d.contacts(labels, connectivity=6, surface_area=True),
    }
    for name in ("voxels inside", "contacts"):
        work[name]()  # compiled now
    rounds = [{name: seconds(part) for name, part in work.items()} for _ in range(REPEATS)]
    for name in work:
        found = statistics.median(times[name] for times in rounds)
        yield [name, f"{found:.2f}", f"{labels.size / 1e6 / found:.0f}", ""]


def product(name: str, layer: str, output: str) -> tuple[float, float]:
    """Processor time of a run of one product, and GiB of memory at most; in a process of its own."""
    params = parse_parameters(ProductsParams, {"segmentation": layer, "output": output, "products": [name]})
    found = seconds(lambda: run_local(params))
    return found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--resolution", default="16,16,40")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--products", default="segment_table,contacts")
    given = parser.parse_args()
    x, y, z = (float(size) for size in given.resolution.split(","))
    labels = load(given.labels, given.side)
    rows = list(kernels(labels, (x, y, z)))
    with tempfile.TemporaryDirectory() as folder:
        box = Box.from_shape((0, 0, 0), triple(labels.shape))
        layer = create_volume(f"{folder}/labels", box, (x, y, z), dtype="uint64", kind="segmentation", pyramid=False)
        layer.write(box, labels)
        for name in given.products.split(","):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                found, memory = pool.submit(product, name, layer.path, f"{folder}/{name}").result()
            rows.append([f"run of {name}", f"{found:.2f}", f"{labels.size / 1e6 / found:.0f}", f"{memory:.1f}"])
    print(f"{labels.shape} {np.unique(labels).size} labels")
    print(table(["", "CPU-s", "Mvox/s", "GiB"], rows, right=range(1, 4)))


if __name__ == "__main__":
    main()

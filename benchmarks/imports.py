"""How fast `seuron import` is beside a plain copy loop of the libraries: `python benchmarks/imports.py [--gib 2]`.

The plain loop is what a person would write: h5py or tifffile reads 64 sections, cloud-volume writes them as raw blocks
of 64^3 voxels, one after the other, and the system flushes them to the disk at the end. It makes no pyramid and checks
nothing, and cannot be continued. An import flushes every block, and makes the pyramid as well; its copy is timed alone.

Both run in processes of their own, one after the other, on the same file of noise. Wall time, processor time of all
processes, and the largest sum of their memory (what is shared counts once: PSS) are printed. An import must reach half
of the loop's rate, in not more than 1 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

SECTION = 1024
RESOLUTION = (8.0, 8.0, 8.0)


def make_hdf5(path: Path, sections: int) -> str:
    import h5py

    with h5py.File(path, "w") as file:
        data = file.create_dataset("raw", (sections, SECTION, SECTION), "u1", chunks=(64, 64, 64))
        for z, block in _noise(sections):
            data[z : z + len(block)] = block
    return f"{path}:raw"


def make_tiff(path: Path, sections: int) -> str:
    import tifffile

    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for _, block in _noise(sections):
            for section in block:
                file.write(section, contiguous=True, photometric="minisblack")
    return str(path)


def _noise(sections: int) -> Iterator[tuple[int, Any]]:
    rng = np.random.default_rng(0)
    for z in range(0, sections, 64):
        yield z, rng.integers(0, 256, (min(64, sections - z), SECTION, SECTION), np.uint8)


def plain_copy(source: str, out: str) -> None:
    """The loop; the reader slices zyx."""
    import h5py
    import tifffile
    from cloudvolume import CloudVolume

    with h5py.File(source[:-4]) if source.endswith(":raw") else tifffile.TiffFile(source) as file:
        if isinstance(file, h5py.File):
            array: Any = file["raw"]
            shape, read = array.shape, lambda a, b: array[a:b]
        else:
            series = file.series[0]
            shape, read = series.shape, lambda a, b: file.asarray(range(a, b))
        info = CloudVolume.create_new_info(
            1, "image", "uint8", "raw", RESOLUTION, (0, 0, 0), shape[::-1], chunk_size=(64, 64, 64)
        )
        layer = CloudVolume(f"file://{out}", info=info, compress=False, progress=False)
        layer.commit_info()
        for z in range(0, shape[0], 64):
            block = read(z, min(z + 64, shape[0]))
            layer[:, :, z : z + len(block)] = block.T
    os.sync()


def seuron_import(source: str, out: str, workers: int) -> None:
    from seuron.volumes.volume_import import import_volume

    began, copied = time.perf_counter(), 0.0

    def note(what: str, done: int, total: int) -> None:
        nonlocal copied
        copied = time.perf_counter() - began if what == "copy" else copied

    import_volume(source, out, RESOLUTION, workers=workers, progress=note)
    print(json.dumps({"copy_s": copied}))


def measured(words: list[str]) -> dict[str, float]:
    """A command in a process of its own: seconds, processor seconds of it and its children, and peak memory in MiB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True)
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process, peak))
    watcher.start()
    out, _ = process.communicate()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{words} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "wall_s": time.perf_counter() - began,
        "cpu_s": cpu,
        "peak_mib": peak[0] / 2**20,
        **(json.loads(out) if out.strip() else {}),
    }


def _watch(process: subprocess.Popen[str], peak: list[int]) -> None:
    while process.poll() is None:
        total = 0
        try:
            parent = psutil.Process(process.pid)
            for each in (parent, *parent.children(recursive=True)):
                total += each.memory_full_info().pss
        except psutil.Error:
            continue
        peak[0] = max(peak[0], total)
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", default=None, help="where files are written; a temporary folder without it")
    given = parser.parse_args()
    sections = max(64, round(given.gib * 2**30 / SECTION**2))
    size = sections * SECTION**2 / 2**20
    print(f"{sections} sections of {SECTION} x {SECTION} uint8, {size:.0f} MiB; best of {given.repeats}\n")
    print("| source | what | MiB/s | MiB per processor second | peak MiB | of the loop's rate |")
    print("|---|---|---|---|---|---|")
    for name, make in (("HDF5", make_hdf5), ("TIFF", make_tiff)):
        _compare(name, make, sections, size, given)


def _compare(
    name: str, make: Callable[[Path, int], str], sections: int, size: float, given: argparse.Namespace
) -> None:
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        source = make(Path(folder) / ("v.h5" if name == "HDF5" else "v.tif"), sections)
        rows: dict[str, list[dict[str, float]]] = {}
        for _ in range(given.repeats):  # turn by turn, so that other work on the machine meets both
            for what, words in (
                ("plain loop", ["loop", source, f"{folder}/a"]),
                ("import, 1 process", ["import", source, f"{folder}/b", "1"]),
                (f"import, {given.workers} processes", ["import", source, f"{folder}/c", str(given.workers)]),
            ):
                rows.setdefault(what, []).append(measured(words))
                shutil.rmtree(words[2])
        loop = min(run["wall_s"] for run in rows["plain loop"])
        for what, runs in rows.items():
            best = min(runs, key=lambda run: run["wall_s"])
            copy = f" ({size / best['copy_s']:.0f} without the pyramid)" if "copy_s" in best else ""
            print(
                f"| {name} | {what} | {size / best['wall_s']:.0f}{copy} | {size / best['cpu_s']:.0f} | "
                f"{max(run['peak_mib'] for run in runs):.0f} | {loop / best['wall_s']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["loop"]:
        plain_copy(*sys.argv[2:])
    elif sys.argv[1:2] == ["import"]:
        seuron_import(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()

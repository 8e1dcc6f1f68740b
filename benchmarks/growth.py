"""Does the cost of a voxel grow with the volume? `benchmarks/growth.py MAKE_AFFINITIES.py LABELS.npy --blocks FOLDER`.

The first argument is the project's shared generator of affinity maps, the second a label volume
(X, Y, Z) of at least 512^3 voxels for it. Eight blocks of 256^3 are made from the middle of the labels,
as uint8, and kept in `--blocks`; volumes of 128^3, 256^3, 512^3 and 1024x1024x512 voxels are put
together from them, so that all hold the same tissue. Each is segmented as one chunk (up to 512^3) and
in chunks of 256^3. A Markdown table is printed: processor seconds per million voxels, and bytes a
voxel above the input, each from a process of its own. Another process has all the memory it needs before
it begins: the difference is what the system takes to hand memory out.
"""

from __future__ import annotations

import argparse
import platform
import resource
import runpy
from pathlib import Path
from typing import Any

import numpy as np
from kernels import RULES, THRESHOLD, in_process, keep_memory, reset_peak, status_bytes
from numpy.typing import NDArray

import abiss_py

Triple = tuple[int, int, int]
SHAPES: list[Triple] = [(128, 128, 128), (256, 256, 256), (512, 512, 512), (1024, 1024, 512)]
#: Voxels along the sides of the blocks that affinities are made in, and of the chunks.
BLOCK = CHUNK = 256
#: The largest volume that is also segmented as one chunk.
ONE_CHUNK = 512**3
#: Memory that a process needs if it gives nothing back, for each byte of the peak of one that does.
SPARE = 1.2


def make_blocks(generator: Path, labels: Path, folder: Path) -> None:
    """Make the eight blocks that are not in the folder yet, named by their corner in blocks."""
    make: Any = runpy.run_path(str(generator))["affinities"]
    volume = np.load(labels, mmap_mode="r")
    low = [n // 2 - BLOCK for n in volume.shape]
    folder.mkdir(parents=True, exist_ok=True)
    for seed, corner in enumerate(np.ndindex(2, 2, 2)):
        path = folder / "{}-{}-{}.npy".format(*corner)
        if path.exists():
            continue
        cut = tuple(slice(a + BLOCK * i, a + BLOCK * (i + 1)) for a, i in zip(low, corner, strict=True))
        block = make(np.asfortranarray(volume[cut]), seed, s0=4.3, s2=1.2, nsig=1.3, blob=2.5)
        np.save(path, np.asfortranarray(np.rint(block * 255).astype(np.uint8)))


def assembled(folder: Path, shape: Triple) -> NDArray[np.uint8]:
    """An affinity map (X, Y, Z, 3), Fortran order, of blocks side by side."""
    volume = np.empty((*shape, 3), np.uint8, order="F")
    for corner in np.ndindex(*(-(-n // BLOCK) for n in shape)):
        block = np.load(folder / "{}-{}-{}.npy".format(*(i % 2 for i in corner)), mmap_mode="r")
        high = [min(BLOCK * (i + 1), n) for i, n in zip(corner, shape, strict=True)]
        into = tuple(slice(BLOCK * i, b) for i, b in zip(corner, high, strict=True))
        volume[into] = block[tuple(slice(0, b - BLOCK * i) for i, b in zip(corner, high, strict=True))]
    return volume


def measure(folder: Path, shape: Triple, chunk: int | None, at_hand: int = 0) -> tuple[float, float, float, int]:
    """Processor seconds in the program and in the kernel, bytes a voxel above the input, and segments.

    With `at_hand`, the process has that many bytes of memory before, and the bytes a voxel mean nothing.
    """
    if at_hand:
        keep_memory()
    volume = assembled(folder, shape)
    abiss_py.segment(np.asfortranarray(volume[:32, :32, :32]), size=50, threshold=THRESHOLD, **RULES)
    np.empty(at_hand, np.uint8).fill(0)
    before = reset_peak()
    start = resource.getrusage(resource.RUSAGE_SELF)
    size = None if chunk is None else (chunk, chunk, chunk)
    found = abiss_py.segment(volume, size=50, threshold=THRESHOLD, chunk_size=size, **RULES)
    end = resource.getrusage(resource.RUSAGE_SELF)
    user, kernel = end.ru_utime - start.ru_utime, end.ru_stime - start.ru_stime
    above = status_bytes("VmHWM") - before
    return user, kernel, above / volume[..., 0].size, np.unique(found.segments).size - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generator", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--blocks", type=Path, required=True, help="folder for the blocks, 400 MB")
    parser.add_argument("--largest", type=int, default=1024**2 * 512, help="leave larger volumes out, voxels")
    arguments = parser.parse_args()
    make_blocks(arguments.generator, arguments.labels, arguments.blocks)
    print(f"{platform.processor() or platform.machine()}, numpy {np.__version__}\n")
    columns = ["volume", "chunks", "segments", "s a million voxels", "of that in the kernel"]
    columns += ["s with memory at hand", "bytes a voxel above the input"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for shape in SHAPES:
        voxels = int(np.prod(shape))
        for chunk in (None, CHUNK):
            if voxels > arguments.largest or (voxels > ONE_CHUNK if chunk is None else max(shape) <= chunk):
                continue
            user, kernel, above, segments = in_process(measure, arguments.blocks, shape, chunk)
            again = in_process(measure, arguments.blocks, shape, chunk, int(SPARE * above * voxels))
            name, cut = "x".join(map(str, shape)), "one" if chunk is None else f"{chunk}^3"
            seconds = (each / voxels * 1e6 for each in (user + kernel, kernel, again[0] + again[1]))
            row = [name, cut, str(segments), *(f"{each:.3f}" for each in seconds), f"{above:.0f}"]
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()

"""Compiling all kernels, once, by `python -m abiss_py.compilation`.

numba compiles a function when it is first called and keeps the machine code on disk ($NUMBA_CACHE_DIR, else beside
the source). From nothing that takes 50 seconds of processor time, so it is done by a process of its own, before
any process that has to answer in time. Where the machine code is kept already, calling this loads it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from abiss_py.constraints import parse_constraints
from abiss_py.contact_faces import contact_faces
from abiss_py.kernels.compile_events import on_compiled
from abiss_py.octree import segment
from abiss_py.segment_statistics import nearest_voxels, segment_sums


def load_kernels(show: Callable[[str], None] | None = None) -> int:
    """Compile what is not kept, load the rest, and return how many functions were compiled.

    `show` is given a line for each of them, with its seconds. Some voxels of each affinity type are segmented: the
    affinities are random, and cut into chunks, because some functions are only called where basins are absorbed, or
    where there is a seam; with rules, because others are called by these alone. Contacts and statistics of segments are
    counted as well.
    """
    semantic = np.asfortranarray(np.random.default_rng(1).integers(0, 3, (12, 12, 12), np.uint32))
    none: dict[str, Any] = {}
    all_rules = {
        "constraints": parse_constraints("abiss2026"),
        "class_names": ("axon", "dendrite"),
        "semantic": semantic,
    }
    noise = np.asfortranarray(np.random.default_rng(0).integers(0, 256, (12, 12, 12, 3), np.uint8))
    with _counted(show) as compiled:
        for affinities in (noise, np.asfortranarray(noise / np.float32(255))):
            for rules in (none, all_rules):
                segment(affinities, high=0.9, low=0.01, size=10, dust=2, threshold=0.2, chunk_size=(6, 6, 6), **rules)
            contact_faces(semantic, affinities=affinities)
        found = segment_sums(semantic)
        nearest_voxels(semantic, found.ids, found.sums / found.voxels[:, np.newaxis], (1.0, 1.0, 1.0))
    return len(compiled)


@contextmanager
def _counted(show: Callable[[str], None] | None) -> Iterator[list[str]]:
    """The names of the functions that are compiled meanwhile."""
    compiled: list[str] = []

    def count(name: str, seconds: float) -> None:
        compiled.append(name)
        if show is not None:
            show(f"{len(compiled)} compiled, the last in {seconds:.1f} s: {name}")

    with on_compiled(count):
        yield compiled


def main() -> None:
    """Compile, and print a line for each function."""
    began = time.monotonic()
    number = load_kernels(lambda line: print(line, flush=True))
    print(f"{number} kernels compiled in {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()

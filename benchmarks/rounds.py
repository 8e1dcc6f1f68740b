"""A graph too large for memory: `python benchmarks/rounds.py RUN --tiles 10 10 11 --memory 2 --folder SCRATCH`.

RUN is a finished run. Its region graph is repeated periodically in all three directions: the contacts
through its own six sides, which it does not have, are made of pairs of supervoxels that face each other
there. Sums vary from tile to tile, by a hash, so that no two tiles agglomerate alike.

The graph is written as tables once, and agglomerated in rounds within `--memory` GiB: the figure that counts
is the peak of the process that does it, of what it has for itself (`RssAnon`), and with the pages of files that the
system kept for it, since there was room. With `--limit` the system allows it no more than that in a memory cgroup,
files included (as root, where cgroups of version 1 are at /sys/fs/cgroup/memory). Prints the digest of the result,
to be compared with other memories.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import multiprocessing
import os
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from abiss_py import Contacts, affinity_type
from seuron.engine.run import Run
from seuron.pipelines.segmentation.analysis.stored_graph import region_graph
from seuron.pipelines.segmentation.estimates import contacts_that_fit
from seuron.pipelines.segmentation.external.rounds import Joining, final_names, finish_rounds, number_graph
from seuron.pipelines.segmentation.table_schemas import contacts_from, write_contacts
from seuron.storage import Storage
from seuron.storage.tables import GROUP_ROWS, Table, count_rows, read_groups
from seuron.volumes import open_volume

CGROUPS = Path("/sys/fs/cgroup/memory")
#: Sums of a tile's contacts are scaled by a factor between these, which stays below an affinity of 1.
FACTORS = (0.8, 1.0)


def tile_graph(run: Run) -> tuple[Contacts, list[Contacts], int]:
    """A run's contacts between supervoxels numbered from 1, those through its sides along x, y, z, and how many ids.

    A contact through a side is between a supervoxel of one tile (`a`) and one of the next (`b`).
    """
    graph = region_graph(run)
    volume = open_volume(run.layer("supervoxels")).read(run.facts.box)[..., 0]
    ids = np.unique(volume[volume > 0]).astype(np.int64)
    a, b = np.searchsorted(ids, graph.a) + 1, np.searchsorted(ids, graph.b) + 1
    inner = Contacts(a, b, graph.total, graph.count, graph.first)
    mean = np.sort(graph.total / graph.count)
    sides = []
    for axis in range(3):
        low, high = (np.searchsorted(ids, volume.take(i, axis=axis).ravel()) + 1 for i in (-1, 0))
        inside = (volume.take(-1, axis=axis).ravel() > 0) & (volume.take(0, axis=axis).ravel() > 0)
        pairs, first, count = np.unique(
            np.stack([low, high], axis=1)[inside], axis=0, return_index=True, return_counts=True
        )
        drawn = mean[np.random.default_rng(axis).integers(0, mean.size, len(pairs))]
        total = np.minimum((drawn * count).astype(np.int64), count * affinity_type(run.affinity_dtype).scale)
        sides.append(Contacts(pairs[:, 0], pairs[:, 1], total, count, first.astype(np.int64)))
    return inner, sides, int(ids.size)


def tables(run: Run, tiles: tuple[int, int, int]) -> Iterator[Contacts]:
    """The repeated graph, a table for each row of tiles along x."""
    inner, sides, nodes = tile_graph(run)
    edges = 3 * run.facts.box.voxels
    nx, ny, nz = tiles
    for z, y in itertools.product(range(nz), range(ny)):
        row = []
        for x in range(nx):
            number = x + nx * (y + ny * z)
            row.append(_moved(inner, number, number, nodes, edges))
            for axis, (size, at) in enumerate(((nx, x), (ny, y), (nz, z))):
                if at + 1 < size:
                    row.append(_moved(sides[axis], number, number + (1, nx, nx * ny)[axis], nodes, edges))
        yield Contacts.join(row)


def _moved(contacts: Contacts, tile: int, other: int, nodes: int, edges: int) -> Contacts:
    """Contacts between tiles: ids and edge indices are those of the tile, sums vary by a hash."""
    first = contacts.first + tile * edges
    noise = ((first * 0x9E3779B1 + contacts.a) & 0xFFFF) / 0xFFFF
    total = (contacts.total * (FACTORS[0] + (FACTORS[1] - FACTORS[0]) * noise)).astype(np.int64)
    return Contacts(contacts.a + tile * nodes, contacts.b + other * nodes, total, contacts.count, first)


def generate(run: Run, tiles: tuple[int, int, int], folder: Storage) -> None:
    names = []
    for number, table in enumerate(tables(run, tiles)):
        write_contacts(folder, f"contacts-{number}", table)
        names.append(f"contacts-{number}")
    nodes = tile_graph(run)[2] * int(np.prod(tiles))
    folder.put("graph.json", json.dumps({"tables": names, "nodes": nodes, "dtype": run.affinity_dtype}).encode())


class OwnMemory:
    """The most memory that this process had for itself, looked at ten times a second."""

    def __init__(self) -> None:
        self.peak = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            self.peak = max(self.peak, *(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))
            time.sleep(0.1)


def limit_memory(gib: float) -> None:
    """Let the system give this process no more memory than so much, pages of files included."""
    group = CGROUPS / f"seuron-rounds-{os.getpid()}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(int(gib * 2**30)))
    (group / "cgroup.procs").write_text(str(os.getpid()))


def node_pieces(nodes: int) -> Iterator[Table]:
    """Ids from 1 to `nodes`."""
    for start in range(1, nodes + 1, GROUP_ROWS):
        yield {"id": np.arange(start, min(start + GROUP_ROWS, nodes + 1))}


def agglomerate(folder: str, memory: float, threshold: float, limited: bool) -> None:
    """Agglomerate the tables of a folder within `memory` GiB, and print what it took."""
    if limited:
        limit_memory(memory)
    own, source = OwnMemory(), Storage(folder)
    facts = json.loads(source.get("graph.json") or b"{}")
    rows, nodes = sum(count_rows(source, name) for name in facts["tables"]), facts["nodes"]
    joining = Joining(threshold, affinity_type(facts["dtype"]).scale)
    fit = contacts_that_fit(memory)
    scratch = (Storage(f"{folder}/memory-{memory}/{i}") for i in itertools.count())
    start, cpu = time.perf_counter(), time.process_time()
    pieces = (contacts_from(group) for name in facts["tables"] for group in read_groups(source, name))
    graph = number_graph(next(scratch), node_pieces(nodes), nodes, pieces, joining.scale, rows, fit)
    print(f"{graph.rows} contacts of {nodes} supervoxels; {fit} fit into {memory} GiB", flush=True)
    for split in finish_rounds(graph, joining, fit, scratch):
        print(
            f"  round: {split.rows} contacts, {split.bins} bins down to {split.stop:.4f}, "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
    digest, renamed = hashlib.sha256(), 0
    for column in ("keys", "values"):
        renamed = 0
        for mapping in final_names(split, [split.storage] * split.bins):
            digest.update(getattr(mapping, column).tobytes())
            renamed += mapping.keys.size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, used = time.perf_counter() - start, time.process_time() - cpu
    print(
        f"memory {memory} GiB{', enforced' if limited else ''}: {wall:.0f} s, {used:.0f} s of processor time, "
        f"peak {own.peak / 2**20:.2f} GiB, with files {peak / 2**20:.2f} GiB, {nodes - renamed} segments, "
        f"result {digest.hexdigest()[:16]}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="the output folder of a finished run")
    parser.add_argument("--tiles", type=int, nargs=3, default=(10, 10, 11))
    parser.add_argument("--memory", type=float, nargs="+", default=[2.0, 8.0], help="GiB, each in a process of its own")
    parser.add_argument("--threshold", type=float, default=0.25)
    parser.add_argument("--limit", action="store_true", help="have the system enforce each memory")
    parser.add_argument("--folder", required=True, help="where the tables and the scratch files go")
    given = parser.parse_args()
    folder = Path(given.folder)
    if not (folder / "graph.json").exists():
        generate(Run.open(given.run), tuple(given.tiles), Storage(str(folder)))
    spawn = multiprocessing.get_context("spawn")
    for memory in given.memory:
        process = spawn.Process(target=agglomerate, args=(str(folder), memory, given.threshold, given.limit))
        process.start()
        process.join()


if __name__ == "__main__":
    main()

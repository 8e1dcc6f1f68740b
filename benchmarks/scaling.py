"""What large volumes would cost, by the records of a run: `python benchmarks/scaling.py RUN`.

RUN is a finished run on affinities with several leaf tasks. Its processor seconds and bytes a voxel, by
stage, are taken as they are; what goes up the octree is taken for each voxel of the faces of the boxes that
a merge joins, or of the lines on them, as `levels.py` measured it. Prints the tables of docs/scaling.md: for a cubic
millimetre of the size in arXiv 2106.10795 (ten million chunks of 256x256x512) and for a mouse brain, a
thousand times that.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from seuron.box import Box, Triple, triple
from seuron.engine.run import Run
from seuron.pipelines.segmentation import estimates
from seuron.pipelines.segmentation.estimates import BYTES_PER_CONTACT
from seuron.pipelines.segmentation.plan import MERGE_SIDE
from seuron.storage import local_folder

CHUNK = (256, 256, 512)
#: Chunks along each axis: ten million, and a thousand times that.
VOLUMES: dict[str, Triple] = {"cubic millimetre": (216, 216, 214), "mouse brain": (2160, 2160, 2140)}
BATCH = 8
#: Contacts of a node in a region graph.
CONTACTS_PER_NODE = 6
#: Bytes of disk for each node while a graph is split: edge ends, root, inner edges, bin.
DISK_PER_NODE = 24


def stored(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Tier:
    """One tier of merges: how many, what comes into the largest of them, and what it takes in the watershed."""

    name: str
    tasks: int
    watershed_bytes: int
    contacts: float = 0.0


def tiers_of(chunks: Triple) -> list[Tier]:
    """The seams and lines between leaves, then the merges up to the root."""
    grid = triple([-(-n // BATCH) for n in chunks])
    leaf = side = triple([c * BATCH for c in CHUNK])
    box = Box.from_shape((0, 0, 0), leaf)
    tiers = [
        Tier("leaves", math.prod(grid), estimates.of_watershed_leaf(box, CHUNK).memory_bytes),
        Tier("seams", math.prod(grid), estimates.of_seams(box).memory_bytes),
        Tier("lines", math.prod(grid), estimates.of_lines(box).memory_bytes),
    ]
    while math.prod(grid) > 1:
        parts = [Box.from_shape((0, 0, 0), side)] * math.prod(min(MERGE_SIDE, n) for n in grid)
        memory = estimates.of_watershed_merge(parts, leaf, lines_are_closed=True).memory_bytes
        side = triple([s * min(MERGE_SIDE, n) for s, n in zip(side, grid, strict=True)])
        grid = triple([-(-n // MERGE_SIDE) for n in grid])
        tiers.append(Tier(f"merge {len(tiers) - 2}", math.prod(grid), memory, estimates.contacts_waiting(parts)))
    return tiers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="the output folder of a finished run")
    run = Run.open(parser.parse_args().run)
    folder = local_folder(run.output)
    assert folder is not None, "the run lies on this machine"
    voxels = run.facts.box.voxels
    seconds: dict[str, float] = {}
    for record in run.records():
        if record.stage != "report":
            seconds[record.stage] = seconds.get(record.stage, 0) + record.cpu_seconds
    print("| stage | processor seconds a million voxels |\n|---|---|")
    for stage, total in seconds.items():
        print(f"| {stage} | {total / voxels * 1e6:.4f} |")
    parts = ("objects", "supervoxels", "segmentation")
    written = {part: stored(folder / part) / voxels for part in parts}
    print("\n| | bytes a voxel |\n|---|---|")
    for part, each in written.items():
        print(f"| {part} | {each:.2f} |")

    print(
        "\n| volume | voxels | watershed tasks by tier | core-hours, all stages | affinities read (uint8) | written |"
    )
    print("|---|---|---|---|---|---|")
    for name, chunks in VOLUMES.items():
        total = math.prod(chunks) * math.prod(CHUNK)
        hours = sum(seconds.values()) / voxels * total / 3600
        tiers = tiers_of(chunks)
        tasks = ", ".join(str(tier.tasks) for tier in tiers)
        print(
            f"| {name} | {total:.2g} | {tasks} | {hours:.2g} | {3 * total / 1e15:.2g} PB "
            f"| {sum(written.values()) * total / 1e15:.2g} PB |"
        )
    print("\n| volume | tier | watershed memory | contacts in | disk for its nodes | bins of 4 GiB |")
    print("|---|---|---|---|---|---|")
    for name, chunks in VOLUMES.items():
        for tier in tiers_of(chunks):
            bins = math.ceil(tier.contacts * BYTES_PER_CONTACT / 2**32)
            nodes = tier.contacts / CONTACTS_PER_NODE * DISK_PER_NODE
            print(
                f"| {name} | {tier.name} | {tier.watershed_bytes / 1e9:.2g} GB "
                f"| {tier.contacts:.1e} | {nodes / 1e9:.0f} GB | {bins} |"
            )


if __name__ == "__main__":
    main()

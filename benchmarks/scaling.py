"""What large volumes would cost, by the records of a run: `python benchmarks/scaling.py RUN`.

RUN is a finished run on affinities with several leaf tasks. Its processor seconds and bytes a voxel, by
stage, are taken as they are; what goes up the octree is taken for each voxel of the faces of the boxes that
a merge joins, as `levels.py` measured it. Prints the tables of docs/scaling.md: for a cubic
millimetre of the size in arXiv 2106.10795 (ten million chunks of 256x256x512) and for a mouse brain, a
thousand times that.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from seuron.box import Box
from seuron.planning.segmentation import (
    BYTES_PER_CLUSTER,
    BYTES_PER_CONTACT,
    BYTES_PER_NODE,
    CLUSTERS_PER_FACE_VOXEL,
    CONTACTS_PER_FACE_VOXEL,
    MERGE_SIDE,
    face_area,
)
from seuron.runs import Run
from seuron.storage import local_folder

CHUNK = (256, 256, 512)
#: Chunks along each axis: ten million, and a thousand times that.
VOLUMES = {"cubic millimetre": (216, 216, 214), "mouse brain": (2160, 2160, 2140)}
BATCH = 8
#: Contacts of a node in a region graph.
CONTACTS_PER_NODE = 6


def stored(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def merges(chunks: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """For each tier: how many tasks, the clusters that go into its largest merge, and the contacts."""
    grid = tuple(-(-n // BATCH) for n in chunks)
    side = tuple(c * BATCH for c in CHUNK)
    tiers = [(math.prod(grid), 0, 0)]
    while math.prod(grid) > 1:
        children = math.prod(min(MERGE_SIDE, n) for n in grid)
        area = children * face_area(Box.from_shape((0, 0, 0), side))
        tiers.append(
            (
                math.prod(-(-n // MERGE_SIDE) for n in grid),
                int(area * CLUSTERS_PER_FACE_VOXEL),
                int(area * CONTACTS_PER_FACE_VOXEL),
            )
        )
        side = tuple(s * min(MERGE_SIDE, n) for s, n in zip(side, grid, strict=True))
        grid = tuple(-(-n // MERGE_SIDE) for n in grid)
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
        tasks = ", ".join(str(tier[0]) for tier in merges(chunks))
        print(
            f"| {name} | {total:.2g} | {tasks} | {hours:.2g} | {3 * total / 1e15:.2g} PB "
            f"| {sum(written.values()) * total / 1e15:.2g} PB |"
        )
    print("\n| volume | merge tier | clusters in | watershed memory | contacts in | to split them | bins of 4 GiB |")
    print("|---|---|---|---|---|---|---|")
    for name, chunks in VOLUMES.items():
        for tier, (_, clusters, contacts) in enumerate(merges(chunks)[1:], start=1):
            bins = -(-contacts * BYTES_PER_CONTACT // 2**32)
            nodes = contacts // CONTACTS_PER_NODE * BYTES_PER_NODE
            print(
                f"| {name} | {tier} | {clusters:.1e} | {clusters * BYTES_PER_CLUSTER / 1e9:.0f} GB | {contacts:.1e} "
                f"| {nodes / 1e9:.0f} GB | {bins} |"
            )


if __name__ == "__main__":
    main()

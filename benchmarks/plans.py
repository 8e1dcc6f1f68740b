"""What plans cost: `python benchmarks/plans.py`.

Opens runs of about ten and of about ten million tasks, and in each of them a merge, a leaf and a task that writes
labels, with all that these read: processor time and memory above what the imports take. Then prepares a cubic
millimetre of 19,683 leaves, from its parameters to the run that is written down. Every figure is from a process of its
own.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHUNK = 64
#: Leaves along each axis, for about ten tasks and for about ten million.
SIDES = {"about 10": 1, "about 10 million": 118}
#: Chunks of the cubic millimetre in arXiv 2106.10795, and their size in voxels.
MILLIMETRE, MILLIMETRE_CHUNK = (216, 216, 214), (256, 256, 512)


def memory() -> int:
    """Resident bytes of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def params_of(output: str, affinities: str, chunk: tuple[int, int, int], batch: int) -> Any:
    from seuron.pipelines.segmentation.params import SegmentationParams

    return SegmentationParams(
        output=output, affinities=affinities, chunk_size=chunk, batch_chunks=batch, task_memory=16.0
    )


def write(output: str, side: int) -> None:
    """A run of `side`^3 leaves whose keys are all zero: what opening costs does not depend on them."""
    from seuron.box import Box
    from seuron.engine.keys import Keys
    from seuron.engine.registry import pipeline_named
    from seuron.engine.run import Run
    from seuron.pipelines.segmentation.facts import VolumeFacts

    box = Box((0, 0, 0), (side * CHUNK,) * 3)
    scales = {"supervoxels": 3, "segmentation": 3}
    facts = VolumeFacts(box=box, resolution_nm=(8.0, 8.0, 8.0), dtype="uint8", scales=scales)
    run = Run(pipeline_named("segmentation"), params_of(output, "/none", (CHUNK,) * 3, 1), facts)
    run.__dict__["keys"] = Keys(run.plan, bytes(Keys(run.plan).size))
    run.save()


def open_one(output: str) -> None:
    """Print the tasks of a run, and what opening it and three of its tasks took: seconds and bytes."""
    from seuron.engine import execute  # noqa: F401  # what every task loads
    from seuron.engine.keys import settings_of
    from seuron.engine.registry import pipeline_named
    from seuron.engine.run import Run

    pipeline_named("segmentation")
    before, held = time.process_time(), memory()
    run = Run.open(output)
    for stage in ("watershed", "agglomeration", "labels"):
        tier = run.plan.stage(stage).tiers[-2 if stage == "watershed" and len(run.plan.stage(stage).tiers) > 1 else 0]
        found = run.plan.find(tier[len(tier) // 2].id)
        assert found is not None
        run.keys.of(found)
        settings_of(run, found)
        list(run.reads(found))
    print(json.dumps([len(run.plan.tasks), time.process_time() - before, memory() - held]))


def prepare() -> None:
    """Print the tasks of a cubic millimetre, and what preparing it took: seconds and bytes."""
    from seuron.box import Box
    from seuron.engine.setup import prepare_run
    from seuron.volumes.precomputed import volume_info, write_info

    folder = tempfile.mkdtemp()
    shape = [n * c for n, c in zip(MILLIMETRE, MILLIMETRE_CHUNK, strict=True)]
    info = volume_info(Box.from_shape((0, 0, 0), shape), (4.0, 4.0, 40.0), dtype="uint8", channels=3, pyramid=False)
    info["scales"][0]["sharding"] = {
        "@type": "neuroglancer_uint64_sharded_v1",
        "preshift_bits": 9,
        "minishard_bits": 6,
        "shard_bits": 15,
        "hash": "identity",
        "minishard_index_encoding": "gzip",
        "data_encoding": "gzip",
    }
    write_info(f"{folder}/affinities", info)
    # In memory, as no disk here has the space that is asked for.
    run = prepare_run(params_of("mem://benchmark/run", f"{folder}/affinities", MILLIMETRE_CHUNK, 8))
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps([len(run.plan.tasks), used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]))


def in_process(*words: str) -> Any:
    """What this script prints when it is called with these words."""
    found = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
    return json.loads(found.stdout.splitlines()[-1])


def main() -> None:
    if len(sys.argv) > 1:
        return {"write": write_words, "open": open_one, "prepare": prepare}[sys.argv[1]](*sys.argv[2:])
    print("| run | tasks | processor s | MiB |\n|---|---|---|---|")
    for name, side in SIDES.items():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, __file__, "write", folder, str(side)], check=True)
            tasks, seconds, held = in_process("open", folder)
        print(f"| open one task of {name} | {tasks:,} | {seconds:.3f} | {held / 2**20:.1f} above imports |")
    tasks, seconds, held = in_process("prepare")
    print(f"| prepare a cubic millimetre | {tasks:,} | {seconds:.1f} | {held / 2**20:.0f} in all |")


def write_words(output: str, side: str) -> None:
    write(output, int(side))


if __name__ == "__main__":
    main()

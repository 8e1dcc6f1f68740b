"""A chunk as tasks, all in: `python benchmarks/task.py AFFINITIES.npy [--dtype uint8] [--size 50]`.

The map (X, Y, Z, 3) is stored as a precomputed volume and segmented by a run of one chunk, each run in a
fresh process with kernels compiled before: start, imports, reading, computing and writing all count.
Prints processor seconds by stage and of the whole process, and bytes read and written per voxel.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from kernels import load

from seuron.box import Box
from seuron.engine.run import Run
from seuron.volumes import create_volume

SCRIPT = """
import json, resource, sys
from seuron.engine.local import run_local
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.params import parse_parameters
run_local(parse_parameters(SegmentationParams, json.loads(sys.argv[1])))
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
"""


def stored(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("affinities", type=Path)
    parser.add_argument("--dtype", choices=("uint8", "float32"), default="uint8")
    parser.add_argument("--size", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    affinities = load(given.affinities, given.dtype)
    shape = affinities.shape[:3]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        box = Box.from_shape((0, 0, 0), shape)
        volume = create_volume(
            str(folder / "affinities"), box, (8, 8, 40), dtype=given.dtype, channels=3, pyramid=False
        )
        volume.write(box, affinities)
        rows = []
        for number in range(1 + given.repeats):
            output = folder / f"run-{number}"
            values = {"affinities": volume.path, "output": str(output), "chunk_size": shape}
            values |= {"watershed_size": given.size, "watershed_dust": 50}
            command = [sys.executable, "-c", SCRIPT, json.dumps(values)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            by_stage: dict[str, float] = {"whole process": float(printed[0]), "peak GiB": float(printed[1]) / 2**30}
            for record in Run.open(str(output)).records():
                by_stage[record.stage] = by_stage.get(record.stage, 0) + record.cpu_seconds
            rows.append(by_stage)
        voxels = int(np.prod(shape))
        for stage in rows[-1]:
            print(f"{stage}: {statistics.median(row[stage] for row in rows[1:]):.2f}")
        print(f"bytes a voxel read: affinities {stored(folder / 'affinities') / voxels:.2f} (stored)")
        for part in ("objects", "supervoxels", "segmentation"):
            print(f"bytes a voxel written: {part} {stored(output / part) / voxels:.2f}")


if __name__ == "__main__":
    main()

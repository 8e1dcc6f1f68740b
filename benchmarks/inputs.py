"""A run on each format of its input: `python benchmarks/inputs.py AFFINITIES.npy [--repeats 5]`.

The map (X, Y, Z, 3) is stored as uint8, as a precomputed volume, as OME-Zarr with chunks and with shards, as Zarr 2
with blosc, and as N5, with blocks of 64^3; each is segmented by a run of four chunks along x and y, in a process of its
own, in turn. Prints processor seconds of the whole process and of reading alone, the medians, and the run's over that
on the precomputed volume.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore
import zarr
from kernels import load
from numpy.typing import NDArray
from task import SCRIPT

from seuron.box import Box, triple
from seuron.volumes import create_volume, open_volume

RESOLUTION = (8.0, 8.0, 40.0)


def store_all(folder: Path, voxels: NDArray[np.uint8]) -> dict[str, str]:
    """The map in every format, by name."""
    box = Box.from_shape((0, 0, 0), triple(voxels.shape[:3]))
    layers: dict[str, dict[str, Any]] = {
        "precomputed, raw": {"shard_above": 0},
        "OME-Zarr 0.5, zstd": {"layer_format": "ome-zarr", "shard_above": 0},
        "OME-Zarr 0.5, uncompressed": {"layer_format": "ome-zarr", "encoding": "raw", "shard_above": 0},
        "OME-Zarr 0.5, shards of zstd": {"layer_format": "ome-zarr", "shard_above": 1},
    }
    found = {}
    for number, (name, form) in enumerate(layers.items()):
        layer = create_volume(f"{folder}/{number}", box, RESOLUTION, dtype="uint8", channels=3, pyramid=False, **form)
        layer.write(box, voxels)
        found[name] = layer.path
    found["Zarr 2, blosc"] = _zarr2(folder / "zarr2", voxels)
    found["N5, gzip"] = _n5(folder / "n5", voxels)
    return found


def _zarr2(path: Path, voxels: NDArray[np.uint8]) -> str:
    array = zarr.create_array(path, shape=voxels.T.shape, chunks=(3, 64, 64, 64), dtype="u1", zarr_format=2)
    array[...] = voxels.T
    array.attrs.update({"axes": "czyx", "resolution": [40, 8, 8], "units": "nm"})
    return str(path)


def _n5(path: Path, voxels: NDArray[np.uint8]) -> str:
    metadata = {"dimensions": list(voxels.shape), "blockSize": [64, 64, 64, 3], "dataType": "uint8"}
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{path}/"}}
    spec["metadata"] = {**metadata, "compression": {"type": "gzip"}}
    tensorstore.open(spec, create=True).result()[...] = voxels
    document = path / "attributes.json"
    document.write_text(json.dumps(json.loads(document.read_text()) | {"resolution": [8, 8, 40], "units": "nm"}))
    return str(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("affinities", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    voxels = load(given.affinities, "uint8")
    shape = voxels.shape[:3]
    runs: dict[str, list[float]] = {}
    reads: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        inputs = store_all(Path(name), voxels)
        for number in range(1 + given.repeats):  # the first compiles, and is left out
            for form, path in inputs.items():
                output = f"{name}/run-{number}-{form.replace(' ', '')}"
                values = {"affinities": path, "output": output, "watershed_size": 50}
                values["chunk_size"] = [-(-shape[0] // 2), -(-shape[1] // 2), shape[2]]
                command = [sys.executable, "-c", SCRIPT, json.dumps(values)]
                printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
                volume = open_volume(path)
                start = time.process_time()
                volume.read(volume.box)
                if number:
                    runs.setdefault(form, []).append(float(printed[0]))
                    reads.setdefault(form, []).append(time.process_time() - start)
    print("| input | processor seconds of the run | over precomputed | of reading it once |\n| --- | --- | --- | --- |")
    first = statistics.median(runs["precomputed, raw"])
    for form in runs:
        seconds, read = statistics.median(runs[form]), statistics.median(reads[form])
        print(f"| {form} | {seconds:.2f} | {seconds / first:.3f} | {read:.3f} |")


if __name__ == "__main__":
    main()

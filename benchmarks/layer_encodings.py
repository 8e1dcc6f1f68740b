"""Layers in every format and encoding: `python benchmarks/layer_encodings.py LABELS.ckl IMAGE.h5:raw`.

Labels are a crackle file (X, Y, Z), images HDF5 arrays (Z, Y, X); a cube of `--side` voxels in the middle is written in
blocks of 64^3 and read again, `--repeats` times. Bytes a voxel as they lie on disk, million voxels a second of
processor time, the median; one thread encodes. `--shards` puts as many blocks as fit into a file.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, triple
from seuron.volumes import create_volume, open_volume
from seuron.volumes.layouts import LAYER_ENCODINGS
from seuron.volumes.precomputed_checks import ENCODINGS, codec_problem
from seuron.volumes.volume import Kind


def load(path: str) -> NDArray[Any]:
    """A file's array as (X, Y, Z), labels in the type that the file has."""
    if path.endswith(".ckl"):
        import crackle

        labels: NDArray[Any] = crackle.decompress(Path(path).read_bytes())
        return labels
    import h5py

    name, _, dataset = path.rpartition(":")
    with h5py.File(name) as file:
        image: NDArray[Any] = file[dataset][...]
    return image.transpose(2, 1, 0)


def middle(voxels: NDArray[Any], side: int) -> NDArray[Any]:
    size = [min(side, n) for n in voxels.shape]
    cut = tuple(slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(voxels.shape, size, strict=True))
    part = np.asfortranarray(voxels[cut])
    return part if part.dtype == np.uint8 else part.astype(np.uint64)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def rows(name: str, voxels: NDArray[Any], repeats: int, shard_above: int) -> Iterator[list[str]]:
    kind: Kind = "image" if voxels.dtype == np.uint8 else "segmentation"
    box = Box.from_shape((0, 0, 0), triple(voxels.shape))
    for layer_format, kinds in LAYER_ENCODINGS.items():
        for encoding in kinds[kind]:
            if encoding in ENCODINGS and layer_format == "precomputed" and codec_problem(encoding):
                yield [name, layer_format, encoding, "not installed", "", ""]
                continue
            writes, reads = [], []
            for _ in range(repeats):
                with tempfile.TemporaryDirectory() as folder:
                    layer = create_volume(
                        folder,
                        box,
                        (8.0, 8.0, 40.0),
                        dtype=str(voxels.dtype),
                        kind=kind,
                        pyramid=False,
                        layer_format=layer_format,
                        encoding=encoding,
                        shard_above=shard_above,
                    )
                    writes.append(seconds(lambda layer=layer: layer.write(box, voxels)))
                    size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
                    again = open_volume(folder)
                    reads.append(seconds(lambda again=again: again.read(box)))
            speed = (f"{voxels.size / 1e6 / statistics.median(found):.0f}" for found in (writes, reads))
            yield [name, layer_format, encoding, f"{size / voxels.size:.3f}", *speed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shards", action="store_true")
    given = parser.parse_args()
    print("| volume | format | encoding | bytes a voxel | written, Mvox/s | read, Mvox/s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for source in given.sources:
        voxels = middle(load(source), given.side)
        for row in rows(Path(source).name, voxels, given.repeats, 1 if given.shards else 0):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()

"""How fast an image becomes affinities, from volume to volume, and what of that is the net.

    python benchmarks/inference.py --shape 512 512 256 --workers 2
    python benchmarks/inference.py --shape 256 256 128 --workers 2 patch_size=auto engine=openvino

A synthetic image like FIB-25 is stored, an inference runs over it, and its records are added up: wall time from the
first task's begin to the last one's end, processor time, and the net's share. Code that has no pipeline of that name
runs the affinities of a segmentation, with the same parameters, so that two versions can be compared.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from seuron.box import Box
from seuron.engine.local import run_local
from seuron.engine.registry import pipeline_named, pipeline_names
from seuron.engine.run import Run
from seuron.params import parse_parameters
from seuron.synth import synthesize
from seuron.volumes import create_volume

#: Voxels of the tissue that is made; it is repeated, mirrored, as far as the image goes.
TILE = (128, 128, 128)
NET_STAGES = ("predict", "affinities")


def write_image(path: Path, shape: tuple[int, int, int]) -> str:
    """An image of synthetic tissue, 10 nm a voxel."""
    tissue = synthesize(TILE, 5).image
    image = np.pad(tissue, [(0, max(0, n - t)) for n, t in zip(shape, TILE, strict=True)], mode="symmetric")
    box = Box((0, 0, 0), shape)
    volume = create_volume(str(path), box, (10.0, 10.0, 10.0), dtype="uint8", pyramid=False)
    volume.write(box, np.asfortranarray(image[tuple(slice(n) for n in shape)]))
    return volume.path


def run_net(image: str, output: Path, workers: int, settings: dict[str, Any]) -> Run:
    """An inference; of code without one, a segmentation, whose further stages are not counted."""
    name = "inference" if "inference" in pipeline_names() else "segmentation"
    params = parse_parameters(pipeline_named(name).params, {"image": image, "output": str(output), **settings})
    return run_local(params, workers=workers)


def figures(run: Run, with_pyramid: bool) -> dict[str, float]:
    """What the tasks of the net took, with the pyramid of their layers if asked for."""
    stages = (*NET_STAGES, *(["pyramid"] if with_pyramid else []))
    records = [
        record
        for record in run.records()
        if record.stage in stages
        and (record.stage != "pyramid" or "supervoxels" not in record.task_id)
        and "segmentation" not in record.task_id
    ]
    net, net_cpu = (sum(r.counts.get(name, 0.0) for r in records) for name in ("net_seconds", "net_cpu_seconds"))
    seconds, cpu = (sum(getattr(record, name) for record in records) for name in ("seconds", "cpu_seconds"))
    voxels = run.facts.box.voxels
    wall = max(record.ended for record in records) - min(record.started for record in records)
    return {
        "Mvox/s": voxels / wall / 1e6,
        "wall s": wall,
        "CPU s": cpu,
        "Mvox per CPU s": voxels / cpu / 1e6,
        "net's share of the time %": 100 * net / seconds,
        "overhead on the net's CPU time %": 100 * (cpu - net_cpu) / net_cpu if net_cpu else float("nan"),
        "voxels computed for one": sum(r.counts.get("net_voxels", 0) for r in records) / voxels or float("nan"),
    }


def main() -> None:
    """Print the figures of one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 256))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep image and run here")
    parser.add_argument("settings", nargs="*", help="key=value parameters of the run")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp())
    settings = dict(setting.split("=", 1) for setting in arguments.settings)
    try:
        image = write_image(folder / "image", tuple(arguments.shape))
        started = time.perf_counter()
        run = run_net(image, folder / f"run-{time.time():.0f}", arguments.workers, settings)
        print(f"{tuple(arguments.shape)}, {arguments.workers} workers, {json.dumps(settings)}")
        for title, with_pyramid in (("net's stage", False), ("with the pyramid", True)):
            shown = ", ".join(f"{value:.3g} {name}" for name, value in figures(run, with_pyramid).items())
            print(f"{title}: {shown}")
        print(f"all of the run, its report too: {time.perf_counter() - started:.1f} s")
        print(f"chosen: {getattr(run.facts, 'prediction', None)}")
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()

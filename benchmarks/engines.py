"""How fast each engine runs a net: Mvox per core-second by patch, the shipped net's and the petascale paper's.

    python -m benchmarks.engines [--net shipped paper] [--engine torch onnx openvino] [--precision fp32 bf16]
                                 [--patch 96,96,96 ...] [--seconds 2]

One thread; process CPU time, the best of the runs that fit into `--seconds`. The paper's net has weights of no meaning.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from seuron.errors import SeuronError
from seuron.nets.engines import ENGINES, Engine, load_engine
from seuron.nets.engines.processor import hardware_bf16
from seuron.nets.models.description import Channel, ModelDescription, OutputLayer, PatchShapes
from seuron.nets.models.own_format import Weights, write_own

PATCHES = {"shipped": ("64,64,64", "96,96,96", "160,160,32"), "paper": ("128,128,20", "192,192,20", "256,256,20")}


def paper_net(folder: Path) -> Path:
    """The affinity net of Macrina et al. 2021: 28-36-48-64-80 wide, with BatchNorm in place of InstanceNorm."""
    from seuron.nets.architectures import build

    network = {"kind": "residual-unet", "widths": [28, 36, 48, 64, 80], "inputs": 1, "outputs": 3, "norm": "batch"}
    arrays = {name: tensor.numpy() for name, tensor in build(network).state_dict().items()}
    channels = tuple(Channel(name=f"affinity-{axis}") for axis in "xyz")
    described = ModelDescription(
        name="paper",
        axes="bczyx",
        resolutions_nm=((8, 8, 40),),
        patch=PatchShapes(default=(256, 256, 20), granularity=(16, 16, 1), minimum=(16, 16, 4)),
        outputs=(OutputLayer(name="affinities", channels=channels, activation="sigmoid"),),
    )
    path = folder / "paper.safetensors"
    write_own(path, Weights(described, network, arrays, {}))
    return path


def speed(engine: Engine, patch: tuple[int, ...], seconds: float) -> float:
    """Mvox per core-second of the fastest run."""
    batch = np.random.default_rng(0).standard_normal((1, 1, *patch)).astype(np.float32)
    engine.run(batch)
    best, until = float("inf"), time.process_time() + seconds
    while best == float("inf") or time.process_time() < until:
        begun = time.process_time()
        engine.run(batch)
        best = min(best, time.process_time() - begun)
    return float(np.prod(patch)) / best / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=("shipped", "paper"), nargs="+", default=["shipped", "paper"])
    parser.add_argument("--precision", nargs="+", default=["fp32", *(["bf16"] if hardware_bf16() else [])])
    parser.add_argument("--engine", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--patch", nargs="+", help="x,y,z voxels; several")
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for net in given.net:
            model = "boundary-fib25" if net == "shipped" else paper_net(Path(folder))
            patches = [tuple(map(int, text.split(","))) for text in given.patch or PATCHES[net]]
            print(f"| {net} | {' | '.join('x'.join(map(str, patch)) for patch in patches)} |")
            for precision in given.precision:
                for name in given.engine:
                    try:
                        engine = load_engine(model, name, precision, "cpu", 1)
                    except SeuronError as error:
                        print(f"| {name} {precision} | {error} |")
                        continue
                    found = [f"{speed(engine, patch, given.seconds):.2f}" for patch in patches]
                    print(f"| {name} {precision} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()

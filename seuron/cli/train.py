"""`seuron train`: a boundary net from volumes with labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seuron.cli.output import echo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from seuron.nets.training_data import TrainingVolume

#: What label 0 may mean.
_ZERO = ("boundary", "unknown")


def train(
    out: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="weights to write, a run's model=")],
    volume: Annotated[
        list[str] | None,
        typer.Option(
            "--volume",
            metavar="IMAGE,LABELS",
            help="an image and its labels: precomputed layers, or FILE.h5:dataset; may be repeated",
        ),
    ] = None,
    synthetic: Annotated[int, typer.Option(min=0, help="synthetic volumes to train on as well")] = 0,
    synthetic_shape: Annotated[str, typer.Option(help="their voxels, x,y,z")] = "192,192,128",
    resolution: Annotated[str, typer.Option(help="nm of a voxel, x,y,z")] = "10,10,10",
    zero: Annotated[str, typer.Option(help="what label 0 means: boundary, or unknown (left out)")] = "boundary",
    steps: Annotated[int, typer.Option(min=1, help="optimiser steps")] = 1500,
    seed: Annotated[int, typer.Option(min=0, help="fixes everything random")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="processor threads")] = 1,
) -> None:
    """Train a boundary net on volumes with labels, and write its weights."""
    import logging

    from seuron.commands.argument_types import three_numbers, three_sizes
    from seuron.errors import ParameterErrors
    from seuron.nets.checkpoint import save_checkpoint
    from seuron.nets.training import TrainingConfig
    from seuron.nets.training import train as train_net

    problems = [] if out.suffix == ".safetensors" else [f"OUT: got {out}; weights are written as .safetensors"]
    if zero not in _ZERO:
        problems.append(f"--zero: got {zero!r}; allowed are {' and '.join(_ZERO)}")
    if not volume and not synthetic:
        problems.append("no volumes; give --volume IMAGE,LABELS or --synthetic N")
    if problems:
        raise ParameterErrors(problems)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    voxel = three_numbers(resolution, "--resolution")
    volumes = [_labelled(words, voxel, zero) for words in volume or []]
    volumes += _synthetic(synthetic, three_sizes(synthetic_shape, "--synthetic-shape"), voxel, seed)
    result = train_net(TrainingConfig(volumes, steps=steps, seed=seed, threads=threads))
    last = result.losses[-50:]
    loss = sum(last) / len(last)
    record = {"recipe": result.config.record(), "cpu_seconds": round(result.cpu_seconds), "final_loss": loss}
    save_checkpoint(out, result.net, record)
    echo(f"wrote {out}: {result.cpu_seconds:.0f} CPU-s, loss {loss:.4f}")


def _labelled(words: str, resolution: tuple[float, float, float], zero: str) -> TrainingVolume:
    """The training volume of `IMAGE,LABELS`."""
    import numpy as np

    from seuron.errors import ParameterErrors
    from seuron.nets.training_data import TrainingVolume

    image, comma, labels = words.partition(",")
    if not comma or not labels:
        raise ParameterErrors([f"--volume: got {words!r}; give IMAGE,LABELS"])
    return TrainingVolume(
        image,
        _read(image).astype(np.uint8, copy=False),
        _read(labels).astype(np.uint32, copy=False),
        resolution,
        "boundary" if zero == "boundary" else "unknown",
    )


def _read(source: str) -> NDArray[np.generic]:
    """A whole array (X, Y, Z), from HDF5 or a precomputed layer."""
    from seuron.nets.training_data import read_hdf5
    from seuron.volumes import open_volume

    if source.rpartition(":")[0].endswith((".h5", ".hdf5", ".hdf")):
        return read_hdf5(source)
    layer = open_volume(source)
    return layer.read(layer.box)[..., 0]


def _synthetic(
    number: int, shape: tuple[int, int, int], resolution: tuple[float, float, float], seed: int
) -> list[TrainingVolume]:
    if not number:
        return []
    from seuron.nets.training_data import TrainingVolume
    from seuron.synth import synthesize

    made = []
    for offset in range(number):
        volume = synthesize(shape, seed + offset, resolution=resolution)
        made.append(TrainingVolume(f"synthetic {seed + offset}", volume.image, volume.labels, resolution))
    return made

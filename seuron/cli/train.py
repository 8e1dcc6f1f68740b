"""`seuron train`: a boundary net from volumes with labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seuron.cli.output import echo

if TYPE_CHECKING:
    from seuron.training.file import TrainingFile


def train(
    what: Annotated[
        Path,
        typer.Argument(metavar="FILE.toml|OUT.safetensors", help="a training file, or the model to write by options"),
    ],
    volume: Annotated[
        list[str] | None,
        typer.Option(
            "--volume",
            metavar="IMAGE,LABELS",
            help="an image and its labels: layers, or FILE.h5:dataset; may be repeated",
        ),
    ] = None,
    validation: Annotated[
        list[str] | None,
        typer.Option("--validation", metavar="IMAGE,LABELS", help="held back, for scores and thresholds"),
    ] = None,
    synthetic: Annotated[int, typer.Option(min=0, help="synthetic volumes to train on as well")] = 0,
    synthetic_shape: Annotated[str, typer.Option(help="their voxels, x,y,z")] = "192,192,128",
    resolution: Annotated[str, typer.Option(help="nm of a voxel, x,y,z; what the layers say if left out")] = "",
    zero: Annotated[str, typer.Option(help="what label 0 means: boundary, or unknown (left out)")] = "boundary",
    start: Annotated[str, typer.Option("--from", metavar="MODEL", help="begin with the weights of this model")] = "",
    steps: Annotated[int, typer.Option(min=1, help="optimiser steps")] = 1500,
    seed: Annotated[int, typer.Option(min=0, help="fixes everything random")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="processor threads")] = 1,
    from_step: Annotated[int | None, typer.Option(min=0, help="go on from the checkpoint after this step")] = None,
    check: Annotated[bool, typer.Option("--check", help="look at the file and its volumes, and train nothing")] = False,
) -> None:
    """Train a boundary net on volumes with labels, score it as a segmentation, and write it with its card.

    With FILE.toml everything stands in the file, and of the options only --from-step and --check count. The same
    command continues a training that was interrupted.
    """
    import logging

    from seuron.errors import ParameterErrors
    from seuron.training.file import read_training_file

    given = {
        "volumes": [
            *_sources(volume, "training", resolution, zero),
            *_sources(validation, "validation", resolution, zero),
        ],
        "synthetic": (synthetic, synthetic_shape, resolution),
        "start": start,
        "schedule": {"steps": steps, "seed": seed, "threads": threads},
    }
    if what.suffix == ".toml":
        if volume or validation or synthetic or start:
            raise ParameterErrors(["volumes and `start` stand in the file; give FILE.toml without options for them"])
        training = read_training_file(what)
    else:
        training = _from_options(what, given)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    _run(training, from_step, check)


def _run(training: TrainingFile, from_step: int | None, check: bool) -> None:
    from seuron.training.networks import with_start
    from seuron.training.run import run_training
    from seuron.training.volumes import read_volumes

    if check:
        for volume in read_volumes(with_start(training)):
            echo(f"{volume.part}: {volume.described()}")
        return
    weights = run_training(training, from_step)
    if weights is not None:
        echo(f"wrote {training.out}: {weights.record['steps']} steps, loss {weights.record['final_loss']:.4f}")


def _from_options(out: Path, given: dict[str, Any]) -> TrainingFile:
    """The training that options describe; raises ParameterErrors with all that is wrong with them."""
    from seuron.commands.argument_types import three_numbers, three_sizes
    from seuron.errors import ParameterErrors
    from seuron.params.typed_file import parse_typed
    from seuron.training.file import TrainingFile

    number, shape, resolution = given.pop("synthetic")
    sizes, first = three_sizes(shape, "--synthetic-shape"), given["schedule"]["seed"]
    voxel = {"resolution": three_numbers(resolution, "--resolution")} if resolution else {}
    made = [{"synthetic": {"seed": first + offset, "shape": sizes}, **voxel} for offset in range(number)]
    if not given["volumes"] and not made:
        raise ParameterErrors(["no volumes; give --volume IMAGE,LABELS or --synthetic N"])
    document = {**given, "out": str(out), "volumes": [*given["volumes"], *made]}
    return parse_typed(TrainingFile, document, "the options")


def _sources(words: list[str] | None, part: str, resolution: str, zero: str) -> list[dict[str, Any]]:
    """The volumes of `IMAGE,LABELS` words, as a training file has them."""
    from seuron.commands.argument_types import three_numbers
    from seuron.errors import ParameterErrors

    voxel = {"resolution": three_numbers(resolution, "--resolution")} if words and resolution else {}
    found = []
    for word in words or []:
        image, comma, labels = word.partition(",")
        if not comma or not labels:
            raise ParameterErrors([f"--{'volume' if part == 'training' else part}: got {word!r}; give IMAGE,LABELS"])
        found.append({"image": image, "labels": labels, "part": part, "zero": zero, **voxel})
    return found

"""`seuron demo`, which `make run` calls: a synthetic volume becomes segments, and these become what people use."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seuron.cli.output import echo

if TYPE_CHECKING:
    from seuron.client import RunHandle
    from seuron.commands import Answer
    from seuron.pipelines.products.params import ProductsParams
    from seuron.pipelines.segmentation.params import SegmentationParams


def demo(
    shape: Annotated[str, typer.Option(help="voxels of the volume, x,y,z")] = "256,256,128",
    seed: Annotated[int, typer.Option(min=0, help="which volume")] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="a new run, even if one is there already")] = False,
) -> None:
    """Make a volume, segment it in Airflow, make meshes, skeletons and tables, and say where everything is.

    A demonstration that was interrupted is resumed; one that is complete is shown again.
    """
    from seuron.cli.shell_commands import show, terminal_session
    from seuron.client import connect
    from seuron.commands import Answer
    from seuron.commands.argument_types import three_sizes
    from seuron.commands.runs import follow
    from seuron.deployment import Home

    home = Home.default()
    volume = _volume(home.demo, three_sizes(shape, "--shape"), seed)
    segmentation = _parameters(home.demo, volume, fresh=fresh)
    with terminal_session(connect()) as session:
        session.deployment.ensure_started(lambda step: session.progress(Answer(step)))
        answer = follow(session, session.deployment.run(segmentation))
        if not answer.failed:
            handle = session.deployment.run(_products(segmentation))
            answer = _both(answer, follow(session, handle), handle)
    show(answer, as_json=False)
    if answer.failed:
        raise typer.Exit(answer.code)


def _both(segmented: Answer, made: Answer, handle: RunHandle) -> Answer:
    """The answers for both runs as one, with the page on which everything is seen."""
    from seuron.commands import Answer
    from seuron.deployment import Home
    from seuron.web.viewer import view_run

    if made.failed:
        return made
    links = {
        "Airflow": segmented.links["Airflow"],
        "report": segmented.links["report"],
        "report on meshes, skeletons and tables": made.links["report"],
        "viewer": view_run(handle.folder(), Home.default().viewer),
        "log in a browser with": handle.deployment.embedded.login_url,
    }
    return Answer(f"{segmented.text}\n{made.text}", [segmented.data, made.data], links)


def _volume(folder: Path, shape: tuple[int, int, int], seed: int) -> Path:
    """The folder of the demonstration's image and labels, made if it is not there."""
    from seuron.cli.data import write_synthetic

    path = folder / f"volume-{'x'.join(map(str, shape))}-{seed}"
    if not (path / "complete").exists():
        echo(f"making a synthetic volume of {' x '.join(map(str, shape))} voxels in {path}")
        write_synthetic(str(path), shape, seed)
        (path / "complete").touch()
    return path


def _parameters(folder: Path, volume: Path, *, fresh: bool) -> SegmentationParams:
    """Parameters with an output folder that is free, or holds this very run already."""
    from seuron.engine.setup import check_run
    from seuron.errors import ParameterErrors
    from seuron.pipelines.segmentation.params import SegmentationParams

    for number in count(1):
        parameters = SegmentationParams(
            image=str(volume / "image"),
            ground_truth=str(volume / "labels"),
            output=str(folder / f"run-{number}"),
            chunk_size=(128, 128, 128),
            batch_chunks=1,
        )
        if fresh and Path(parameters.output).exists():
            continue
        _, problems = check_run(parameters)
        if not problems:
            return parameters
        # Another version's run may lie there; anything else is wrong in every folder.
        if not all("already holds" in problem for problem in problems):
            raise ParameterErrors(problems)
    raise AssertionError("there is always a next number")


def _products(segmentation: SegmentationParams) -> ProductsParams:
    """What is made of the demonstration's segments, in a folder beside its run."""
    from seuron.pipelines.products.params import ProductsParams

    return ProductsParams(
        segmentation=f"{segmentation.output}/segmentation",
        image=segmentation.image,
        affinities=f"{segmentation.output}/affinities",
        output=f"{segmentation.output}-products",
    )

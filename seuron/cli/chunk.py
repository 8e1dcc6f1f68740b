"""`seuron chunk`: operators on a chunk, one after the other in one line.

seuron chunk read data/image --box 0,0,0,128,128,64 infer boundary-fib25 channel 0 threshold 0.5 components write out
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from seuron.cli.output import echo
from seuron.cli.volumes import parse_layer_format

if TYPE_CHECKING:
    from seuron.box import Triple
    from seuron.pipelines.inference.operators import Chunk

#: An operator with its arguments, and its name.
Step = tuple[str, Callable[[Any], Any]]


class OperatorChain(TyperGroup):
    """A group whose commands stand one behind the other in a line: each gives an operator, and all are done in order.

    A word that is an operator's name begins the next one; a file that is called so is written `./mask`.
    """

    def invoke(self, ctx: Any) -> None:
        words, ctx.args, ctx._protected_args = [*ctx._protected_args, *ctx.args], [], []
        starts = [place for place, word in enumerate(words) if word in self.commands]
        if not starts or starts[0] != 0:
            self.resolve_command(ctx, words)  # which says that there is no such command, and what is near
        parts = [words[start:end] for start, end in pairwise([*starts, len(words)])]
        steps = [self._step(ctx, name, arguments) for name, *arguments in parts]
        _run([step for step in steps if step is not None])

    def _step(self, ctx: Any, name: str, arguments: list[str]) -> Step | None:
        """The operator of a part of the line; None where only its help was asked for."""
        made = self.commands[name].main(arguments, prog_name=f"{ctx.command_path} {name}", standalone_mode=False)
        return made if isinstance(made, tuple) else None


def _run(steps: list[Step]) -> None:
    """Do all operators in order, and say what each has made."""
    from seuron.errors import ParameterErrors
    from seuron.pipelines.inference.operators import describe

    names = [name for name, _ in steps]
    if not names:
        return
    if names[0] != "read" or "read" in names[1:]:
        raise ParameterErrors([f"a line begins with one `read`, got {' '.join(names)}"], "the operators")
    chunk: Chunk | None = None
    for name, operator in steps:
        chunk = operator(chunk)
        if chunk is None:
            echo(f"{name:<12} nothing more is done")
            return
        echo(f"{name:<12} {describe(chunk)}")


app = typer.Typer(
    cls=OperatorChain,
    no_args_is_help=True,
    help="Operators on a chunk in memory, one behind the other: read, normalize, infer, components, write, ...",
)

Layer = Annotated[str, typer.Argument(metavar="LAYER", help="a folder, gs:// or s3://")]
Mip = Annotated[int, typer.Option(min=0, help="the scale: 0 is the finest")]


@app.command()
def read(
    layer: Layer,
    box: Annotated[str | None, typer.Option(help="x0,y0,z0,x1,y1,z1 in voxels of the scale; all of it without")] = None,
    mip: Mip = 0,
    fill_missing: Annotated[bool, typer.Option("--fill-missing", help="blocks that are not stored are 0")] = False,
) -> Step:
    """A box of a volume: precomputed, OME-Zarr or N5. The first of a line."""
    from seuron.commands.argument_types import absolute, parse_box
    from seuron.pipelines.inference.operators import read_chunk

    wanted = None if box is None else parse_box(box, "--box")
    return "read", lambda _: read_chunk(absolute(layer), wanted, mip, "zero" if fill_missing else "error")


@app.command()
def normalize(
    low: Annotated[float, typer.Option(min=0, max=0.5, help="share of the darkest voxels that is clipped")] = 0.01,
    high: Annotated[float, typer.Option(min=0, max=0.5, help="share of the brightest voxels that is clipped")] = 0.01,
    whole: Annotated[bool, typer.Option("--whole", help="the chunk as one, instead of each section")] = False,
) -> Step:
    """Contrast of each section: grey values become 1 to 255, 0 stays."""
    from seuron.pipelines.inference import operators

    return "normalize", lambda chunk: operators.normalize(chunk, low, high, sections=not whole)


@app.command()
def infer(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a net's name, file or package")],
    patch: Annotated[str, typer.Option(help="largest patch, x,y,z")] = "96,96,96",
    overlap: Annotated[str, typer.Option(help="overlap of patches, x,y,z")] = "16,16,16",
    crop_patches: Annotated[bool, typer.Option("--crop", help="crop patches instead of blending them")] = False,
    augmentation: Annotated[str, typer.Option(help="none, flips or all")] = "none",
    engine: Annotated[str, typer.Option(help="auto, torch, onnx or openvino")] = "auto",
) -> Step:
    """What a net says: all of its channels."""
    from seuron.pipelines.inference import operators

    settings: dict[str, Any] = {"patch": _size(patch, "--patch"), "overlap": _size(overlap, "--overlap")}
    settings |= {"crop": crop_patches, "augmentation": augmentation, "engine": engine}
    return "infer", lambda chunk: operators.infer(chunk, model, **settings)


@app.command()
def channel(
    numbers: Annotated[str, typer.Argument(metavar="N[,N...]", help="from 0")],
) -> Step:
    """Some channels, in this order."""
    from seuron.errors import ParameterErrors
    from seuron.pipelines.inference import operators

    try:
        wanted = [int(number) for number in numbers.split(",")]
    except ValueError as error:
        raise ParameterErrors(
            [f"channel: got {numbers!r}; give numbers from 0, such as 0 or 0,2"], "channels"
        ) from error
    return "channel", lambda chunk: operators.take_channels(chunk, wanted)


@app.command()
def threshold(value: Annotated[float, typer.Argument(metavar="VALUE")]) -> Step:
    """1 where a value is above the threshold, else 0."""
    from seuron.pipelines.inference import operators

    return "threshold", lambda chunk: operators.threshold(chunk, value)


@app.command()
def quantize() -> Step:
    """Numbers from 0 to 1 as uint8."""
    from seuron.pipelines.inference import operators

    return "quantize", operators.quantize


@app.command()
def components(
    connectivity: Annotated[str, typer.Option(help="neighbours of a voxel: 6, 18 or 26")] = "26",
    size: Annotated[int, typer.Option(min=0, help="smaller ones are removed, voxels")] = 0,
) -> Step:
    """Connected components of what is not 0."""
    from seuron.errors import ParameterErrors
    from seuron.pipelines.inference import operators

    neighbours: dict[str, Literal[6, 18, 26]] = {"6": 6, "18": 18, "26": 26}
    if connectivity not in neighbours:
        raise ParameterErrors([f"--connectivity: got {connectivity!r}; allowed are 6, 18 and 26"], "components")
    return "components", lambda chunk: operators.components(chunk, neighbours[connectivity], size)


@app.command()
def mask(
    layer: Layer,
    mip: Mip = 0,
    inverted: Annotated[bool, typer.Option("--inverted", help="0 where the mask is not 0")] = False,
) -> Step:
    """0 where a mask is 0; its voxels are whole multiples of the chunk's."""
    from seuron.commands.argument_types import absolute
    from seuron.pipelines.inference import operators

    return "mask", lambda chunk: operators.mask(chunk, absolute(layer), mip, inverted=inverted)


@app.command()
def crop(margin: Annotated[str, typer.Argument(metavar="X,Y,Z", help="voxels")]) -> Step:
    """Without a margin on all sides."""
    from seuron.pipelines.inference import operators

    wanted = _size(margin, "crop")
    return "crop", lambda chunk: operators.crop(chunk, wanted)


@app.command()
def downsample(factor: Annotated[str, typer.Argument(metavar="X,Y,Z")]) -> Step:
    """The mean of an image's cells, the commonest label of labels'."""
    from seuron.pipelines.inference import operators

    wanted = _size(factor, "downsample")
    return "downsample", lambda chunk: operators.downsample(chunk, wanted)


@app.command("skip-empty")
def skip_empty() -> Step:
    """Do nothing more where all is 0."""
    from seuron.pipelines.inference import operators

    return "skip-empty", operators.skip_empty


@app.command("skip-stored")
def skip_stored(layer: Layer) -> Step:
    """Do nothing more where a layer has these blocks already."""
    from seuron.commands.argument_types import absolute
    from seuron.pipelines.inference import operators

    return "skip-stored", lambda chunk: operators.skip_stored(chunk, absolute(layer))


@app.command()
def write(
    layer: Layer,
    block: Annotated[str, typer.Option(help="storage block, x,y,z")] = "64,64,64",
    layer_format: Annotated[str, typer.Option("--format", help="precomputed or ome-zarr")] = "precomputed",
    pyramid: Annotated[bool, typer.Option("--pyramid", help="make the coarser scales as well")] = False,
) -> Step:
    """Into a layer, which is made as large as the volume that was read; the chunk must be whole blocks of it."""
    from seuron.commands.argument_types import absolute
    from seuron.pipelines.inference import operators

    settings: dict[str, Any] = {"block": _size(block, "--block"), "pyramid": pyramid}
    settings["layer_format"] = parse_layer_format(layer_format)
    return "write", lambda chunk: operators.write_layer(chunk, absolute(layer), **settings)


@app.command()
def save(
    target: Annotated[str, typer.Argument(metavar="FILE", help=".tif, .h5, .nrrd, .npy, .zarr, .n5, .wkw")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace what is there")] = False,
) -> Step:
    """As a file of another format."""
    from seuron.commands.argument_types import absolute
    from seuron.pipelines.inference import operators

    return "save", lambda chunk: operators.save(chunk, absolute(target), overwrite=overwrite)


def _size(text: str, name: str) -> Triple:
    from seuron.commands.argument_types import three_integers

    return three_integers(text, name)

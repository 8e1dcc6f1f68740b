"""The command for volumes of this machine's own making: `synth`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from seuron.cli.output import echo

if TYPE_CHECKING:
    from seuron.synth import Defects


def synth(
    out: Annotated[str, typer.Argument(metavar="OUT", help="folder to write OUT/image and OUT/labels to")],
    shape: Annotated[str, typer.Option(help="voxels, x,y,z")],
    seed: Annotated[int, typer.Option(min=0, help="which volume: the same seed gives the same bytes")] = 0,
    resolution: Annotated[str, typer.Option(help="nm of a voxel, x,y,z")] = "10,10,10",
    shift: Annotated[str, typer.Option(metavar="Z,Z", help="sections to shift in x and y")] = "",
    missing: Annotated[str, typer.Option(metavar="Z,Z", help="sections to leave black")] = "",
    fold: Annotated[str, typer.Option(metavar="Z,Z", help="sections with a fold")] = "",
    crack: Annotated[str, typer.Option(metavar="Z,Z", help="sections with a crack")] = "",
    contrast: Annotated[str, typer.Option(metavar="Z,Z", help="sections of another contrast and brightness")] = "",
) -> None:
    """Write an EM-like volume with its ground truth, as precomputed layers.

    Damage changes the image only; how far sections were shifted is written to OUT/displacement.json.
    """
    from seuron.commands.argument_types import absolute, sections, three_numbers, three_sizes
    from seuron.synth import Defects

    where = absolute(out)
    defects = Defects(
        shifted=sections(shift, "--shift"),
        missing=sections(missing, "--missing"),
        folded=sections(fold, "--fold"),
        cracked=sections(crack, "--crack"),
        recontrasted=sections(contrast, "--contrast"),
    )
    write_synthetic(where, three_sizes(shape, "--shape"), seed, three_numbers(resolution, "--resolution"), defects)
    echo(f"image         {where}/image\nground truth  {where}/labels")


def write_synthetic(
    out: str,
    shape: tuple[int, int, int],
    seed: int,
    resolution: tuple[float, float, float] = (10.0, 10.0, 10.0),
    defects: Defects | None = None,
) -> None:
    """Synthesise a volume and write `OUT/image`, `OUT/labels` and, for shifted sections, `OUT/displacement.json`."""
    import json

    from seuron.box import Box
    from seuron.storage import Storage, join
    from seuron.synth import Defects, synthesize
    from seuron.volumes import create_volume
    from seuron.volumes.pyramid import build_pyramid

    damage = defects or Defects()
    made = synthesize(shape, seed, defects=damage, resolution=resolution)
    if damage.shifted:
        shifts = {z: made.displacement[z].tolist() for z in damage.shifted}
        Storage(out).put("displacement.json", json.dumps({"section: x, y in voxels": shifts}, indent=1).encode())
    box = Box.from_shape((0, 0, 0), shape)
    image = create_volume(join(out, "image"), box, resolution, dtype="uint8")
    image.write(box, made.image)
    labels = create_volume(join(out, "labels"), box, resolution, dtype="uint32", kind="segmentation")
    labels.write(box, made.labels)
    for layer in (image, labels):
        build_pyramid(layer)

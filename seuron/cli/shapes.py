"""The command `export-segment`: the mesh or the skeleton of a segment as a file."""

from __future__ import annotations

from typing import Annotated

import typer

from seuron.cli.output import echo


def export_segment(
    run: Annotated[str, typer.Argument(metavar="RUN", help="the folder of a run of the pipeline products")],
    segment: Annotated[int, typer.Argument(min=1, help="the segment's id")],
    target: Annotated[str, typer.Argument(metavar="FILE", help="to write: NAME.obj or .ply (mesh), .swc (skeleton)")],
    level: Annotated[int, typer.Option(min=0, help="level of detail of the mesh; 0 is the finest")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace what is there")] = False,
) -> None:
    """Write the mesh of a segment as OBJ or PLY, or its skeleton as SWC; all in nm."""
    from pathlib import Path

    from seuron.commands.argument_types import absolute
    from seuron.errors import ParameterErrors
    from seuron.storage import Storage, join
    from seuron.volumes.object_shards import StoredShapes

    path = Path(absolute(target))
    suffix = path.suffix.removeprefix(".").lower()
    problems = []
    if suffix not in ("obj", "ply", "swc"):
        problems.append(f"FILE: got {path.name}; the name must end in .obj, .ply or .swc")
    if path.exists() and not overwrite:
        problems.append(f"FILE: {path} exists; give another name, or --overwrite")
    if problems:
        raise ParameterErrors(problems, "the export")
    if suffix == "swc":
        from seuron.skeletons.files import swc_file

        skeleton = StoredShapes(join(absolute(run), "skeletons")).skeleton(segment)
        content, about = swc_file(skeleton), f"{len(skeleton.vertices)} vertices"
    else:
        from seuron.meshes.files import mesh_file

        mesh = StoredShapes(join(absolute(run), "meshes")).mesh(segment, level)
        content, about = mesh_file(*mesh, suffix), f"{len(mesh.triangles)} triangles"
    Storage(path.parent).put(path.name, content)
    echo(f"{path}: {about} of segment {segment}, nm")

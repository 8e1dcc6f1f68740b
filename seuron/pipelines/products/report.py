"""What the report of a products run shows: how many segments there are, and the largest."""

from __future__ import annotations

import html

import numpy as np

from seuron.engine.sections import Figure, Section
from seuron.errors import SeuronError
from seuron.pipelines.products import contacts, segment_table
from seuron.pipelines.products.cells import last_of
from seuron.pipelines.products.facts import ProductsRun
from seuron.pipelines.products.meshes import MESHES
from seuron.pipelines.products.shapes import LIST
from seuron.reporting.pictures import label_colours, png_uri
from seuron.reporting.quantities import count
from seuron.reporting.surface_pictures import ColouredSurface, draw_surfaces
from seuron.storage import join
from seuron.storage.documents import read_if_whole
from seuron.storage.tables import Table, read_groups
from seuron.volumes.object_shards import StoredShapes

#: Segments and contacts that are listed, and segments that are drawn.
LARGEST, DRAWN = 10, 12
#: Voxels up to which surfaces are drawn at their finest level: segments of larger volumes have millions of triangles.
FINE_VOXELS = 2**28


def sections(run: ProductsRun) -> list[Section]:
    """A part for each product that is there."""
    found = []
    if _is_done(run, segment_table.NAME, "nearest"):
        found.append(_segments(run))
    if _is_done(run, contacts.NAME, "sum"):
        found.append(_contacts(run))
    if _is_done(run, MESHES.name, LIST) and (largest := read_if_whole(run.storage, segment_table.LARGEST, list[int])):
        found.append(_surfaces(run, largest[:DRAWN]))
    return found


def _is_done(run: ProductsRun, stage: str, role: str) -> bool:
    """Whether a product is wanted, and there."""
    return run.params.wants(stage) and run.record(last_of(run, stage, role).id) is not None


def _segments(run: ProductsRun) -> Section:
    rows, number = _largest(run, segment_table.TABLE, "voxels")
    cells = [
        [
            str(rows["id"][i]),
            count(int(rows["voxels"][i])),
            f"{rows['volume_um3'][i]:.4g}",
            ", ".join(str(rows[f"inside_{axis}"][i]) for axis in "xyz"),
            "yes" if rows["touches_border"][i] else "no",
        ]
        for i in range(rows["id"].size)
    ]
    head = ["segment", "voxels", "um^3", "a voxel inside", "at the border"]
    return Section(
        "Segments",
        f"<p>The largest; all are in <code>{segment_table.TABLE}.parquet</code>.</p>" + _table(head, cells),
        (Figure("Segments", count(number)),),
        sentences=(f"{count(number)} segments.",),
        place="before stages",
    )


def _surfaces(run: ProductsRun, segments: list[int]) -> Section:
    """The meshes of the largest segments, in the colours of their sections."""
    meshes = StoredShapes(join(run.output, MESHES.name))
    colours = label_colours(np.array(segments, np.uint64)).astype(int).tolist()
    try:
        level = 0 if run.facts.box.voxels <= FINE_VOXELS else run.params.mesh_levels - 1
        shown = [meshes.mesh(segment, level) for segment in segments]
        drawn = draw_surfaces(
            [ColouredSurface(*mesh, tuple(colour)) for mesh, colour in zip(shown, colours, strict=True)]
        )
    except SeuronError as error:
        return Section("Surfaces of the largest segments", f"<p>Not drawn: {html.escape(str(error))}.</p>")
    names = ", ".join(map(str, segments))
    picture = f'<figure><img src="{png_uri(np.asarray(drawn))}" alt="the {len(segments)} largest segments"></figure>'
    return Section(
        "Surfaces of the largest segments",
        f"{picture}<p>Segments {names}; x is to the right, y down.</p>",
        pictures={"surfaces": lambda: drawn},
        place="before stages",
    )


def _contacts(run: ProductsRun) -> Section:
    rows, number = _largest(run, contacts.TABLE, "area_um2")
    cells = [
        [
            str(rows["a"][i]),
            str(rows["b"][i]),
            f"{rows['area_um2'][i]:.4g}",
            ", ".join(f"{rows[f'centroid_{axis}_nm'][i] / size:.1f}" for axis, size in _voxel_size(run)),
            f"{rows['mean_affinity'][i]:.3f}" if "mean_affinity" in rows else "",
        ]
        for i in range(rows["a"].size)
    ]
    head = ["segment", "segment", "um^2", "centroid, in voxels", "mean affinity"]
    return Section(
        "Contacts",
        f"<p>The largest; all are in <code>{contacts.TABLE}.parquet</code>.</p>" + _table(head, cells),
        (Figure("Contacts", count(number)),),
        sentences=(f"{count(number)} contacts.",),
        place="before stages",
    )


def _voxel_size(run: ProductsRun) -> list[tuple[str, float]]:
    return list(zip("xyz", run.facts.resolution_nm, strict=True))


def _largest(run: ProductsRun, table: str, column: str) -> tuple[Table, int]:
    """The rows with the largest numbers in a column, and how many rows there are."""
    kept: Table = {}
    number = 0
    for group in read_groups(run.storage, table):
        number += group[column].size
        rows = {name: np.concatenate([kept[name], values]) if kept else values for name, values in group.items()}
        order = np.argsort(-rows[column], kind="stable")[:LARGEST]
        kept = {name: values[order] for name, values in rows.items()}
    return kept, number


def _table(head: list[str], rows: list[list[str]]) -> str:
    def line(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"

"""What the report of a products run shows: how many segments there are, and the largest."""

from __future__ import annotations

import html

import numpy as np

from seuron.engine.sections import Figure, Section
from seuron.pipelines.products import contacts, segment_table
from seuron.pipelines.products.cells import last_of
from seuron.pipelines.products.facts import ProductsRun
from seuron.reporting.quantities import count
from seuron.storage.tables import Table, read_groups

#: Segments and contacts that are listed.
LARGEST = 10


def sections(run: ProductsRun) -> list[Section]:
    """A part for each product that is there."""
    found = []
    if _is_done(run, segment_table.NAME, "nearest"):
        found.append(_segments(run))
    if _is_done(run, contacts.NAME, "sum"):
        found.append(_contacts(run))
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

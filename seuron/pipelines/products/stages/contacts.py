"""Stage `contacts`: where two segments touch, as a table.

A face between two voxels belongs to the cell of the first of them, which reads one layer of voxels behind its high
faces: no face is counted twice, and none is left out. Cells count in whole numbers, and tasks above them add these up.
The last task writes

    OUTPUT/contacts.parquet     a row for each two segments that touch, a < b, sorted
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seuron.engine.inputs import inputs_digest, source_read, tables_read
from seuron.engine.pipeline import Counts, Inputs
from seuron.engine.plan import Task
from seuron.errors import DataError
from seuron.pipelines.products.cells import below, is_last
from seuron.pipelines.products.contacts import TABLE, box_read
from seuron.pipelines.products.facts import ProductsFacts, ProductsRun
from seuron.storage.table_merge import combined, reduced
from seuron.storage.tables import Table, read_pieces, write_groups, write_table
from seuron.volumes import open_volume

if TYPE_CHECKING:
    from abiss_py.contact_faces import ContactFaces

_AXES = "xyz"
_FACES = tuple(f"faces_{axis}" for axis in _AXES)
#: Sums of the coordinates of the middles of faces, by the axis that the faces lie across, in half voxels.
_SUMS = tuple(f"sum_{across}{axis}" for across, axis in product(_AXES, _AXES))
_LEAST, _ENDS = ("x0", "y0", "z0"), ("x1", "y1", "z1")
_summed = partial(reduced, keys=("a", "b"), smallest=_LEAST, largest=_ENDS)


def inputs(run: ProductsRun, task: Task) -> Inputs:
    """The voxels of a cell and around it; or the tables below."""
    if task.role == "count":
        return {"tables": inputs_digest(run, task, [source_read(run, task, name) for name in sorted(run.sources)])}
    return {"tables": inputs_digest(run, task, [tables_read(run, other.id, TABLE) for other in run.reads(task)])}


def run(run: ProductsRun, task: Task) -> Counts:
    """Count a cell's faces, or add up what was counted."""
    if task.role == "count":
        return _count(run, task)
    parts = (read_pieces(run.tables(child.id), TABLE) for child in below(run, task))
    rows = combined(parts, "a", _summed)
    if not is_last(run, task):
        write_groups(run.tables(task.id), TABLE, rows)
        return {}
    number = 0

    def groups() -> Iterator[Table]:
        nonlocal number
        for group in rows:
            number += group["a"].size
            yield contact_rows(group, run.facts)

    stored = write_groups(run.storage, TABLE, groups())
    return {"contacts": number, "stored_bytes": stored}


def _count(run: ProductsRun, task: Task) -> Counts:
    from abiss_py.contact_faces import contact_faces
    from abiss_py.errors import AffinityError

    box = box_read(run, task)
    labels = _voxels(run, "segmentation", task)[..., 0]
    affinities = _voxels(run, "affinities", task) if "affinities" in run.sources else None
    try:
        found = contact_faces(labels, task.box.shape, box.minimum, affinities)
    except AffinityError as error:
        raise DataError(f"{run.sources['affinities'].path}, in the box {box}: {error}") from error
    write_table(run.tables(task.id), TABLE, _columns(found))
    return {"voxels": task.box.voxels}


def _voxels(run: ProductsRun, name: str, task: Task) -> NDArray[Any]:
    source = run.sources[name]
    return open_volume(source.path, source.mip).read(box_read(run, task), missing=source.missing)


def _columns(found: ContactFaces) -> Table:
    sums = found.sums.reshape(-1, 9)
    columns: Table = {"a": found.a, "b": found.b}
    for names, values in ((_FACES, found.faces), (_SUMS, sums), (_LEAST, found.least), (_ENDS, found.ends)):
        columns |= {name: values[:, at] for at, name in enumerate(names)}
    return {**columns, "affinity": found.affinity}


def contact_rows(sums: Table, facts: ProductsFacts) -> Table:
    """What the table has of each contact.

    `a < b`; `faces_x` and so on, the voxel faces across each axis; `area_x_um2` and so on, and `area_um2` of all;
    the centroid of that area in nm, `centroid_x_nm` and so on; the box of the voxels at both sides; and where there are
    affinities `mean_affinity`, of all faces alike.
    """
    from abiss_py.dtypes import affinity_type

    size = np.array(facts.resolution_nm)
    face_um2 = [size[(axis + 1) % 3] * size[(axis + 2) % 3] / 1e6 for axis in range(3)]
    areas = [sums[name] * area for name, area in zip(_FACES, face_um2, strict=True)]
    whole = areas[0] + areas[1] + areas[2]
    rows = {name: sums[name] for name in ("a", "b", *_FACES)}
    rows |= {f"area_{axis}_um2": area for axis, area in zip(_AXES, areas, strict=True)}
    rows["area_um2"] = whole
    for at, axis in enumerate(_AXES):
        weighted = [sums[f"sum_{across}{axis}"] * face_um2[i] for i, across in enumerate(_AXES)]
        rows[f"centroid_{axis}_nm"] = (weighted[0] + weighted[1] + weighted[2]) / whole / 2 * size[at]
    rows |= {name: sums[name] for name in (*_LEAST, *_ENDS)}
    if facts.affinity_dtype:
        faces = sums["faces_x"] + sums["faces_y"] + sums["faces_z"]
        rows["mean_affinity"] = sums["affinity"] / faces / affinity_type(facts.affinity_dtype).scale
    return rows

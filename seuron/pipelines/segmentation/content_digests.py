"""What tasks read, as digests of content: the pieces that the stages' `inputs` functions are made of."""

from __future__ import annotations

from typing import Any

from seuron.engine.inputs import content_digest
from seuron.engine.keys import seen_box, settings_of
from seuron.engine.plan import Seam, Task
from seuron.engine.run import Run
from seuron.pipelines.segmentation.table_schemas import face_name, final_name, seam_name
from seuron.storage.digests import digest_of_data
from seuron.volumes import Volume


def inputs_digest(run: Run, task: Task, content: Any) -> str:
    """The digest of a task's settings and of the content that it reads, plain data made of digests."""
    return digest_of_data([settings_of(task, run.plan, run.params, run.facts), content])


def tables_read(run: Run, task_id: str, *kinds: str) -> dict[str, str]:
    """The digests of those tables of a finished task that `kinds` name; one that ends in `-` names a family."""
    families = tuple(kind for kind in kinds if kind.endswith("-"))
    found = run.table_digests(task_id)
    return {name: found[name] for name in sorted(found) if name in kinds or name.startswith(families)}


def final_read(run: Run, task_id: str) -> list[dict[str, str]]:
    """The digests of what a task of an octree is told of the final names; none for a root."""
    closers = list(run.plan.closers(task_id))
    if closers:
        return [read for closer, part in closers for read in _closer_read(run, closer, part)]
    parent = run.plan.parents.get(task_id)
    if parent is None:
        return []
    return [tables_read(run, run.plan.tellers[parent], final_name(run.plan.tasks[task_id].index))]


def _closer_read(run: Run, closer: str, part: str) -> list[dict[str, str]]:
    return [tables_read(run, closer, f"names-{part}"), *final_read(run, closer)]


def leaf_names_read(run: Run, leaf: str) -> list[Any]:
    """The digests of what the clusters of a watershed leaf are called after it, and in the end."""
    return [tables_read(run, leaf, "names-"), final_read(run, leaf)]


def supervoxel_seams_read(run: Run, merge: str) -> list[Any]:
    """The digests of the seams that a merge closes, and of what the ids in them are called in the end."""
    return [_seam_names_read(run, seam) for seam in run.plan.seams_closed(merge)]


def _seam_names_read(run: Run, seam: Seam) -> list[Any]:
    at_faces = [tables_read(run, seam.below, face_name("face", seam.axis, 1))]
    at_faces.append(tables_read(run, seam.above, face_name("face", seam.axis, 0)))
    after = [_closer_read(run, run.plan.parents[seam.above], part) for part in ("xyz"[seam.axis], "own")]
    return [_seam_read(run, seam), at_faces, after]


def rounds_read(run: Run, task: Task) -> list[dict[str, str]]:
    """The digests of all tables that a round's tasks have left of which a task reads something."""
    others = (other for other in run.reads(task) if run.plan.tasks[other].layer in ("split", "bin"))
    return [run.table_digests(other) for other in others if run.has_tables(other)]


def _seam_read(run: Run, seam: Seam) -> dict[str, str]:
    name = seam_name(run.plan.tasks[seam.above].index, seam.axis)
    return tables_read(run, run.plan.parents[seam.above], name)


def voxels_read(run: Run, task: Task, volume: Volume) -> str:
    """The digest of the blocks that a leaf sees of its source."""
    return content_digest(volume, seen_box(task, run.params, run.facts), run.params.missing_blocks)


def parts_read(run: Run, task: Task, part: str) -> list[str]:
    """From what a part of the results that a task reads in layers was made."""
    records = (run.record(other) for other in run.reads(task))
    return [record.inputs[part] for record in records if record is not None]

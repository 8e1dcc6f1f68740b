"""What tasks read, as digests of content: the pieces that the stages' `inputs` functions are made of."""

from __future__ import annotations

from typing import Any

from seuron.box import Box
from seuron.engine.keys import settings_of
from seuron.engine.plan import Task
from seuron.engine.run import Run
from seuron.storage.digests import digest_of_data


def inputs_digest(run: Run, task: Task, content: Any) -> str:
    """The digest of a task's settings and of the content that it reads, plain data made of digests."""
    return digest_of_data([settings_of(run, task), content])


def tables_read(run: Run, task_id: str, *kinds: str) -> dict[str, str]:
    """The digests of those tables of a finished task that `kinds` name; one that ends in `-` names a family."""
    families = tuple(kind for kind in kinds if kind.endswith("-"))
    found = run.table_digests(task_id)
    return {name: found[name] for name in sorted(found) if name in kinds or name.startswith(families)}


def source_read(run: Run, task: Task, name: str) -> str:
    """The digest of the blocks that a task sees of an input, by the parameter that names it."""
    from seuron.volumes import open_volume
    from seuron.volumes.fingerprints import content_digest

    source, box = run.sources[name], run.pipeline.stage(task.stage).sources(run, task)[name]
    return content_digest(open_volume(source.path, source.mip), box, source.missing)


def parts_read(run: Run, task: Task, part: str) -> list[str]:
    """From what a part of the results that a task reads in layers was made."""
    records = (run.record(other.id) for other in run.reads(task))
    return [record.inputs[part] for record in records if record is not None]


def filled_blocks(run: Run, name: str, box: Box) -> int:
    """How many blocks of an input, by its parameter, are missing in a box, where the run lets them read as zeros.

    A block counts where it begins in the run's box, so that no two tasks count it.
    """
    from seuron.volumes import open_volume

    source = run.sources.get(name)
    if source is None or source.missing != "zero":
        return 0
    missing = open_volume(source.path, source.mip).missing_blocks(box)
    corners = (block.intersect(run.facts.box).minimum for block in missing)
    return sum(box.contains(Box.from_shape(corner, (1, 1, 1))) for corner in corners)

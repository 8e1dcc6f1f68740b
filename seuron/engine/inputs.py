"""What tasks read, as digests of content: the pieces that the stages' `inputs` functions are made of."""

from __future__ import annotations

from typing import Any

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

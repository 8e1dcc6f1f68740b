"""Invalidating a stage of a run: the next start does it again, and all that depends on it.

Same inputs give the same bytes, so this is for results that were damaged, or to measure a stage again. What
changes with parameters or inputs is found by the keys, and needs none of this.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from seuron.engine.plan import Tier
from seuron.engine.run import Run
from seuron.errors import NotFoundError, RunError
from seuron.storage.locks import locks


@dataclass(frozen=True)
class Invalidated:
    """How many tasks the next start does again, by stage, and whether their tables are gone as well.

    Tables in a store that other runs use stay: the tasks that made them find them there.
    """

    tasks: dict[str, int]
    tables: bool


def invalidate(run: Run, stage: str) -> Invalidated:
    """Delete the records of a stage and of the tasks that depend on it, and their tables where nobody shares them.

    Raises NotFoundError for a stage that the run does not have, RunError while tasks are running.
    """
    _check_stage(run, stage)
    running = [str(lock) for _, lock in locks(run.storage, "locks/")]
    if running:
        raise RunError(f"{run.output}: tasks are running ({running[0]}); cancel the run, or wait for its end, first")
    tasks, own = dependents(run, stage), not set(run.store.registered()) - {run.output}
    objects = {record.object for task_id in tasks if (record := run.earlier(task_id)) and record.object}
    # The last first: a process that is killed here has invalidated the end of the run, and nothing before it.
    names = [f"{folder}/{task_id}.json" for task_id in reversed(tasks) for folder in ("tasks", "superseded")]
    run.storage.delete(names)
    if own:
        for name in sorted(objects):
            run.store.remove(name)
    counts: dict[str, int] = {}
    for task_id in tasks:
        name = run.plan.task(task_id).stage
        counts[name] = counts.get(name, 0) + 1
    return Invalidated(counts, own)


def dependents(run: Run, stage: str) -> list[str]:
    """The tasks of a stage and all that read their results, directly or through others, in the plan's order."""
    found: dict[str, None] = {}
    touched: set[tuple[str, int]] = set()
    for tier in run.plan.tiers():
        reads = run.pipeline.stage(tier.stage).reads
        for task in tier:
            read = ((r.stage, r.number) in touched if isinstance(r, Tier) else r.id in found for r in reads(run, task))
            if task.stage == stage or any(read):
                found[task.id] = None
                touched.add((tier.stage, tier.number))
    return list(found)


def _check_stage(run: Run, stage: str) -> None:
    names = [found.name for found in run.plan.stages if found.tiers]
    if stage in names:
        return
    near = get_close_matches(stage, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"its stages are {', '.join(names)}"
    raise NotFoundError(f"the run in {run.output} has no stage {stage!r}; {hint}")

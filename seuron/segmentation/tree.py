"""Which task of a tree merges what another left."""

from __future__ import annotations

from seuron.planning import Plan


def ancestors(plan: Plan, task_id: str) -> list[str]:
    """A task of an octree stage, then the one that merges its result, up to the root."""
    stage = plan.stage(plan.tasks[task_id].stage)
    chain = [task_id]
    for tier in stage.tiers[plan.tasks[task_id].tier + 1 :]:
        chain.append(next(task.id for task in tier if chain[-1] in task.children))
    return chain

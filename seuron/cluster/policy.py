"""The scaling policy: from what is seen of queues, groups and workers to what is to be done.

`decide` is a pure function; the same situation gives the same decision. Its laws, tested as such:

- A group grows to at most `first_instances`, or twice the instances whose workers have reported, in one step,
  and takes a step every `ramp_seconds` at most. It never grows above its `max_size`.
- The cheapest groups grow first, by price of a slot, spot or not; the dearest are drained first.
- Nothing is deleted that reports running tasks, unless it is dead or stuck. Surplus instances are drained
  first, and go once they report that they take no more tasks and run none.
- A group is not grown within `settle_seconds` after it was shrunk, nor drained within as long after it grew.
- What a group was asked for and could not make goes to the next cheapest; the group rests for a while,
  longer each time.
- When the budget would be passed by a hold at the next step nothing grows, everything is drained, and what runs
  may finish.
- Without tasks all groups end at nothing.

A step goes: health, shortages, budget, then for each queue its demand, and resuming, growing or draining
towards that; at last the drained ones that run nothing are deleted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from seuron.cluster.cluster_state import ClusterState, Decision, QueueDepth
from seuron.cluster.costs.budgets import would_pass
from seuron.cluster.decision_builder import DecisionBuilder, GroupBuilder
from seuron.cluster.health import diagnose
from seuron.cluster.settings import PolicySettings


def decide(cluster: ClusterState, settings: PolicySettings) -> Decision:
    """What to do now; the decision's memory belongs into the next state."""
    builder = DecisionBuilder(cluster, settings, diagnose(cluster, settings))
    _replace_sick(builder)
    for group in builder.groups.values():
        _withdraw_unmet(group)
    if _budget_is_used_up(builder):
        _spend_no_more(builder)
    for queue, depth in cluster.queues.items():
        builder.peaks[queue] = _peaks(builder, queue, depth)
        _size_queue(builder, queue, depth)
    for group in builder.groups.values():
        group.delete_drained()
    return builder.decision()


def slots_to_grow_to(depth: QueueDepth, settings: PolicySettings) -> int:
    """Slots that do a queue's work within `target_seconds`; one at least where a task is ready, else none.

    Never more than there are tasks, nor more than the scheduler keeps busy: by Little's law as many
    as it starts while one task runs. An instance more must be worth its boot and the least time that
    is paid for; it is, because `target_seconds`, which each slot works, is longer than both.
    """
    if not depth.ready:
        return 0
    work = (depth.ready + depth.running / 2) * (depth.task_seconds or settings.assumed_seconds)
    return max(1, min(depth.tasks, _startable(depth, settings), math.ceil(work / settings.target_seconds)))


def slots_in_use(depth: QueueDepth, settings: PolicySettings) -> int:
    """Slots above which there is no use for more: a queue is shrunk to no less.

    It is more than the slots that a queue is grown to: were it shrunk to these while its work grows
    less, the last tasks would never be done in time.
    """
    return min(depth.tasks, max(depth.running, 2 * _startable(depth, settings)))


def _startable(depth: QueueDepth, settings: PolicySettings) -> int:
    return max(1, math.ceil(settings.starts_per_second * (depth.task_seconds or settings.assumed_seconds)))


def _replace_sick(builder: DecisionBuilder) -> None:
    """Delete the instances whose tasks are lost, drain the others. Growing makes new ones where there is work."""
    failed = dict.fromkeys(builder.groups, 0)
    for verdict in builder.diagnosis.verdicts:
        group = builder.groups[verdict.group]
        failed[group.name] += verdict.fault == "never started"
        if verdict.at_once:
            group.delete(verdict.instance, f"is deleted: it {verdict.words} ({verdict.fault})")
        else:
            group.drain(verdict.instance, "sick", f"is to be replaced: it {verdict.words} ({verdict.fault})")
    for group in builder.groups.values():
        if failed[group.name] > group.reporting:
            group.rest(f"{failed[group.name]} instances did not start")


def _withdraw_unmet(group: GroupBuilder) -> None:
    """Give up what a group was asked for and did not make, once the provider or the time says that it will not."""
    known = group.memory.shortage_seen
    new = [shortage for shortage in group.state.shortages if known is None or shortage.time > known]
    if new:
        latest = max(new, key=lambda shortage: shortage.time)
        group.remember(shortage_seen=latest.time)
        group.withdraw()
        group.rest(f"{latest.kind.replace('_', ' ')}: {latest.message}")
    elif group.pending and group.overdue():
        group.withdraw()
        group.rest(f"what it was asked for did not come within {group.settings.start_seconds:g} s")


def _budget_is_used_up(builder: DecisionBuilder) -> bool:
    """Whether a hold at the next step would pass the budget; from then on until the budget is raised."""
    cluster = builder.cluster
    budget, held = cluster.budget, cluster.memory.held_budget
    if budget is None:
        return False
    if held is not None and budget <= held:
        builder.held_budget = held
    elif would_pass(budget, cluster.spent, builder.dollars_ahead()):
        builder.held_budget = budget
        builder.reasons.append(
            f"the budget of ${budget:.2f} is used up: ${cluster.spent:.2f} are spent and the rest is "
            "what finishing the running tasks may take; raise the budget to go on"
        )
    return builder.held_budget is not None


def _spend_no_more(builder: DecisionBuilder) -> None:
    for group in builder.groups.values():
        group.withdraw(booting=True)
        for instance in list(group.kept):
            group.drain(instance.name, "budget", "is drained: the budget is used up")


def _peaks(builder: DecisionBuilder, queue: str, depth: QueueDepth) -> tuple[tuple[float, int], ...]:
    """The slots of use now and lately, newest last; those that a later step exceeds are left out."""
    use, now = slots_in_use(depth, builder.settings), builder.cluster.now
    before = builder.cluster.memory.peaks.get(queue, ())
    recent = (peak for peak in before if now - peak[0] <= builder.settings.idle_seconds and peak[1] > use)
    return (*recent, (now, use))


def _size_queue(builder: DecisionBuilder, queue: str, depth: QueueDepth) -> None:
    """Grow a queue's groups to the demand, or drain what has been of no use for a while."""
    if builder.held_budget is not None:
        return
    groups = builder.by_price(queue)
    have, peak = sum(group.slots for group in groups), max(slots for _, slots in builder.peaks[queue])
    for group in groups:
        most = group.group.max_size
        for name in group.least_busy()[: max(0, len(group.kept) - most)]:
            group.drain(name, "surplus", f"is drained: {group.name} may have {most} instances")
    demand = slots_to_grow_to(depth, builder.settings)
    if builder.diagnosis.all_silent and depth.tasks:
        _probe(groups, queue)
    elif have < demand:
        missing = _resume(groups, demand - have, queue, demand)
        _grow(builder, groups, missing, queue, demand)
    elif have > peak:
        _drain(groups, have - peak, queue, peak)


def _probe(groups: Sequence[GroupBuilder], queue: str) -> None:
    """One instance more while all are silent: if it reports, the fault was theirs and they are replaced."""
    if any(group.pending or group.unreported for group in groups):
        return
    for group in groups:
        if group.may_grow() and group.room():
            group.grow(1, f"no instance of the cluster reports; one more for queue {queue} shows whose fault it is")
            return


def _resume(groups: Sequence[GroupBuilder], missing: int, queue: str, demand: int) -> int:
    """Take back drained instances that are still there; returns the slots that are missing then."""
    for group in groups:
        for name in group.resumable():
            if missing <= 0:
                return missing
            if len(group.kept) + group.pending >= group.group.max_size:
                break
            group.resume(name, f"is wanted again: queue {queue} has work for {demand} slots")
            missing -= group.group.slots
    return missing


def _grow(builder: DecisionBuilder, groups: Sequence[GroupBuilder], missing: int, queue: str, demand: int) -> None:
    """Share out the missing slots, cheapest groups first. A group that has to wait for its ramp keeps its share."""
    for group in groups:
        if missing <= 0:
            return
        if group.resting():
            continue
        share = min(group.room(), -(-missing // group.group.slots))
        missing -= share * group.group.slots
        count = min(share, group.step()) if group.may_grow() else 0
        affordable = builder.affordable(group)
        if count > 0 and affordable < 1:
            builder.hold_if_nothing_runs(group)
        elif count > 0:
            group.grow(min(count, affordable), f"queue {queue} has work for {demand} slots")


def _drain(groups: Sequence[GroupBuilder], surplus: int, queue: str, peak: int) -> None:
    """Let instances take no more: of the dearest groups first, then idle ones, then those with fewest tasks."""
    for group in reversed(groups):
        if not group.may_shrink():
            # Cheaper ones would go in its place.
            return
        slots = group.group.slots
        surplus -= slots * group.ask_for_fewer(surplus // slots)
        for name in group.least_busy():
            if surplus < slots:
                break
            group.drain(name, "surplus", f"is drained: queue {queue} has use for no more than {peak} slots")
            surplus -= slots

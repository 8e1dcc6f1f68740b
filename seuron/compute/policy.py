"""The scaling policy: from what is seen of queues, groups and workers to what is to be done.

`decide` is a pure function; the same situation gives the same decision. Its laws, tested as such:

- A group grows to at most `first_instances`, or twice the instances that are at work, in one step,
  and takes a step every `ramp_seconds` at most. It never grows above its `max_size`.
- The cheapest groups grow first, by price of a slot, spot or not; the dearest are drained first.
- Nothing is deleted that reports running tasks, unless it is dead or stuck. Surplus instances are drained
  first, and go once they report that they take no more tasks and run none.
- A group is not grown within `settle_seconds` after it was shrunk, nor drained within as long after it grew.
- What a group was asked for and could not make goes to the next cheapest; the group rests for a while,
  longer each time.
- When the budget would be passed by a hold at the next look nothing grows, everything is drained, and what runs
  may finish.
- Without tasks all groups end at nothing.

A look goes: health, shortages, budget, then for each queue its demand, and resuming, growing or draining
towards that; at last the drained ones that run nothing are deleted.
"""

from __future__ import annotations

from collections.abc import Sequence

from seuron.compute.budgets import would_pass
from seuron.compute.demand import slots_in_use, slots_to_grow_to
from seuron.compute.draft import Draft, GroupDraft
from seuron.compute.health import Diagnosis, diagnose
from seuron.compute.settings import PolicySettings
from seuron.compute.situation import (
    Decision,
    Draining,
    GroupLook,
    GroupMemory,
    Memory,
    QueueDepth,
    Situation,
    TasksEnded,
)

__all__ = [
    "Decision",
    "Draining",
    "GroupLook",
    "GroupMemory",
    "Memory",
    "QueueDepth",
    "Situation",
    "TasksEnded",
    "decide",
]


def decide(situation: Situation, settings: PolicySettings) -> Decision:
    """What to do now; the decision's memory belongs into the next situation."""
    diagnosis = diagnose(situation, settings)
    draft = Draft(situation, settings, diagnosis.seen)
    _replace_sick(draft, diagnosis)
    for group in draft.groups:
        _withdraw_unmet(group)
    if _budget_is_used_up(draft):
        _spend_no_more(draft)
    peaks = {}
    for queue, depth in situation.queues.items():
        peaks[queue] = _peaks(situation, settings, queue, depth)
        _size_queue(draft, queue, depth, max(slots for _, slots in peaks[queue]), diagnosis.all_silent)
    for group in draft.groups:
        group.delete_drained()
    return draft.decision(peaks, diagnosis)


def _replace_sick(draft: Draft, diagnosis: Diagnosis) -> None:
    """Delete the instances whose tasks are lost, drain the others. Growing makes new ones where there is work."""
    for verdict in diagnosis.verdicts:
        group = draft.group(verdict.group)
        if verdict.at_once:
            group.delete(verdict.instance, f"is deleted: it {verdict.words} ({verdict.fault})")
        else:
            group.drain(verdict.instance, "sick", f"is to be replaced: it {verdict.words} ({verdict.fault})")
    for group in draft.groups:
        failed = sum(v.fault == "never started" and v.group == group.name for v in diagnosis.verdicts)
        if failed > group.at_work:
            group.rest(f"{failed} instances did not start")


def _withdraw_unmet(group: GroupDraft) -> None:
    """Give up what a group was asked for and did not make, once the provider or the time says that it will not."""
    known = group.memory.shortage_seen
    new = [shortage for shortage in group.look.shortages if known is None or shortage.time > known]
    if new:
        latest = max(new, key=lambda shortage: shortage.time)
        group.remember(shortage_seen=latest.time)
        group.withdraw()
        group.rest(f"{latest.kind.replace('_', ' ')}: {latest.message}")
    elif group.pending and group.overdue():
        group.withdraw()
        group.rest(f"what it was asked for did not come within {group.settings.start_seconds:g} s")


def _budget_is_used_up(draft: Draft) -> bool:
    """Whether a hold at the next look would pass the budget; from then on until the budget is raised."""
    budget, held = draft.situation.budget, draft.situation.memory.held_budget
    if budget is None:
        return False
    if held is not None and budget <= held:
        draft.held_budget = held
    elif would_pass(budget, draft.situation.spent, draft.dollars_ahead()):
        draft.held_budget = budget
        draft.reasons.append(
            f"the budget of ${budget:.2f} is used up: ${draft.situation.spent:.2f} are spent and the rest is "
            "what finishing the running tasks may take; raise the budget to go on"
        )
    return draft.held_budget is not None


def _spend_no_more(draft: Draft) -> None:
    for group in draft.groups:
        group.withdraw(booting=True)
        for instance in list(group.kept):
            group.drain(instance.name, "budget", "is drained: the budget is used up")


def _peaks(
    situation: Situation, settings: PolicySettings, queue: str, depth: QueueDepth
) -> tuple[tuple[float, int], ...]:
    """The slots of use now and lately, newest last; those that a later look exceeds are left out."""
    use = slots_in_use(depth, settings)
    recent = [
        (time, slots)
        for time, slots in situation.memory.peaks.get(queue, ())
        if situation.now - time <= settings.idle_seconds and slots > use
    ]
    return (*recent, (situation.now, use))


def _size_queue(draft: Draft, queue: str, depth: QueueDepth, peak: int, all_silent: bool) -> None:
    """Grow a queue's groups to the demand, or drain what has been of no use for a while."""
    groups = draft.by_price(queue)
    have = sum(group.slots for group in groups)
    if draft.held_budget is not None:
        return
    for group in groups:
        for name in group.least_busy()[: max(0, len(group.kept) - group.look.group.max_size)]:
            group.drain(name, "surplus", f"is drained: {group.name} may have {group.look.group.max_size} instances")
    demand = slots_to_grow_to(depth, draft.settings)
    if all_silent and depth.tasks:
        _probe(groups, queue)
    elif have < demand:
        missing = _resume(groups, demand - have, queue, demand)
        _grow(draft, groups, missing, queue, demand)
    elif have > peak:
        _drain(groups, have - peak, queue, peak)


def _probe(groups: Sequence[GroupDraft], queue: str) -> None:
    """One instance more while all are silent: if it reports, the fault was theirs and they are replaced."""
    if any(group.pending or group.unreported for group in groups):
        return
    for group in groups:
        if group.may_grow() and group.room():
            group.grow(1, f"no instance of the cluster reports; one more for queue {queue} shows whose fault it is")
            return


def _resume(groups: Sequence[GroupDraft], missing: int, queue: str, demand: int) -> int:
    """Take back drained instances that are still there; returns the slots that are missing then."""
    for group in groups:
        for name in group.resumable():
            if missing <= 0:
                return missing
            if len(group.kept) + group.pending >= group.look.group.max_size:
                break
            group.resume(name, f"is wanted again: queue {queue} has work for {demand} slots")
            missing -= group.look.group.slots
    return missing


def _grow(draft: Draft, groups: Sequence[GroupDraft], missing: int, queue: str, demand: int) -> None:
    """Share out the missing slots, cheapest groups first. A group that has to wait for its ramp keeps its share."""
    for group in groups:
        if missing <= 0:
            return
        if group.resting():
            continue
        share = min(group.room(), -(-missing // group.look.group.slots))
        missing -= share * group.look.group.slots
        count = min(share, group.step()) if group.may_grow() else 0
        affordable = draft.affordable(group)
        if count > 0 and affordable < 1:
            draft.hold_if_nothing_runs(group)
        elif count > 0:
            group.grow(min(count, affordable), f"queue {queue} has work for {demand} slots")


def _drain(groups: Sequence[GroupDraft], surplus: int, queue: str, peak: int) -> None:
    """Tell instances to take no more: of the dearest groups first, then idle ones, then those with fewest tasks."""
    for group in reversed(groups):
        if not group.may_shrink():
            # Cheaper ones would go in its place.
            return
        slots = group.look.group.slots
        surplus -= slots * group.ask_for_fewer(surplus // slots)
        for name in group.least_busy():
            if surplus < slots:
                break
            group.drain(name, "surplus", f"is drained: queue {queue} has use for no more than {peak} slots")
            surplus -= slots

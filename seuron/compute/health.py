"""Which instances are dead, stuck, full or failing.

A fault that most instances seem to have is none of theirs: a broker, a network or a store that is gone
makes all look dead or stuck at once, and replacing them would lose their work and mend nothing. So
where all are silent, or most tasks of a queue look stuck, they get `patience_factor` times as long; and
where tasks fail everywhere, no host is blamed. A task that is only long is called stuck once or twice: each time
that nothing of its queue has ended well since, the limit is twice as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from seuron.compute.groups import Instance, WorkerReport
from seuron.compute.settings import PolicySettings
from seuron.compute.situation import GroupLook, Replaced, Situation, TasksEnded

Fault = Literal["dead", "never started", "stuck", "full disk", "full memory", "failing"]
#: Faults of an instance whose tasks are lost anyway, or are the fault: it goes at once. Others may finish.
AT_ONCE: frozenset[Fault] = frozenset({"dead", "never started", "stuck"})

#: As many instances must look stuck before the fault may be elsewhere: at a tier's end few run at all, and
#: the last one, which all wait for, may well be stuck by itself.
CROWD = 3
#: The limit after which a task is called stuck grows no further than to this power of two: from half an hour, a month.
MOST_DOUBLINGS = 10


@dataclass(frozen=True)
class Verdict:
    """An instance that is to be replaced, and why, in words that follow its name."""

    instance: str
    group: str
    fault: Fault
    words: str

    @property
    def at_once(self) -> bool:
        """Whether to delete it though it may run tasks; else it is drained first."""
        return self.fault in AT_ONCE


@dataclass(frozen=True)
class Diagnosis:
    """The verdicts of one look, at most one for an instance, and what has to be kept in mind for the next.

    `notes` says where a fault was seen and nothing is replaced, because too many have it. `all_silent`
    is that no instance reports any more, though some did.
    """

    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    seen: Mapping[str, float]
    full_since: Mapping[str, float]
    stuck: Mapping[str, Replaced]
    all_silent: bool


def diagnose(situation: Situation, settings: PolicySettings) -> Diagnosis:
    """Look at every instance that is not being removed."""
    seen = last_reports(situation)
    full_since = _full_since(situation, settings)
    notes: list[str] = []
    found: dict[str, Verdict] = {}
    before = _stuck_in_a_row(situation)
    late = list(_stuck(situation, settings, before, notes))
    for verdict in (
        *_silent(situation, settings, seen, notes),
        *late,
        *_full(situation, settings, full_since),
        *_failing(situation, settings, notes),
    ):
        found.setdefault(verdict.instance, verdict)
    stuck = _stuck_after(situation, before, late)
    all_silent = _all_silent(situation, settings, seen)
    return Diagnosis(tuple(found.values()), tuple(notes), seen, full_since, stuck, all_silent)


def last_reports(situation: Situation) -> dict[str, float]:
    """When each instance that is still there reported last, also where the report itself has expired."""
    times = {}
    for _, instance in _instances(situation):
        report = situation.reports.get(instance.name)
        known = [situation.memory.seen.get(instance.name), report.time if report else None]
        if any(time is not None for time in known):
            times[instance.name] = max(time for time in known if time is not None)
    return times


def _instances(situation: Situation) -> Iterator[tuple[GroupLook, Instance]]:
    for look in situation.groups:
        for instance in look.live:
            yield look, instance


def _fresh(situation: Situation, settings: PolicySettings) -> Iterator[tuple[GroupLook, Instance, WorkerReport]]:
    """Instances with a report that is young enough to be believed."""
    for look, instance in _instances(situation):
        report = situation.reports.get(instance.name)
        if report is not None and situation.now - report.time <= settings.dead_seconds:
            yield look, instance, report


def _all_silent(situation: Situation, settings: PolicySettings, seen: Mapping[str, float]) -> bool:
    return bool(seen) and all(situation.now - time > settings.dead_seconds for time in seen.values())


def _silent(
    situation: Situation, settings: PolicySettings, seen: Mapping[str, float], notes: list[str]
) -> Iterator[Verdict]:
    """Instances that stopped reporting, or never began to."""
    now, began = situation.now, situation.memory.began
    silence = {name: now - time for name, time in seen.items()}
    patience = settings.patience_factor if _all_silent(situation, settings, seen) else 1.0
    limit = settings.dead_seconds * patience
    waiting = 0
    for look, instance in _instances(situation):
        # A policy that lost its memory must not take every instance for one that never began.
        age = now - max(instance.created, now if began is None else began)
        if instance.name in silence:
            waiting += settings.dead_seconds < silence[instance.name] <= limit
            if silence[instance.name] > limit:
                words = f"has not reported for {silence[instance.name]:.0f} s"
                yield Verdict(instance.name, look.group.name, "dead", words)
        elif age > settings.start_seconds * patience:
            words = f"has not reported since it was asked for {now - instance.created:.0f} s ago"
            yield Verdict(instance.name, look.group.name, "never started", words)
    if waiting:
        notes.append(
            f"no instance has reported for {min(silence.values()):.0f} s: the broker or the network may be down, "
            f"so none of the {waiting} is replaced before {limit:.0f} s of silence"
        )


def _succeeded(situation: Situation, queue: str) -> dict[str, int]:
    """How many tasks have ended well on each of a queue's instances."""
    names = [instance.name for look, instance in _instances(situation) if look.group.queue == queue]
    return {name: situation.ended[name].succeeded for name in names if name in situation.ended}


def _stuck_in_a_row(situation: Situation) -> dict[str, Replaced]:
    """What the memory knows of queues in which nothing has ended well since."""
    kept = {}
    for queue, replaced in situation.memory.stuck.items():
        now = _succeeded(situation, queue)
        if not any(count > replaced.succeeded.get(name, 0) for name, count in now.items()):
            kept[queue] = replaced
    return kept


def _stuck_after(situation: Situation, before: Mapping[str, Replaced], found: Sequence[Verdict]) -> dict[str, Replaced]:
    """The same after these verdicts."""
    queue_of, stuck = {look.group.name: look.group.queue for look in situation.groups}, dict(before)
    for verdict in found:
        queue = queue_of[verdict.group]
        last = before.get(queue)
        if last is None or _began(situation.reports[verdict.instance]) > last.time:
            stuck[queue] = Replaced(last.times + 1 if last else 1, situation.now, _succeeded(situation, queue))
    return stuck


def _began(report: WorkerReport) -> float:
    """When the oldest task of a worker began."""
    return report.time - report.oldest


def _stuck(
    situation: Situation, settings: PolicySettings, before: Mapping[str, Replaced], notes: list[str]
) -> Iterator[Verdict]:
    """Instances whose oldest task takes far longer than the tasks of its queue do."""
    busy: dict[str, list[tuple[str, WorkerReport]]] = {}
    for look, _, report in _fresh(situation, settings):
        if report.running:
            busy.setdefault(look.group.queue, []).append((look.group.name, report))
    for queue, reports in busy.items():
        depth = situation.queues.get(queue)
        if depth is None or depth.task_seconds is None:
            continue
        limit = max(settings.stuck_seconds, settings.stuck_factor * depth.task_seconds)
        limits = {report.instance: limit * _patience(report, before.get(queue)) for _, report in reports}
        late = sum(report.oldest > limits[report.instance] for _, report in reports)
        if late >= CROWD and 2 * late > len(reports):
            limits = {name: longer * settings.patience_factor for name, longer in limits.items()}
            notes.append(
                f"tasks on {late} of {len(reports)} busy instances of queue {queue} take long: the store or the data "
                f"may be slow, so none is called stuck before {limit * settings.patience_factor:.0f} s"
            )
        for group, report in reports:
            if report.oldest > limits[report.instance]:
                words = f"works at a task for {report.oldest:.0f} s; {depth.task_seconds:.0f} s are usual"
                yield Verdict(report.instance, group, "stuck", words)


def _patience(report: WorkerReport, last: Replaced | None) -> int:
    """How many times as long a task is given, because it may be the one that was called stuck before."""
    if last is None:
        return 1
    times = last.times if _began(report) > last.time else last.times - 1
    power: int = 2 ** min(times, MOST_DOUBLINGS)
    return power


def _full_since(situation: Situation, settings: PolicySettings) -> dict[str, float]:
    since = situation.memory.full_since
    return {
        instance.name: since.get(instance.name, situation.now)
        for _, instance, report in _fresh(situation, settings)
        if report.memory >= settings.full_memory
    }


def _full(situation: Situation, settings: PolicySettings, since: Mapping[str, float]) -> Iterator[Verdict]:
    """Instances whose disk is full, or whose memory has been for some time: memory has peaks, disks seldom."""
    for look, instance, report in _fresh(situation, settings):
        if report.disk >= settings.full_disk:
            words = f"has {report.disk:.0%} of its disk in use"
            yield Verdict(instance.name, look.group.name, "full disk", words)
        elif situation.now - since.get(instance.name, float("inf")) >= settings.full_seconds:
            words = f"has {report.memory:.0%} of its memory in use"
            yield Verdict(instance.name, look.group.name, "full memory", words)


def _failing(situation: Situation, settings: PolicySettings, notes: list[str]) -> Iterator[Verdict]:
    """Instances on which tasks fail, while they do not on others of the same queue."""
    queues: dict[str, list[tuple[str, str, TasksEnded]]] = {}
    for look, instance in _instances(situation):
        ended = situation.ended.get(instance.name)
        if ended is not None:
            queues.setdefault(look.group.queue, []).append((instance.name, look.group.name, ended))
    for queue, hosts in queues.items():
        bad = [host for host in hosts if _suspicious(host[2], settings)]
        names = {name for name, _, _ in bad}
        others = [ended for name, _, ended in hosts if name not in names]
        rest = TasksEnded(sum(ended.failed for ended in others), sum(ended.succeeded for ended in others))
        if len(hosts) > 1 and (2 * len(bad) > len(hosts) or _share(rest) >= settings.host_failure_share):
            if bad:
                notes.append(f"tasks fail on most instances of queue {queue}: it is the tasks, no host is blamed")
            continue
        for name, group, ended in bad:
            words = f"has failed at {ended.failed} of {ended.failed + ended.succeeded} tasks"
            yield Verdict(name, group, "failing", words)


def _suspicious(ended: TasksEnded, settings: PolicySettings) -> bool:
    return ended.failed >= settings.host_failures and _share(ended) >= settings.host_failure_share


def _share(ended: TasksEnded) -> float:
    """The share of tasks that failed; 0 where none has ended."""
    return ended.failed / max(1, ended.failed + ended.succeeded)

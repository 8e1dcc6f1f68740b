"""Which instances are dead, stuck, full or failing.

A fault that most instances seem to have is none of theirs: a broker, a network or a store that is gone
makes all look dead or stuck at once, and replacing them would lose their work and fix nothing. So
where all are silent, or most tasks of a queue look stuck, they get `patience_factor` times as long; and
where tasks fail everywhere, no host is blamed. A task that is only long is called stuck once or twice: each time
that nothing of its queue has ended well since, the limit is twice as long.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from seuron.cluster.cluster_state import ClusterState, GroupState, Replaced, TasksEnded
from seuron.cluster.groups import Instance, WorkerReport
from seuron.cluster.settings import PolicySettings

Fault = Literal["dead", "never started", "stuck", "full disk", "full memory", "failing"]

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
        """Whether its tasks are lost anyway, or are the fault: it is deleted. Else it is drained first."""
        return self.fault in ("dead", "never started", "stuck")


@dataclass(frozen=True)
class Diagnosis:
    """The verdicts of one step, at most one for an instance, and what has to be kept in mind for the next.

    `notes` says where a fault was seen and nothing is replaced, because too many have it. `all_silent`
    is that no instance reports any more, though some did. `seen` is when each instance that is still there reported
    last, also where the report itself has expired.
    """

    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    seen: Mapping[str, float]
    full_since: Mapping[str, float]
    stuck: Mapping[str, Replaced]
    all_silent: bool


def diagnose(cluster: ClusterState, settings: PolicySettings) -> Diagnosis:
    """Look at every instance that is not being removed."""
    examination = _Examination(cluster, settings)
    stuck = list(examination.stuck())
    found: dict[str, Verdict] = {}
    for verdict in (*examination.silent(), *stuck, *examination.full(), *examination.failing()):
        found.setdefault(verdict.instance, verdict)
    return Diagnosis(
        tuple(found.values()),
        tuple(examination.notes),
        examination.seen,
        examination.full_since,
        examination.replaced_after(stuck),
        examination.all_silent,
    )


class _Examination:
    """What is looked at. `fresh` are the instances with a report that is young enough to be believed."""

    def __init__(self, cluster: ClusterState, settings: PolicySettings) -> None:
        self.cluster, self.settings, self.now = cluster, settings, cluster.now
        self.notes: list[str] = []
        self.instances = [(group, instance) for group in cluster.groups for instance in group.live]
        self.seen = self._seen()
        silence = (self.now - time for time in self.seen.values())
        self.all_silent = bool(self.seen) and all(seconds > settings.dead_seconds for seconds in silence)
        self.fresh: list[tuple[GroupState, Instance, WorkerReport]] = [
            (group, instance, report)
            for group, instance in self.instances
            if (report := cluster.reports.get(instance.name)) and self.now - report.time <= settings.dead_seconds
        ]
        since = cluster.memory.full_since
        self.full_since = {
            instance.name: since.get(instance.name, self.now)
            for _, instance, report in self.fresh
            if report.memory >= settings.full_memory
        }
        #: What the memory knows of queues in which nothing has ended well since.
        self.replaced = {
            queue: replaced
            for queue, replaced in cluster.memory.stuck.items()
            if all(count <= replaced.succeeded.get(name, 0) for name, count in self._succeeded(queue).items())
        }

    def _seen(self) -> dict[str, float]:
        times = {}
        for _, instance in self.instances:
            report = self.cluster.reports.get(instance.name)
            known = [self.cluster.memory.seen.get(instance.name), report.time if report else None]
            if found := [time for time in known if time is not None]:
                times[instance.name] = max(found)
        return times

    def _succeeded(self, queue: str) -> dict[str, int]:
        """How many tasks have ended well on each of a queue's instances."""
        names = [instance.name for group, instance in self.instances if group.group.queue == queue]
        return {name: self.cluster.ended[name].succeeded for name in names if name in self.cluster.ended}

    def silent(self) -> Iterator[Verdict]:
        """Instances that stopped reporting, or never began to."""
        settings, began = self.settings, self.cluster.memory.began
        patience = settings.patience_factor if self.all_silent else 1.0
        limit, waiting = settings.dead_seconds * patience, 0
        for group, instance in self.instances:
            # A policy that lost its memory must not take every instance for one that never began.
            age = self.now - max(instance.created, self.now if began is None else began)
            if instance.name in self.seen:
                silence = self.now - self.seen[instance.name]
                waiting += settings.dead_seconds < silence <= limit
                if silence > limit:
                    yield Verdict(instance.name, group.group.name, "dead", f"has not reported for {silence:.0f} s")
            elif age > settings.start_seconds * patience:
                words = f"has not reported since it was asked for {self.now - instance.created:.0f} s ago"
                yield Verdict(instance.name, group.group.name, "never started", words)
        if waiting:
            self.notes.append(
                f"no instance has reported for {self.now - max(self.seen.values()):.0f} s: the broker or the network "
                f"may be down, so none of the {waiting} is replaced before {limit:.0f} s of silence"
            )

    def stuck(self) -> Iterator[Verdict]:
        """Instances whose oldest task takes far longer than the tasks of its queue do."""
        settings = self.settings
        busy: dict[str, list[tuple[str, WorkerReport]]] = defaultdict(list)
        for group, _, report in self.fresh:
            if report.running:
                busy[group.group.queue].append((group.group.name, report))
        for queue, reports in busy.items():
            depth = self.cluster.queues.get(queue)
            if depth is None or depth.task_seconds is None:
                continue
            limit = max(settings.stuck_seconds, settings.stuck_factor * depth.task_seconds)
            limits = {report.instance: limit * self._patience(report, queue) for _, report in reports}
            late = sum(report.oldest > limits[report.instance] for _, report in reports)
            if late >= CROWD and 2 * late > len(reports):
                limits = {name: longer * settings.patience_factor for name, longer in limits.items()}
                self.notes.append(
                    f"tasks on {late} of {len(reports)} busy instances of queue {queue} take long: the store or the "
                    f"data may be slow, so none is called stuck before {limit * settings.patience_factor:.0f} s"
                )
            for name, report in reports:
                if report.oldest > limits[report.instance]:
                    words = f"works at a task for {report.oldest:.0f} s; {depth.task_seconds:.0f} s are usual"
                    yield Verdict(report.instance, name, "stuck", words)

    def _patience(self, report: WorkerReport, queue: str) -> int:
        """How many times as long a task is given, because it may be the one that was called stuck before."""
        last = self.replaced.get(queue)
        if last is None:
            return 1
        times = last.times if _began(report) > last.time else last.times - 1
        power: int = 2 ** min(times, MOST_DOUBLINGS)
        return power

    def replaced_after(self, stuck: Sequence[Verdict]) -> dict[str, Replaced]:
        """What the memory has to know of stuck tasks after these verdicts."""
        queues = {group.group.name: group.group.queue for group in self.cluster.groups}
        replaced = dict(self.replaced)
        for verdict in stuck:
            queue = queues[verdict.group]
            last = self.replaced.get(queue)
            if last is None or _began(self.cluster.reports[verdict.instance]) > last.time:
                replaced[queue] = Replaced(last.times + 1 if last else 1, self.now, self._succeeded(queue))
        return replaced

    def full(self) -> Iterator[Verdict]:
        """Instances whose disk is full, or whose memory has been for some time: memory has peaks, disks seldom."""
        for group, instance, report in self.fresh:
            since = self.full_since.get(instance.name, float("inf"))
            if report.disk >= self.settings.full_disk:
                words = f"has {report.disk:.0%} of its disk in use"
                yield Verdict(instance.name, group.group.name, "full disk", words)
            elif self.now - since >= self.settings.full_seconds:
                words = f"has {report.memory:.0%} of its memory in use"
                yield Verdict(instance.name, group.group.name, "full memory", words)

    def failing(self) -> Iterator[Verdict]:
        """Instances on which tasks fail, while they do not on others of the same queue."""
        settings = self.settings
        queues: dict[str, list[tuple[str, str, TasksEnded]]] = defaultdict(list)
        for group, instance in self.instances:
            if ended := self.cluster.ended.get(instance.name):
                queues[group.group.queue].append((instance.name, group.group.name, ended))
        for queue, hosts in queues.items():
            bad = [
                (name, group_name, ended)
                for name, group_name, ended in hosts
                if ended.failed >= settings.host_failures and ended.share >= settings.host_failure_share
            ]
            others = [host[2] for host in hosts if host not in bad]
            rest = TasksEnded(sum(ended.failed for ended in others), sum(ended.succeeded for ended in others))
            if len(hosts) > 1 and (2 * len(bad) > len(hosts) or rest.share >= settings.host_failure_share):
                if bad:
                    self.notes.append(
                        f"tasks fail on most instances of queue {queue}: it is the tasks, no host is blamed"
                    )
                continue
            for name, group_name, ended in bad:
                words = f"has failed at {ended.failed} of {ended.failed + ended.succeeded} tasks"
                yield Verdict(name, group_name, "failing", words)


def _began(report: WorkerReport) -> float:
    """When the oldest task of a worker began."""
    return report.time - report.oldest

"""Which instances are given up: each fault, its limit, and the faults that are nobody's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from scaling_situations import NOW, group, instance, report, situations, through_json

from seuron.cluster.cluster_state import ClusterState, GroupState, PolicyMemory, QueueDepth, Replaced, TasksEnded
from seuron.cluster.groups import WorkerReport
from seuron.cluster.health import Verdict, diagnose
from seuron.cluster.policy import decide
from seuron.cluster.settings import PolicySettings

SETTINGS = PolicySettings()
LONG_AGO = NOW - 100_000


def situation(
    reports: dict[str, WorkerReport],
    *,
    count: int = 4,
    age: float = 5000.0,
    seen: dict[str, float] | None = None,
    full_since: dict[str, float] | None = None,
    ended: dict[str, TasksEnded] | None = None,
    mean: float | None = 60.0,
    began: float | None = LONG_AGO,
) -> ClusterState:
    found = tuple(instance(f"a-{i}", age=age) for i in range(count))
    memory = PolicyMemory(began=began, seen=seen or {}, full_since=full_since or {})
    depth = QueueDepth(5, 5, mean)
    return ClusterState(
        NOW, {"cpu": depth}, (GroupState(group("a"), found, count),), reports, ended or {}, memory=memory
    )


def well(*numbers: int, running: int = 1) -> dict[str, WorkerReport]:
    return {f"a-{i}": report(f"a-{i}", running, oldest=20.0 if running else 0.0) for i in numbers}


def verdicts(seen: ClusterState) -> dict[str, str]:
    return {verdict.instance: verdict.fault for verdict in diagnose(seen, SETTINGS).verdicts}


def test_who_reports_is_well() -> None:
    """Fresh reports of ordinary work give no verdict and no note."""
    found = diagnose(situation(well(0, 1, 2, 3)), SETTINGS)
    assert not found.verdicts
    assert not found.notes


@pytest.mark.parametrize(("ago", "dead"), [(170.0, False), (190.0, True)])
def test_silence_is_death(ago: float, dead: bool) -> None:
    """A worker that has not reported for `dead_seconds` is dead, whether its last report can still be read or not."""
    late = {**well(0, 1, 2), "a-3": report("a-3", 1, ago=ago)}
    expired = situation(well(0, 1, 2), seen={"a-3": NOW - ago})
    for seen in (situation(late), expired):
        assert verdicts(seen) == ({"a-3": "dead"} if dead else {})


@pytest.mark.parametrize(("age", "failed"), [(590.0, False), (610.0, True)])
def test_who_never_began_is_given_up(age: float, failed: bool) -> None:
    """An instance without any report is given up `start_seconds` after it was asked for."""
    found = verdicts(situation({}, age=age))
    assert set(found.values()) == ({"never started"} if failed else set())


def test_a_policy_without_memory_waits() -> None:
    """After its memory is lost it does not take silent instances for ones that never began, until it has waited."""
    assert not verdicts(situation({}, began=None))
    assert not verdicts(situation({}, began=NOW - SETTINGS.start_seconds + 1))
    assert len(verdicts(situation({}, began=NOW - SETTINGS.start_seconds - 1))) == 4


def test_when_all_are_silent_nobody_is_replaced() -> None:
    """All dead at once is a broker or a network: none is deleted before much longer, and it is said."""
    ago = SETTINGS.dead_seconds + 60
    silent = situation({}, seen={f"a-{i}": NOW - ago for i in range(4)})
    found = diagnose(silent, SETTINGS)
    assert not found.verdicts
    assert found.all_silent
    assert "the broker or the network may be down" in found.notes[0]
    decision = decide(silent, SETTINGS)
    assert not decision.delete
    assert decision.targets == {"a": 5}, "one more shows whose fault it is"


def test_when_one_reports_again_the_silent_ones_are_dead() -> None:
    """The guard ends as soon as any instance speaks, and after `patience_factor` times the limit."""
    ago = SETTINGS.dead_seconds + 60
    seen = {f"a-{i}": NOW - ago for i in range(4)}
    assert verdicts(situation(well(0), seen=seen)) == dict.fromkeys(("a-1", "a-2", "a-3"), "dead")
    longer = SETTINGS.dead_seconds * SETTINGS.patience_factor + 1
    assert len(verdicts(situation({}, seen=dict.fromkeys(seen, NOW - longer)))) == 4


def test_new_instances_have_patience_too_while_all_are_silent() -> None:
    """What boots while the broker is down cannot report; it is not called broken for that."""
    silent = situation({}, age=SETTINGS.start_seconds + 60, seen={"a-0": NOW - SETTINGS.dead_seconds - 60})
    assert not verdicts(silent)


def test_a_stuck_task_is_seen() -> None:
    """A task far older than its queue's mean and the least limit is stuck; where the mean is long, it is not."""
    slow = {**well(0, 1, 2), "a-3": report("a-3", 1, oldest=SETTINGS.stuck_seconds + 1)}
    assert verdicts(situation(slow)) == {"a-3": "stuck"}
    assert not verdicts(situation(slow, mean=SETTINGS.stuck_seconds / 4))
    young = {**well(0, 1, 2), "a-3": report("a-3", 1, oldest=SETTINGS.stuck_seconds - 1)}
    assert not verdicts(situation(young))
    assert not verdicts(situation(slow, mean=None)), "nothing is known of how long tasks take"


def test_the_last_task_of_a_tier_may_be_stuck() -> None:
    """With one busy instance left there is no crowd to blame a store: it is replaced at the ordinary limit."""
    alone = {**well(0, 1, 2, running=0), "a-3": report("a-3", 1, oldest=SETTINGS.stuck_seconds + 1)}
    assert verdicts(situation(alone)) == {"a-3": "stuck"}


def test_a_task_that_is_only_long_is_left_to_its_end() -> None:
    """Each time that nothing has ended well since a task was called stuck, the limit is twice as long: else a task
    that is longer than the limit would be begun again for ever. Once something has, it is the ordinary limit again.
    """

    def alone(oldest: float, ended: int, memory: PolicyMemory) -> ClusterState:
        busy = {**well(0, 1, 2, running=0), "a-3": report("a-3", 1, oldest=oldest)}
        made = situation(busy, ended={"a-0": TasksEnded(succeeded=ended)})
        return replace(made, memory=replace(made.memory, stuck=memory.stuck))

    limit, memory = SETTINGS.stuck_seconds, PolicyMemory()
    for doublings in range(3):
        patient = alone(limit * 2**doublings - 1, 7, memory)
        assert not verdicts(patient)
        memory = through_json(decide(patient, SETTINGS).memory)
        late = alone(limit * 2**doublings + 1, 7, memory)
        assert verdicts(late) == {"a-3": "stuck"}
        memory = decide(late, SETTINGS).memory
        assert memory.stuck["cpu"].times == doublings + 1
        # The next look is of a task that began after this one.
        long_ago = NOW - limit * 2 ** (doublings + 2)
        memory = replace(memory, stuck={"cpu": replace(memory.stuck["cpu"], time=long_ago)})
    assert not verdicts(alone(limit + 1, 7, memory))
    assert verdicts(alone(limit + 1, 8, memory)) == {"a-3": "stuck"}
    assert decide(alone(1.0, 8, memory), SETTINGS).memory.stuck == {}


def test_tasks_that_hang_at_once_are_all_stuck() -> None:
    """A task that began before another was called stuck is not that one begun again: it has the ordinary limit."""
    memory = PolicyMemory(stuck={"cpu": Replaced(1, NOW - 60, {})})
    late = situation({**well(0, 1, 2), "a-3": report("a-3", 1, oldest=SETTINGS.stuck_seconds + 1)})
    found = replace(late, memory=replace(late.memory, stuck=memory.stuck))
    assert verdicts(found) == {"a-3": "stuck"}
    assert decide(found, SETTINGS).memory.stuck["cpu"].times == 1


def test_when_most_are_slow_nobody_is_stuck() -> None:
    """A slow object store makes all tasks late: they are left alone for `patience_factor` times as long."""
    late = {f"a-{i}": report(f"a-{i}", 1, oldest=SETTINGS.stuck_seconds + 60) for i in range(4)}
    found = diagnose(situation(late), SETTINGS)
    assert not found.verdicts
    assert "the store or the data may be slow" in found.notes[0]
    oldest = SETTINGS.stuck_seconds * SETTINGS.patience_factor + 1
    longer = {f"a-{i}": report(f"a-{i}", 1, oldest=oldest) for i in range(4)}
    assert len(verdicts(situation(longer))) == 4


def test_a_full_memory_is_a_fault_when_it_stays() -> None:
    """Too full for a while is a fault, a peak is not. Its tasks may finish: it is drained, not deleted."""
    full = {**well(0, 1, 2), "a-3": report("a-3", 1, memory=0.99)}
    first = diagnose(situation(full), SETTINGS)
    assert not first.verdicts
    assert first.full_since == {"a-3": NOW}
    still = situation(full, full_since={"a-3": NOW - SETTINGS.full_seconds})
    assert verdicts(still) == {"a-3": "full memory"}
    decision = decide(still, SETTINGS)
    assert decision.drain == ("a-3",)
    assert not decision.delete
    assert decision.memory.draining["a-3"].cause == "sick"
    again = diagnose(situation(well(0, 1, 2, 3), full_since={"a-3": NOW - 500}), SETTINGS)
    assert not again.full_since, "a peak that has passed is forgotten"


def test_a_full_disk_is_drained_at_once() -> None:
    """The next task would fail, so nothing is waited for; what runs may finish."""
    full = {**well(0, 1, 2), "a-3": report("a-3", 1, disk=0.99)}
    assert verdicts(situation(full)) == {"a-3": "full disk"}
    assert decide(situation(full), SETTINGS).drain == ("a-3",)
    assert not decide(situation(full), SETTINGS).delete
    assert not verdicts(situation({**well(0, 1, 2), "a-3": report("a-3", 1, disk=0.9)}))


def test_a_host_that_fails_again_and_again_is_replaced() -> None:
    """Many failures and few successes make a bad host, if tasks succeed elsewhere."""
    fine = {f"a-{i}": TasksEnded(1, 30) for i in range(3)}
    bad = situation(well(0, 1, 2, 3), ended={**fine, "a-3": TasksEnded(6, 2)})
    assert verdicts(bad) == {"a-3": "failing"}
    assert not verdicts(situation(well(0, 1, 2, 3), ended={**fine, "a-3": TasksEnded(6, 60)}))
    assert not verdicts(situation(well(0, 1, 2, 3), ended={**fine, "a-3": TasksEnded(4, 0)}))


def test_when_tasks_fail_everywhere_no_host_is_blamed() -> None:
    """A task that fails on every host is broken itself; replacing hosts would only cost money."""
    everywhere = situation(well(0, 1, 2, 3), ended={f"a-{i}": TasksEnded(9, 1) for i in range(4)})
    found = diagnose(everywhere, SETTINGS)
    assert not found.verdicts
    assert "no host is blamed" in found.notes[0]
    half = {"a-3": TasksEnded(9, 1), "a-0": TasksEnded(4, 3), "a-1": TasksEnded(4, 4)}
    assert not verdicts(situation(well(0, 1, 2, 3), ended=half))


@given(situations())
def test_verdicts_are_about_what_is_there(seen: ClusterState) -> None:
    """Each is about one live instance of the group it names; who reported just now is neither dead nor unborn."""
    found: tuple[Verdict, ...] = diagnose(seen, SETTINGS).verdicts
    live = {made.name: look.group.name for look in seen.groups for made in look.live}
    assert len({verdict.instance for verdict in found}) == len(found)
    for verdict in found:
        assert live[verdict.instance] == verdict.group
        told = seen.reports.get(verdict.instance)
        if told is not None and seen.now - told.time <= SETTINGS.dead_seconds:
            assert verdict.fault not in {"dead", "never started"}

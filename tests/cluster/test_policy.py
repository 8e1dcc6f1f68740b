"""The policy's laws, for any situation and for any row of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scaling_situations import NOW, Obedient, group, instance, report, situations, through_json

from seuron.cluster.cluster_state import (
    ClusterState,
    Decision,
    Draining,
    GroupMemory,
    GroupState,
    PolicyMemory,
    QueueDepth,
)
from seuron.cluster.decision_builder import price_of_work
from seuron.cluster.groups import Group, Shortage
from seuron.cluster.health import diagnose
from seuron.cluster.policy import decide, slots_in_use, slots_to_grow_to
from seuron.cluster.settings import PolicySettings
from seuron.errors import ParameterErrors
from seuron.params.model import parse_parameters

SETTINGS = PolicySettings()
#: Units by how a setting's name ends.
UNITS = {"_per_second": "1/s", "_seconds": "s", "_hours": "h"}
#: Much of what groups there may be: two zones, spot and on demand, one slot and several.
GROUPS = (
    group("cheap", slots=2, max_size=6, price=0.2),
    group("middle", slots=1, max_size=20, price=0.2, spot=True),
    group("dear", slots=4, max_size=10, price=2.0),
)


def before(look: GroupState) -> int:
    """The size that a group was asked for, or has if that is more."""
    return max(look.target, len(look.live))


def proven(situation: ClusterState, look: GroupState) -> int:
    """The instances of a group whose workers have been heard of."""
    return sum(i.name in situation.reports or i.name in situation.memory.seen for i in look.live)


@given(situations())
def test_the_same_situation_gives_the_same_decision(situation: ClusterState) -> None:
    """A decision depends on nothing but its input, and memory that went through JSON is the same memory."""
    first = decide(situation, SETTINGS)
    assert decide(situation, SETTINGS) == first
    stored = replace(situation, memory=through_json(situation.memory))
    assert decide(stored, SETTINGS) == first
    assert through_json(first.memory) == first.memory


@given(situations())
def test_growth_is_bounded(situation: ClusterState) -> None:
    """A group grows to `first_instances` or twice what is at work, never above its largest size, and in steps."""
    decision = decide(situation, SETTINGS)
    for look in situation.groups:
        target, size = decision.targets[look.group.name], before(look)
        deleted = len(decision.delete.get(look.group.name, ()))
        memory = situation.memory.groups.get(look.group.name, GroupMemory())
        assert target <= max(look.group.max_size, size)
        if target > size - deleted:
            assert target <= max(SETTINGS.first_instances, 2 * proven(situation, look))
            assert memory.grown is None or situation.now - memory.grown >= SETTINGS.ramp_seconds
            assert memory.shrunk is None or situation.now - memory.shrunk >= SETTINGS.settle_seconds
            assert memory.rest_until is None or situation.now >= memory.rest_until
            assert not look.shortages
            assert decision.memory.groups[look.group.name].grown == situation.now


@given(situations())
def test_nothing_busy_is_deleted(situation: ClusterState) -> None:
    """What reports running tasks stays, unless it is dead or stuck; sizes are never below what is there."""
    decision = decide(situation, SETTINGS)
    lost = {verdict.instance for verdict in diagnose(situation, SETTINGS).verdicts if verdict.at_once}
    for look in situation.groups:
        deleted = decision.delete.get(look.group.name, ())
        assert len(set(deleted)) == len(deleted)
        assert set(deleted) <= {found.name for found in look.live}
        assert decision.targets[look.group.name] >= len(look.live) - len(deleted)
        for name in set(deleted) - lost:
            told = situation.reports.get(name)
            if told is None:
                assert name not in situation.memory.seen, "only what has never begun goes without a report"
            else:
                assert told.running == 0
                assert name in situation.memory.draining
                assert told.time >= situation.memory.draining[name].since


@given(situations())
def test_orders_do_not_contradict_each_other(situation: ClusterState) -> None:
    """No instance is both deleted and told something, or told two things; each change has its sentence."""
    decision = decide(situation, SETTINGS)
    deleted = {name for names in decision.delete.values() for name in names}
    assert not deleted & {*decision.drain, *decision.resume}
    assert not {*decision.drain} & {*decision.resume}
    assert {*decision.drain} <= set(decision.memory.draining)
    assert not {*decision.resume} & set(decision.memory.draining)
    for name in (*deleted, *decision.resume):
        assert any(name in reason for reason in decision.reasons)


@given(situations())
def test_the_cheapest_groups_grow_first(situation: ClusterState) -> None:
    """A group grows only where every cheaper one of the queue is full, rests or has to wait for its next step."""
    situation = replace(situation, budget=None)
    decision = decide(situation, SETTINGS)
    for look in situation.groups:
        deleted = len(decision.delete.get(look.group.name, ()))
        if decision.targets[look.group.name] <= before(look) - deleted:
            continue
        seconds = situation.queues[look.group.queue].task_seconds or SETTINGS.assumed_seconds
        price = price_of_work(look.group, seconds, SETTINGS)
        for other in situation.groups:
            if other.group.queue != look.group.queue or price_of_work(other.group, seconds, SETTINGS) >= price:
                continue
            memory = decision.memory.groups[other.group.name]
            target = decision.targets[other.group.name]
            waits = memory.grown is not None and situation.now - memory.grown < max(1, SETTINGS.ramp_seconds)
            settles = memory.shrunk is not None and situation.now - memory.shrunk < SETTINGS.settle_seconds
            rests = memory.rest_until is not None and situation.now < memory.rest_until
            first, known = SETTINGS.first_instances, situation.memory.groups.get(other.group.name)
            if not proven(situation, other) and known is not None:
                first = max(1, first >> known.rests)  # each rest halves the next try
            stepped = target >= max(first, 2 * proven(situation, other))
            unproven = target >= SETTINGS.first_instances
            assert target >= other.group.max_size or waits or settles or rests or stepped or unproven


@given(situations().filter(lambda situation: situation.budget is not None))
def test_a_used_up_budget_stops_all(situation: ClusterState) -> None:
    """With nothing left no group grows, everything that may be told so takes no more, and queues are held."""
    situation = replace(situation, spent=(situation.budget or 0.0) + 0.01)
    decision = decide(situation, SETTINGS)
    for look in situation.groups:
        assert decision.targets[look.group.name] <= len(look.live)
        for found in look.live:
            kept = found.name not in decision.delete.get(look.group.name, ())
            assert not kept or found.name in decision.memory.draining
    assert set(decision.held) == {queue for queue, depth in situation.queues.items() if depth.ready}
    assert not decision.resume


def states() -> st.SearchStrategy[list[QueueDepth]]:
    one = st.builds(QueueDepth, st.integers(0, 300), st.integers(0, 12), st.floats(1, 3000))
    return st.lists(st.tuples(one, st.integers(1, 12)).map(lambda pair: [pair[0]] * pair[1]), max_size=12).map(
        lambda parts: [depth for part in parts for depth in part]
    )


def sizes(looked: list[tuple[ClusterState, Decision]], name: str) -> list[tuple[float, int, int]]:
    """Time, size asked for before, and size asked for then, of a group at each look."""
    return [
        (situation.now, next(before(look) for look in situation.groups if look.group.name == name), d.targets[name])
        for situation, d in looked
    ]


@given(states())
def test_a_group_is_not_shrunk_and_grown_in_turn(row: list[QueueDepth]) -> None:
    """Between growing and shrinking a group, either way, lies `settle_seconds`, whatever the demand does."""
    cluster = Obedient(GROUPS, SETTINGS)
    looked = [cluster.look({"cpu": depth}) for depth in row]
    for made in GROUPS:
        changes = [(time, new - old) for time, old, new in sizes(looked, made.name) if new != old]
        for (first, one), (second, other) in pairwise(changes):
            if one * other < 0:
                assert second - first >= SETTINGS.settle_seconds


@given(states(), st.builds(QueueDepth, st.integers(0, 300), st.integers(0, 12), st.floats(1, 3000)))
def test_constant_demand_gives_constant_targets(row: list[QueueDepth], depth: QueueDepth) -> None:
    """Whatever was before, after enough looks at the same queue nothing changes any more."""
    cluster = Obedient(GROUPS, SETTINGS)
    for earlier in row:
        cluster.look({"cpu": earlier})
    settled = [cluster.look({"cpu": depth})[1] for _ in range(60)][40:]
    assert all(decision.targets == settled[0].targets for decision in settled)
    assert not any(decision.resume or decision.delete for decision in settled)


@given(states())
def test_nothing_is_left_when_nothing_is_to_be_done(row: list[QueueDepth]) -> None:
    """Without tasks all groups are empty once the idle time, a boot and a few looks are over."""
    cluster = Obedient(GROUPS, SETTINGS)
    for depth in row:
        cluster.look({"cpu": depth})
    for _ in range(20):
        _, decision = cluster.look({"cpu": QueueDepth(0, 0)})
    assert decision.targets == {made.name: 0 for made in GROUPS}
    assert not cluster.instances


@given(st.integers(1, 5000), st.floats(0.1, 5000))
def test_ready_tasks_get_a_slot(ready: int, seconds: float) -> None:
    """One instance at least where anything is ready, and no more slots than tasks or than the groups have."""
    cluster = Obedient(GROUPS, SETTINGS)
    for _ in range(40):
        cluster.look({"cpu": QueueDepth(ready, 0, seconds)})
    slots = sum(made.slots * cluster.targets[made.name] for made in GROUPS)
    assert slots >= 1
    assert slots < ready + max(made.slots for made in GROUPS)


@given(st.integers(0, 10**6), st.integers(0, 10**4), st.floats(0.01, 1e5))
def test_demand_follows_the_work(ready: int, running: int, seconds: float) -> None:
    """Slots grow with the work, are never more than there are tasks, and never fewer than shrinking keeps."""
    depth = QueueDepth(ready, running, seconds)
    slots = slots_to_grow_to(depth, SETTINGS)
    assert (slots > 0) == (ready > 0)
    assert slots <= slots_in_use(depth, SETTINGS) <= ready + running
    assert slots <= slots_to_grow_to(replace(depth, ready=ready + 1), SETTINGS)
    if ready:
        work = (ready + running) * seconds
        assert slots <= max(1, work / SETTINGS.target_seconds + 1)
        assert slots <= max(1, SETTINGS.starts_per_second * seconds + 1)


def test_short_tasks_do_not_get_an_instance_each() -> None:
    """Eighty tasks of five seconds are one slot's work; a hundred of an hour want a slot each."""
    assert slots_to_grow_to(QueueDepth(80, 0, 5.0), SETTINGS) == 1
    assert slots_to_grow_to(QueueDepth(100, 0, 3600.0), SETTINGS) == 100
    assert slots_to_grow_to(QueueDepth(100, 0, None, 3600.0), SETTINGS) == 100


def at_work(made: Group, count: int, running: int = 1, **changes: object) -> tuple[GroupState, dict[str, object]]:
    found = tuple(instance(f"{made.name}-{i}", made.name) for i in range(count))
    return GroupState(made, found, count), {i.name: report(i.name, running, **changes) for i in found}


def test_a_shortage_moves_the_demand() -> None:
    """What a zone has no stock for is asked of the next cheapest one, and the zone rests, longer each time."""
    cheap, dear = group("cheap", price=1.0), group("dear", price=2.0)
    unmet = instance("cheap-1", "cheap", "starting", age=100)
    told = Shortage("cheap", "no_stock", "no machines in zone-cheap", NOW - 10)
    situation = ClusterState(
        NOW, {"cpu": QueueDepth(50, 0, 900.0)}, (GroupState(cheap, (unmet,), 10, (told,)), GroupState(dear))
    )
    first = decide(situation, SETTINGS)
    assert first.targets == {"cheap": 0, "dear": SETTINGS.first_instances}
    assert first.delete == {"cheap": ("cheap-1",)}
    assert first.memory.groups["cheap"].rest_until == NOW + SETTINGS.rest_seconds
    assert any("no machines in zone-cheap" in reason for reason in first.reasons)
    again = Shortage("cheap", "quota", "8 of 8 used", NOW + 190)
    later = replace(
        situation,
        now=NOW + 200,
        groups=(GroupState(cheap, (), 3, (told, again)), GroupState(dear)),
        memory=first.memory,
    )
    assert decide(later, SETTINGS).memory.groups["cheap"].rest_until == NOW + 200 + 2 * SETTINGS.rest_seconds


def test_a_shortage_is_counted_once() -> None:
    """A provider repeats what it said for minutes; the zone does not rest anew for that."""
    told = Shortage("a", "no_stock", "none", NOW - 10)
    situation = ClusterState(NOW, {"cpu": QueueDepth(5, 0, 900.0)}, (GroupState(group("a"), (), 0, (told,)),))
    first = decide(situation, SETTINGS)
    later = replace(situation, now=NOW + SETTINGS.rest_seconds + 1, memory=first.memory)
    assert decide(later, SETTINGS).targets["a"] == 5


def test_a_resize_that_comes_to_nothing_is_given_up() -> None:
    """Where neither instances nor an error follow a resize, the demand moves on after the start limit."""
    groups = (GroupState(group("a"), (), 5), GroupState(group("b", price=2.0)))
    memory = PolicyMemory(began=NOW - 9000, groups={"a": GroupMemory(grown=NOW - SETTINGS.start_seconds - 1)})
    decision = decide(ClusterState(NOW, {"cpu": QueueDepth(5, 0, 900.0)}, groups, memory=memory), SETTINGS)
    assert decision.targets == {"a": 0, "b": 5}


def test_the_dearest_are_drained_first_then_the_idle() -> None:
    """Of two groups the dear one is drained, its idle instances before busy ones, and busy ones are not deleted."""
    cheap, cheap_reports = at_work(group("cheap", price=1.0), 2, 1)
    dear, dear_reports = at_work(group("dear", price=8.0, slots=4), 2, 3)
    reports = {**cheap_reports, **dear_reports, "dear-1": report("dear-1", 0)}
    situation = ClusterState(NOW, {"cpu": QueueDepth(1, 5, 60.0)}, (cheap, dear), reports)  # type: ignore[arg-type]
    decision = decide(situation, SETTINGS)
    assert decision.drain == ("dear-1",)
    fewer = replace(situation, queues={"cpu": QueueDepth(0, 2, 60.0)})
    assert set(decide(fewer, SETTINGS).drain) == {"dear-0", "dear-1"}
    assert not decide(fewer, SETTINGS).delete


def test_a_drained_instance_goes_when_it_runs_nothing() -> None:
    """It is deleted only once its own report says that it takes no more tasks and has none."""
    look = GroupState(group("a"), (instance("a-0"),), 1)
    memory = PolicyMemory(began=NOW - 9000, draining={"a-0": Draining(NOW - 30, "surplus")})

    def told(**changes: object) -> Decision:
        reports = {"a-0": report("a-0", **changes)}  # type: ignore[arg-type]
        return decide(ClusterState(NOW, {"cpu": QueueDepth(0, 0)}, (look,), reports, memory=memory), SETTINGS)

    assert told(accepting=False).delete == {"a": ("a-0",)}
    assert told(accepting=False).targets == {"a": 0}
    assert not told(accepting=False, running=1, oldest=5.0).delete
    assert not told(accepting=False, ago=40).delete, "that report is older than the order"
    assert told(accepting=True).drain == ("a-0",)


def test_a_draining_instance_is_taken_back_before_a_new_one_is_made() -> None:
    """Demand that returns resumes what was drained, because it needs no boot; a sick one is not taken back."""
    look = GroupState(group("a"), (instance("a-0"), instance("a-1")), 2)
    reports = {name: report(name, 1, accepting=False, oldest=5.0) for name in ("a-0", "a-1")}
    memory = PolicyMemory(
        began=NOW - 9000, draining={"a-0": Draining(NOW - 60, "surplus"), "a-1": Draining(NOW - 60, "sick")}
    )
    decision = decide(ClusterState(NOW, {"cpu": QueueDepth(9, 2, 900.0)}, (look,), reports, memory=memory), SETTINGS)
    assert decision.resume == ("a-0",)
    assert decision.targets["a"] > 2


def test_growth_counts_what_has_begun() -> None:
    """While the first instances boot nothing is added: a broken image costs ten instances and not a thousand."""
    look = GroupState(group("a", max_size=1000), tuple(instance(f"a-{i}", age=300) for i in range(10)), 10)
    situation = ClusterState(NOW, {"cpu": QueueDepth(900, 0, 900.0)}, (look,), memory=PolicyMemory(began=NOW - 9000))
    assert decide(situation, SETTINGS).targets == {"a": 10}
    reports = {f"a-{i}": report(f"a-{i}") for i in range(7)}
    assert decide(replace(situation, reports=reports), SETTINGS).targets == {"a": 14}


def test_tries_that_come_to_nothing_become_smaller() -> None:
    """After each rest without an instance at work a group asks for half as many, and for one at last."""
    asked = []
    for rests in range(6):
        memory = PolicyMemory(began=NOW - 9000, groups={"a": GroupMemory(rests=rests, rest_until=NOW - 1)})
        situation = ClusterState(NOW, {"cpu": QueueDepth(99, 0, 900.0)}, (GroupState(group("a")),), memory=memory)
        asked.append(decide(situation, SETTINGS).targets["a"])
    assert asked == [10, 5, 2, 1, 1, 1]


def test_long_tasks_go_where_machines_live() -> None:
    """A spot slot at a third of the price is dearer for tasks that outlast it, and cheaper for short ones."""
    spot, lasting = group("spot", price=1.0, spot=True), group("lasting", price=3.0)
    groups = (GroupState(lasting), GroupState(spot))
    short = ClusterState(NOW, {"cpu": QueueDepth(3, 0, 900.0)}, groups)
    assert decide(short, SETTINGS).targets == {"lasting": 0, "spot": 3}
    hours = 3600 * SETTINGS.spot_hours * 3
    assert decide(replace(short, queues={"cpu": QueueDepth(3, 0, hours)}), SETTINGS).targets["lasting"] == 3


def test_too_little_money_for_anything_is_said() -> None:
    """A budget that does not pay for one task holds the queue with a reason, rather than waiting for ever."""
    situation = ClusterState(NOW, {"cpu": QueueDepth(3, 0, 3600.0)}, (GroupState(group("a", price=2.0)),), budget=0.5)
    decision = decide(situation, SETTINGS)
    assert decision.held == ("cpu",)
    assert any("raise the budget" in reason for reason in decision.reasons)
    raised = replace(situation, budget=50.0, memory=decision.memory)
    assert decide(raised, SETTINGS).targets == {"a": 3}


def test_growth_stays_within_the_budget() -> None:
    """No more instances are asked for than the rest of the budget lets boot and do a task."""
    situation = ClusterState(NOW, {"cpu": QueueDepth(99, 0, 3600.0)}, (GroupState(group("a", price=2.0)),), budget=7.0)
    assert decide(situation, SETTINGS).targets == {"a": 3}


def test_groups_of_a_queue_that_could_not_be_read_are_left_alone() -> None:
    """No depth is not the same as nothing to do."""
    look, reports = at_work(group("a"), 3, 0)
    decision = decide(ClusterState(NOW, {}, (look,), reports), SETTINGS)  # type: ignore[arg-type]
    assert decision.targets == {"a": 3}
    assert not decision.drain


def test_a_smaller_largest_size_is_obeyed() -> None:
    """When the file allows fewer instances than there are, the surplus is drained though it has work."""
    look, reports = at_work(group("a", max_size=1), 3, 1)
    situation = ClusterState(NOW, {"cpu": QueueDepth(50, 3, 900.0)}, (look,), reports)  # type: ignore[arg-type]
    decision = decide(situation, SETTINGS)
    assert len(decision.drain) == 2
    assert decision.targets == {"a": 3}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target_seconds": 100}, "`target_seconds` must be at least `boot_seconds`"),
        ({"rest_seconds": 4000}, "`rest_longest_seconds` must be at least"),
        ({"start_seconds": 30}, "`start_seconds` must be at least"),
        ({"ramp_second": 30}, "did you mean `ramp_seconds`?"),
        ({"full_disk": 1.5}, "less than or equal to 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, float], words: str) -> None:
    """Wrong values, names and combinations are told by name."""
    with pytest.raises(ParameterErrors, match=words.replace("?", r"\?")):
        parse_parameters(PolicySettings, changes)


def test_the_page_lists_every_setting() -> None:
    """docs/scaling-policy.md has a row for each setting, with its default, unit and meaning."""
    page = (Path(__file__).parents[2] / "docs" / "scaling-policy.md").read_text()
    for name, field in PolicySettings.model_fields.items():
        unit = next((unit for end, unit in UNITS.items() if name.endswith(end)), "")
        row = f"| `{name}` | {field.default:g} | {unit} | {field.description} |"
        assert row in page


def test_every_setting_says_what_it_is() -> None:
    """The help of each is what docs show; its name says the unit."""
    for name, field in PolicySettings.model_fields.items():
        assert field.description, name

"""The policy in the simulator: what it does when something goes wrong, and what it never does."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scaling_situations import group

from benchmarks.cluster_simulator import Outage, Result, SimulatedTier, Workload, World, simulate
from benchmarks.cluster_simulator.cases import cluster, large, small
from benchmarks.cluster_simulator.rivals import FixedPool, Ours, Reference
from benchmarks.cluster_simulator.work import actual_seconds
from benchmarks.cluster_simulator.world import CALM
from seuron.cluster.groups import Group
from seuron.cluster.settings import PolicySettings

SETTINGS = PolicySettings()
CHEAP = group("cheap", slots=4, price=0.1, max_size=20, spot=True)
NEXT = group("next", slots=4, price=0.2, max_size=20, spot=True)
DEAR = group("dear", slots=4, price=0.9, max_size=20)
GROUPS = (CHEAP, NEXT, DEAR)


def work(count: int = 400, seconds: float = 300.0, tiers: int = 1) -> Workload:
    return Workload("work", (SimulatedTier("stage", "cpu", (seconds,) * count),) * tiers)


def run(
    world: World = CALM,
    workload: Workload | None = None,
    *,
    groups: tuple[Group, ...] = GROUPS,
    seed: int = 0,
    budget: float | None = None,
    **changes: float,
) -> Result:
    policy = Ours(PolicySettings(**{**SETTINGS.model_dump(), **changes}))
    return simulate(workload or work(), groups, policy, world, seed=seed, budget=budget)


def said(result: Result, words: str) -> list[tuple[float, str]]:
    return [(time, reason) for time, reason in result.reasons if words in reason]


def is_over(result: Result) -> bool:
    """Everything is done and nothing is paid for any more."""
    return result.finished and not result.left_over and not any(result.targets[-1][1].values())


def test_an_undisturbed_run_is_what_arithmetic_says() -> None:
    """Without faults the hours at work are the tasks', nothing is done twice, and the ledger agrees with the clock."""
    result = run()
    assert is_over(result)
    assert result.lost == result.failed == 0
    busy = result.instance_hours - result.idle_hours
    assert busy == pytest.approx(400 * 300 / 3600 / CHEAP.slots)
    assert result.dollars == pytest.approx(sum(result.hours_by_group[made.name] * made.price for made in GROUPS))
    assert result.ledger.dollars == pytest.approx(result.dollars, rel=0.05)
    assert result.first_task == CALM.make_seconds + CALM.boot_seconds


def test_the_same_seed_gives_the_same_run() -> None:
    """All that happens follows from the seed; another seed is another run."""
    assert run(World(), seed=3) == run(World(), seed=3)
    assert run(World(), seed=3).dollars != run(World(), seed=4).dollars


def test_every_policy_has_the_same_tasks() -> None:
    """Lengths are drawn once for a workload, and their mean is the planned one but for stragglers."""
    lengths = actual_seconds(work(100_000), World(straggler_share=0.0), 1)[0]
    assert np.array_equal(lengths, actual_seconds(work(100_000), World(straggler_share=0.0), 1)[0])
    assert lengths.mean() == pytest.approx(300, rel=0.01)


def test_idle_is_zero() -> None:
    """After the last task all instances are gone within the idle time, the settling and a few looks."""
    result = run()
    assert result.gone - result.seconds <= SETTINGS.idle_seconds + SETTINGS.settle_seconds + 5 * CALM.interval_seconds


def test_spot_losses_are_made_good() -> None:
    """Instances that vanish every half hour cost redone tasks, and nothing else: the run ends by itself."""
    result = run(replace(CALM, spot_hours=0.5), work(800))
    assert is_over(result)
    assert result.lost > 20
    assert result.lost_hours < 0.3 * result.instance_hours


def test_a_zone_without_stock_is_left() -> None:
    """The demand of a zone that has no machines moves to the next cheapest group, and comes back afterwards."""
    outage = Outage("no_stock", frozenset({"cheap"}), 0.0, 1800.0)
    result = run(replace(CALM, outages=(outage,)), work(400, 900.0, tiers=3))
    assert is_over(result)
    assert said(result, "cheap is passed over")
    before = [targets for time, targets in result.targets if 300 < time < 900]
    assert all(targets["next"] > 0 for targets in before)
    assert result.hours_by_group["cheap"] > 0
    rests = [time for time, _ in said(result, "cheap is passed over")]
    gaps = [second - first for first, second in pairwise(rests)]
    assert all(later > earlier for earlier, later in pairwise(gaps)), "each rest is longer than the one before"


def test_a_zone_that_runs_out_half_way_keeps_what_it_has() -> None:
    """With stock for five instances, five work there and the others elsewhere."""
    outage = Outage("no_stock", frozenset({"cheap"}), 0.0, 1e9, left=5)
    result = run(replace(CALM, outages=(outage,)), work(400, 900.0))
    assert is_over(result)
    assert 4 <= result.hours_by_group["cheap"] / (result.gone / 3600) <= 5
    assert result.hours_by_group["next"] > result.hours_by_group["cheap"]


def test_a_quota_is_a_ceiling_that_is_lived_with() -> None:
    """With a quota of eight instances over all groups the run takes longer and ends, without asking all the time."""
    outage = Outage("quota", frozenset(made.name for made in GROUPS), 0.0, 1e9, left=8)
    result = run(replace(CALM, outages=(outage,)), work(400, 900.0))
    assert is_over(result)
    assert said(result, "quota")
    assert result.instance_hours <= 8 * result.gone / 3600
    assert result.instance_hours - result.idle_hours > 0.85 * result.instance_hours
    assert len(said(result, "is passed over")) < result.gone / SETTINGS.rest_seconds


def test_a_resize_that_nothing_comes_of_moves_on() -> None:
    """A provider that takes the order and makes nothing, without an error, is given up after the start limit."""
    outage = Outage("silent", frozenset({"cheap"}), 0.0, 7200.0)
    result = run(replace(CALM, outages=(outage,)))
    assert is_over(result)
    assert result.first_task <= SETTINGS.start_seconds + SETTINGS.boot_seconds + 4 * CALM.interval_seconds
    assert result.hours_by_group["cheap"] == 0


def test_slow_starts_are_waited_for() -> None:
    """Machines that take eight minutes to boot are neither replaced nor answered with ever more machines."""
    result = run(replace(CALM, boot_seconds=480.0))
    assert is_over(result)
    assert not said(result, "never started")
    quick = run()
    assert result.most_instances <= quick.most_instances + SETTINGS.first_instances


def test_machines_that_never_begin_cost_little() -> None:
    """With a broken image no task ever runs: each group tries ten instances, then fewer, after ever longer rests."""
    world = replace(CALM, never_boot_share=1.0)
    one, two = (simulate(work(), GROUPS, Ours(SETTINGS), world, longest_days=days) for days in (1, 2))
    assert not two.finished
    assert two.first_task == two.gone, "no task began"
    always = 24 * SETTINGS.first_instances * len(GROUPS)
    assert one.instance_hours < 0.05 * always
    assert two.instance_hours - one.instance_hours <= one.instance_hours


def test_stragglers_are_not_called_stuck() -> None:
    """Tasks of five times the usual length are slow, not stuck: they are left to end."""
    result = run(replace(CALM, straggler_share=0.02, straggler_factor=5.0), work(400, 900.0))
    assert is_over(result)
    assert not said(result, "(stuck)")
    assert result.lost == 0


def test_stuck_tasks_are_done_again() -> None:
    """A task that never ends costs its instance, and the run does not wait for the time limit of six hours."""
    result = run(replace(CALM, stuck_share=0.01))
    assert is_over(result)
    assert said(result, "(stuck)")
    assert result.seconds < 3 * SETTINGS.stuck_seconds + 3600


def test_dead_workers_are_replaced() -> None:
    """A worker that dies on a machine that lives on is seen by its silence and replaced, soon."""
    world = replace(CALM, dead_hours=1.0)
    result = run(world, work(1600))
    assert is_over(result)
    assert len(said(result, "(dead)")) >= 10
    slow = run(world, work(1600), dead_seconds=3600.0)
    assert is_over(slow)
    assert result.dollars < slow.dollars
    assert result.seconds < slow.seconds


def test_when_the_broker_is_away_nobody_is_replaced() -> None:
    """All workers silent for ten minutes is not their fault: none is deleted, and they go on afterwards."""
    result = run(replace(CALM, broker_down=((900.0, 1500.0),)), work(400, 600.0))
    assert is_over(result)
    assert not said(result, "(dead)")
    assert result.lost == 0
    assert said(result, "the broker or the network may be down")


def test_full_disks_are_drained() -> None:
    """Instances whose disks fill up are replaced before many of their tasks have failed."""
    result = run(replace(CALM, filling_host_share=0.5), work(3000, 60.0))
    assert is_over(result)
    assert said(result, "(full disk)")
    drained = {reason.split()[0] for _, reason in said(result, "(full disk)")}
    assert result.failed < 10 * len(drained)


def test_bad_hosts_do_not_eat_the_queue() -> None:
    """A host on which every task fails within seconds would take all of them; it is drained after a few."""
    world = replace(CALM, bad_host_share=0.2)
    result = run(world, work(2000, 60.0))
    assert is_over(result)
    assert said(result, "(failing)")
    patient = run(world, work(2000, 60.0), host_failures=10**9)
    assert result.failed < patient.failed / 3


@given(
    st.floats(0.05, 12.0),
    st.floats(20.0, 3000.0),
    st.integers(10, 400),
    st.sampled_from([CALM, World(), replace(World(), spot_hours=1.0, dead_hours=3.0)]),
    st.integers(0, 5),
)
@example(1.0, 1487.0, 52, replace(World(), spot_hours=1.0, dead_hours=3.0), 4)
@example(0.0625, 460.0, 10, replace(World(), spot_hours=1.0, dead_hours=3.0), 2)
def test_a_budget_is_kept(budget: float, seconds: float, count: int, world: World, seed: int) -> None:
    """From the look at which it is used up, only what finishes running tasks is paid; at that look it is not exceeded.

    Looks look ahead to the next one, so what is paid between two of them is no allowance; the least time that is paid
    is one, and stragglers and lost workers are. A run that is not paused has finished.
    """
    result = run(world, work(count, seconds), seed=seed, budget=budget)
    assert result.finished or result.paused
    assert not result.left_over
    held = result.dollars_when_held
    if held is not None:
        size = max(sum(targets.values()) for _, targets in result.targets)
        dearest = max((made.price for made in GROUPS if result.hours_by_group[made.name]), default=0.0)
        slack = size * dearest * SETTINGS.paid_seconds / 3600
        # A machine whose worker is lost is paid for until that is seen, and another one in its place.
        assert held <= budget + slack or result.lost
        paused_at = next(time for time, reason in result.reasons if "raise the budget" in reason)
        afterwards = [targets for time, targets in result.targets if time >= paused_at]
        assert all(later[name] <= earlier[name] for earlier, later in pairwise(afterwards) for name in earlier), (
            "nothing grows any more"
        )
        if world is CALM:
            # Lengths are as planned, so that what finishes was put by.
            assert result.dollars <= budget + slack
    else:
        assert result.finished


def test_a_sufficient_budget_changes_nothing() -> None:
    """With money to spare a run is the same as without a budget."""
    free, limited = run(World()), run(World(), budget=1000.0)
    assert (free.dollars, free.seconds, free.targets) == (limited.dollars, limited.seconds, limited.targets)


worlds = st.builds(
    World,
    spot_hours=st.none() | st.floats(1.0, 20.0),
    dead_hours=st.none() | st.floats(2.0, 100.0),
    bad_host_share=st.floats(0, 0.3),
    filling_host_share=st.floats(0, 0.3),
    stuck_share=st.floats(0, 0.01),
    slow_boot_share=st.floats(0, 0.3),
    never_boot_share=st.floats(0, 0.2),
    straggler_share=st.floats(0, 0.05),
    outages=st.lists(
        st.builds(
            Outage,
            st.sampled_from(["no_stock", "quota", "silent"]),
            st.sets(st.sampled_from([made.name for made in GROUPS]), min_size=1).map(frozenset),
            st.floats(0, 3000),
            st.floats(3000, 9000),
            st.integers(0, 5),
        ),
        max_size=2,
    ).map(tuple),
    broker_down=st.lists(
        st.floats(0, 5000).flatmap(lambda begin: st.floats(10, 1500).map(lambda length: (begin, begin + length))),
        max_size=2,
    ).map(tuple),
)


@given(worlds, st.integers(0, 1000), st.integers(1, 120), st.floats(2.0, 1500.0))
def test_every_run_ends_by_itself(world: World, seed: int, count: int, seconds: float) -> None:
    """Whatever goes wrong, all tasks are done in the end, and nothing is left that is paid for."""
    result = run(world, work(count, seconds, tiers=2), seed=seed)
    assert is_over(result)
    assert result.gone < 3 * 86400
    assert all(result.targets[i][1][made.name] <= made.max_size for i in range(len(result.targets)) for made in GROUPS)


def test_the_reference_and_fixed_pools_end_as_well() -> None:
    """What is compared does the same work: every rival finishes, and none keeps an instance."""
    for policy in (Reference(), FixedPool({"cpu": 5, "memory": 1})):
        result = simulate(small(), cluster(), policy, CALM)
        assert result.finished
        assert not result.left_over
        assert result.dollars > simulate(small(), cluster(), Ours(SETTINGS), CALM).dollars


def test_the_reference_doubles_every_twenty_minutes() -> None:
    """Its groups begin with 20 and are doubled at each look at the queue, as its inventory says."""
    result = simulate(work(20_000, 900.0), (group("a", max_size=200),), Reference(), CALM)
    sizes = [targets["a"] for _, targets in result.targets]
    steps = [size for size, last in zip(sizes[1:], sizes, strict=False) if size != last]
    assert sizes[0] == 20
    assert steps[:4] == [40, 80, 160, 200]


def test_twenty_thousand_batches_are_simulated_quickly() -> None:
    """The largest case is a hundred thousand tasks of 19 tiers; it ends, and costs less than the reference does."""
    workload = large()
    assert max(len(tier.seconds) for tier in workload.tiers) > 19_000
    ours, reference = (simulate(workload, cluster(), policy) for policy in (Ours(SETTINGS), Reference()))
    assert is_over(ours)
    assert ours.dollars < reference.dollars

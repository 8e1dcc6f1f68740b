"""What instances cost and who pays: sums agree, whatever is counted and in whatever pieces."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scaling_situations import group

from benchmarks.cluster_simulator import simulate
from benchmarks.cluster_simulator.cases import cluster, medium, small
from benchmarks.cluster_simulator.rivals import Ours
from seuron.box import Box
from seuron.cluster.costs.estimates import TierWork, estimate, tier_works
from seuron.cluster.costs.ledger import Ledger, Usage
from seuron.cluster.settings import PolicySettings
from seuron.engine.queues import QueueCapacity, assign
from seuron.engine.run import make_plan
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.facts import VolumeFacts
from seuron.pipelines.segmentation.params import SegmentationParams

GROUPS = (
    group("cheap", slots=8, price=0.12),
    group("dear", slots=4, price=0.5),
    group("big", "memory", slots=2, price=1.1),
)
SETTINGS = PolicySettings()

counts = st.dictionaries(st.sampled_from([made.name for made in GROUPS]), st.integers(0, 50))
tasks = st.dictionaries(
    st.sampled_from(["run 1", "run 2", "run 3"]),
    st.dictionaries(st.sampled_from(["cpu", "memory", "gpu"]), st.integers(0, 300)),
)
slot_seconds = st.none() | st.dictionaries(
    st.sampled_from(["run 1", "run 2", "run 4"]),
    st.dictionaries(st.sampled_from(["cpu", "memory", "gpu"]), st.floats(0, 1e6)),
)
looks = st.lists(st.tuples(st.floats(0, 1e5), counts, tasks, slot_seconds), max_size=8).map(
    lambda rows: [Usage(*row) for row in sorted(rows, key=lambda row: row[0])]
)


def ledger_of(rows: list[Usage], start: Ledger | None = None) -> Ledger:
    ledger = start or Ledger()
    for look in rows:
        ledger = ledger.after(look, GROUPS)
    return ledger


def agree(a: Ledger, b: Ledger) -> bool:
    """Whether two ledgers have the same sums, but for the rounding of floats."""
    pairs = [(a.overhead, b.overhead)]
    for one, other in ((a.hours, b.hours), (a.groups, b.groups), (a.runs, b.runs)):
        pairs += [(one.get(name, 0.0), other.get(name, 0.0)) for name in {*one, *other}]
    return a.last == b.last and all(math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-9) for x, y in pairs)


@given(looks)
def test_runs_and_overhead_are_what_groups_cost(rows: list[Usage]) -> None:
    """Every dollar of a group is a run's or overhead, none twice, and none is negative."""
    ledger = ledger_of(rows)
    assert math.isclose(sum(ledger.runs.values()) + ledger.overhead, ledger.dollars, rel_tol=1e-9, abs_tol=1e-9)
    assert ledger.overhead >= -1e-9
    assert all(amount >= 0 for amount in (*ledger.runs.values(), *ledger.groups.values()))
    for made in GROUPS:
        assert math.isclose(ledger.groups.get(made.name, 0.0), ledger.hours.get(made.name, 0.0) * made.price)


@given(looks, st.integers(0, 8))
def test_a_ledger_goes_on_from_json(rows: list[Usage], cut: int) -> None:
    """A ledger that is written and read between two looks is the same in the end."""
    json = TypeAdapter(Ledger)
    first = ledger_of(rows[:cut])
    assert json.validate_json(json.dump_json(first)) == first
    assert agree(ledger_of(rows[cut:], json.validate_json(json.dump_json(first))), ledger_of(rows))


def test_an_hour_is_shared_by_tasks_and_the_rest_is_overhead() -> None:
    """Ten instances of eight slots at $0.12: sixty tasks of two runs pay three quarters of the hour."""
    look = Usage(0.0, {"cheap": 10}, {"run 1": {"cpu": 40}, "run 2": {"cpu": 20}})
    ledger = ledger_of([look, replace(look, time=3600.0)])
    assert ledger.hours == {"cheap": 10.0}
    assert ledger.groups == {"cheap": pytest.approx(1.2)}
    assert ledger.runs == {"run 1": pytest.approx(0.6), "run 2": pytest.approx(0.3)}
    assert ledger.overhead == pytest.approx(0.3)


def test_a_task_between_two_looks_is_paid_for() -> None:
    """What was at work at neither look, and had half of the slots for half of the time, costs a quarter."""
    look = Usage(0.0, {"cheap": 10}, {})
    ledger = ledger_of([look, replace(look, time=3600.0, busy={"run": {"cpu": 40 * 1800.0, "memory": 9.0}})])
    assert ledger.runs == {"run": pytest.approx(0.3)}
    assert ledger.overhead == pytest.approx(0.9)


def test_a_clock_that_runs_back_costs_nothing() -> None:
    """A look from before the last one adds nothing, rather than paying money back."""
    look = Usage(3600.0, {"cheap": 10}, {})
    assert ledger_of([look, replace(look, time=0.0)]).dollars == 0


def test_the_estimate_is_a_range() -> None:
    """What goes well is cheaper than what is likely, and that than what goes badly."""
    found = estimate([TierWork("cpu", 10, 3600.0, 400.0), TierWork("memory", 1, 60.0, 60.0)], GROUPS, SETTINGS)
    assert 0 < found.dollars.low < found.dollars.likely < found.dollars.high


@st.composite
def works(draw: st.DrawFn) -> TierWork:
    tasks, mean = draw(st.integers(1, 10**5)), draw(st.floats(1.0, 1e4))
    return TierWork(draw(st.sampled_from(["cpu", "memory"])), tasks, tasks * mean, mean * draw(st.floats(1, 20)))


@given(st.lists(works(), max_size=6), works())
def test_estimates_are_ordered_and_grow_with_the_work(tiers: list[TierWork], more: TierWork) -> None:
    """Low is at most likely, likely at most high; a tier more never costs less, nor takes less time."""
    one, two = (estimate(rows, GROUPS, SETTINGS) for rows in (tiers, [*tiers, more]))
    for spread in (two.dollars, two.hours):
        assert 0 < spread.low <= spread.likely <= spread.high
    assert two.dollars.low > one.dollars.low
    assert two.hours.likely > one.hours.likely


def test_no_tier_is_estimated_shorter_than_its_longest_task() -> None:
    """One task of ten hours takes ten hours, however many slots there are."""
    found = estimate([TierWork("cpu", 1000, 10 * 3600.0 + 999.0, 10 * 3600.0)], GROUPS, SETTINGS)
    assert found.hours.likely >= 10


def test_the_estimate_takes_a_plan() -> None:
    """The tiers of a real plan are all there, with their tasks and seconds."""
    scales = {"supervoxels": 3, "segmentation": 3}
    facts = VolumeFacts(Box((0, 0, 0), (512, 512, 512)), (8.0, 8.0, 40.0), "uint8", scales)
    plan = make_plan(PIPELINE, SegmentationParams(affinities="a", output="o"), facts)
    found = tier_works(plan, assign(plan, [QueueCapacity("manager", 0), QueueCapacity("cpu", 2**40)]))
    assert {tier.queue for tier in found} == {"manager", "cpu"}
    assert sum(tier.tasks for tier in found) == len(plan.tasks)
    assert sum(tier.seconds for tier in found) == pytest.approx(sum(task.seconds for task in plan.tasks))


@pytest.mark.parametrize("workload", [small(), medium()], ids=lambda workload: workload.name)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_simulator_stays_within_the_estimate(workload, seed: int) -> None:
    """What a run costs in the simulator, and how long it takes, lie between the low and the high estimate."""
    found = estimate(workload.work(), cluster(), SETTINGS)
    result = simulate(workload, cluster(), Ours(SETTINGS), seed=seed)
    assert found.dollars.low <= result.dollars <= found.dollars.high
    assert found.hours.low <= result.seconds / 3600 <= found.hours.high

"""A budget looks ahead: a run that is held ends a little under it, whatever its tasks and the cluster do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scaling_situations import group

from seuron.cluster.cluster_state import GroupState
from seuron.cluster.costs.budgets import TierAhead, WorkAhead, dollars_ahead, may_begin, work_of_run, would_pass
from seuron.cluster.costs.ledger import Ledger, Usage
from seuron.cluster.groups import Group

CHEAP, DEAR = group("cheap", slots=2, price=0.2), group("dear", slots=3, price=3.0)
HOUR = 3600.0
amounts = st.floats(0, 1e4)


@dataclass
class Attempt:
    """One task's time in a slot; `beyond` are the seconds that it takes longer than its kind does."""

    start: float
    end: float
    beyond: float


@dataclass
class Play:
    """Tiers one after the other in the slots of a cluster, and looks at equal distances that may hold them.

    Whatever is free is taken at once, so that between two looks as much begins as can.
    """

    tiers: Sequence[tuple[float, Sequence[float]]]
    machines: Sequence[tuple[Group, int]]
    interval_seconds: float
    budget: float
    attempts: list[Attempt] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    held_at: float | None = None
    left: float = 0.0

    def begins(self) -> list[tuple[float, float, float, int]]:
        """When each task would begin and end if nothing held them, its expected length, and its tier."""
        slots = [0.0] * sum(made.slots * count for made, count in self.machines)
        barrier, rows = 0.0, []
        for place, (expected, lengths) in enumerate(self.tiers):
            slots = [max(at, barrier) for at in slots]
            for length in lengths:
                slots.sort()
                rows.append((slots[0], slots[0] + length, expected, place))
                slots[0] += length
            barrier = max(slots)
        return rows

    def run(self) -> None:
        rows, now = self.begins(), 0.0
        last = max(end for _, end, _, _ in rows)
        while now <= last + self.interval_seconds:
            if self.held_at is None:
                # What begins at the moment of a look begins behind it.
                begun = [row for row in rows if row[0] < now]
                self.attempts = [Attempt(start, end, max(0.0, end - start - e)) for start, end, e, _ in begun]
            self.look(now, rows)
            now += self.interval_seconds

    def look(self, now: float, rows: Sequence[tuple[float, float, float, int]]) -> None:
        since = now - self.interval_seconds
        busy = sum(max(0.0, min(now, task.end) - max(since, task.start)) for task in self.attempts)
        counts = {made.name: count for made, count in self.machines}
        groups = [made for made, _ in self.machines]
        self.ledger = self.ledger.after(Usage(now, counts, {}, {"run": {"cpu": busy}}), groups)
        looks = [GroupState(made, (), count) for made, count in self.machines]
        ahead = dollars_ahead(work_of_run(self.seen(now, rows), looks, 60.0), self.interval_seconds)
        spent = self.ledger.runs.get("run", 0.0)
        if self.held_at is None and would_pass(self.budget, spent, ahead):
            self.held_at, self.left = now, ahead

    def seen(self, now: float, rows: Sequence[tuple[float, float, float, int]]) -> list[TierAhead]:
        """What Airflow shows: the tasks of the tier that are at work or wait, and what the plan says is behind it."""
        open_tiers = [place for place, tier in enumerate(self.tiers) if any(r[3] == place and r[1] > now for r in rows)]
        if not open_tiers:
            return []
        at = open_tiers[0]
        begun = [TierAhead("cpu", sum(r[3] == at and r[1] > now for r in rows), self.tiers[at][0])]
        behind = [TierAhead("cpu", len(lengths), expected) for expected, lengths in self.tiers[at + 1 :]]
        return begun + list(may_begin(behind, self.interval_seconds))

    @property
    def dollars(self) -> float:
        return self.ledger.runs.get("run", 0.0)

    @property
    def beyond(self) -> float:
        """What the tasks that were at work when it was held cost beyond their expected lengths, at the dearest."""
        prices = [made.price / made.slots for made, count in self.machines if count]
        late = [task.beyond for task in self.attempts if self.held_at is not None and task.end > self.held_at]
        return max(prices) * sum(late) / HOUR


@st.composite
def plays(draw: st.DrawFn, longest: float) -> Play:
    """A run whose tasks take up to `longest` times what is expected of them."""
    tiers = []
    for _ in range(draw(st.integers(1, 4))):
        expected = draw(st.floats(1.0, 600.0))
        shares = draw(st.lists(st.floats(0.2, longest), min_size=1, max_size=40))
        # No tier is done before its expected length: its longest task takes that at least.
        tiers.append((expected, [expected * max(shares[0], 1.0), *(expected * share for share in shares[1:])]))
    machines = [(CHEAP, draw(st.integers(0, 4))), (DEAR, draw(st.integers(1, 3)))]
    dearest = sum(sum(lengths) for _, lengths in tiers) * DEAR.price / DEAR.slots / HOUR
    return Play(tiers, machines, draw(st.floats(5.0, 120.0)), dearest * draw(st.floats(0.05, 1.2)))


@given(plays(longest=1.0))
def test_a_budget_is_never_passed(play: Play) -> None:
    """Where tasks take no longer than is expected of them, what a run costs stays within its budget to the cent.

    And a hold leaves no more than what the look put by.
    """
    play.run()
    assert play.dollars <= play.budget * (1 + 1e-9)
    if play.held_at is not None:
        assert play.dollars >= play.budget - play.left - 1e-9


@given(plays(longest=4.0))
def test_it_is_passed_by_what_tasks_take_beyond_their_estimate(play: Play) -> None:
    """Stragglers that run when it is held are finished, and are all that a run costs more than it may."""
    play.run()
    assert play.dollars <= play.budget + play.beyond + 1e-9


def test_without_looking_ahead_it_would_be_passed() -> None:
    """Ten tasks of ten minutes in six slots: six begin together, and the rest of the budget is too little for four."""
    play = Play([(600.0, [600.0] * 10)], [(CHEAP, 3)], 60.0, 0.15)
    play.run()
    assert play.held_at is not None
    assert len(play.attempts) == 6
    assert play.dollars == pytest.approx(0.1)


@given(amounts, amounts, amounts, st.floats(0, 600), st.floats(0, 600))
def test_more_money_never_holds_earlier(budget: float, spent: float, more: float, one: float, other: float) -> None:
    """Less spent, a larger budget or a nearer look never hold what went on before."""
    near, far = sorted([one, other])
    work = WorkAhead.of(3, 0.5, 100.0)
    assert dollars_ahead(work, near) <= dollars_ahead(work, far)
    if not would_pass(budget, spent, dollars_ahead(work, far)):
        assert not would_pass(budget + more, spent, dollars_ahead(work, near))
    assert would_pass(budget, budget + more, 0.0)


def test_a_run_may_have_all_slots_that_are_there_or_asked_for() -> None:
    """As many as it has tasks for, at the dearest price; where there is nothing yet, one of the cheapest group."""
    both = [GroupState(CHEAP, (), 2), GroupState(DEAR, (), 1)]
    hour = [TierAhead("cpu", 100, HOUR)]
    assert work_of_run(hour, both, 60.0) == WorkAhead(7.0, 7.0)
    assert work_of_run([TierAhead("cpu", 2, HOUR)], both, 60.0) == WorkAhead(2.0, 2.0)
    assert work_of_run(hour, [GroupState(CHEAP), GroupState(DEAR)], 60.0) == WorkAhead(0.1, 0.1)
    assert work_of_run([TierAhead("cpu", 60)], both, 60.0) == WorkAhead(7.0, 7.0 / 60)
    assert work_of_run([TierAhead("manager", 9, HOUR)], both, 60.0) == WorkAhead()
    longer = TierAhead("cpu", 2, 10 * HOUR)
    assert work_of_run([*hour, longer], both, 60.0) == WorkAhead(7.0, 20.0), "one after the other"


def test_short_tiers_may_begin_one_after_the_other_before_the_next_look() -> None:
    """The next one always, and those behind it whose predecessors may be done by then; empty ones are passed over."""
    rows = [TierAhead("cpu", count, seconds) for count, seconds in ((5, 20.0), (0, 9.0), (1, 45.0), (2, 5.0), (3, 5.0))]
    assert [tier.tasks for tier in may_begin(rows, 60.0)] == [5, 1]
    assert [tier.tasks for tier in may_begin(rows, 10.0)] == [5]
    assert [tier.tasks for tier in may_begin(rows, 600.0)] == [5, 1, 2, 3]

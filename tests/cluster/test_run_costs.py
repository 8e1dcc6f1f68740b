"""What a run has cost: told in its folder with every step, and shared out as the ledger says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.cluster.costs.ledger import Ledger, Usage
from seuron.cluster.costs.run_costs import ActiveRun, RunCosts, Span, read_costs, runs_over_budget, update_run_costs
from seuron.cluster.groups import Group
from seuron.cluster.records import ClusterEvent, ClusterSnapshot, Records
from seuron.errors import RunError
from seuron.storage import Storage

GROUPS = (
    Group("cheap", "cpu", "a", slots=4, memory_bytes=2**32, max_size=9, price=0.4, spot=True),
    Group("dear", "cpu", "b", slots=4, memory_bytes=2**32, max_size=9, price=1.2),
)
HOUR = 3600.0


def prepared(folder: Path) -> str:
    """A folder that a run was prepared in."""
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    return str(folder)


def step(records: Records, ledger: Ledger, time: float, look: Usage, **more: object) -> Ledger:
    """What the manager writes down at one look."""
    ledger = ledger.after(look, GROUPS)
    records.folder.mkdir(parents=True, exist_ok=True)
    records.write_ledger(ledger)
    records.write_snapshot(ClusterSnapshot(time=time, spent=ledger.dollars, **more))  # type: ignore[arg-type]
    return ledger


def test_a_run_is_told_what_its_tasks_cost(tmp_path: Path) -> None:
    """Two runs that have half of the slots each pay half; the hours are the cluster's since the run began."""
    records, outputs = Records(tmp_path / "cluster"), [prepared(tmp_path / name) for name in "ab"]
    runs = [ActiveRun(f"run {name}", output, HOUR) for name, output in zip("ab", outputs, strict=True)]
    instances = {"cheap": 2, "dear": 0}
    ledger = step(records, Ledger(), 0.0, Usage(0.0, instances, {}))
    both = {"run a": {"cpu": 4}, "run b": {"cpu": 4}}
    ledger = step(records, ledger, HOUR, Usage(HOUR, instances, both))
    update_run_costs(records, GROUPS, runs)
    records.add(ClusterEvent(1.5 * HOUR, reasons=("group dear grows",), lost=("cheap-1 (spot)",)))
    ledger = step(records, ledger, 2 * HOUR, Usage(2 * HOUR, {"cheap": 1, "dear": 1}, both), budget=9.0)
    update_run_costs(records, GROUPS, runs)

    costs = read_costs(Storage(outputs[0]))
    assert costs is not None
    assert costs.dollars == pytest.approx(0.4)
    assert costs.hours == {"cheap": pytest.approx(2.0)}  # the first hour was before it
    assert costs.cluster_dollars == pytest.approx(1.6)
    assert costs.budget == 9.0
    assert [line for _, line in costs.events] == ["cheap-1 (spot) is gone and was not asked to go", "group dear grows"]
    other = read_costs(Storage(outputs[1]))
    assert other is not None
    assert costs.dollars + other.dollars + ledger.overhead == pytest.approx(costs.cluster_dollars)


def test_starts_of_one_run_add_up(tmp_path: Path) -> None:
    """A run that was started again keeps what its first start cost."""
    records, output = Records(tmp_path / "cluster"), prepared(tmp_path / "a")
    ledger = Ledger()
    for number, name in enumerate(["first", "second"]):
        began = 2 * number * HOUR
        busy = {name: {"cpu": 4}}
        for time in (began, began + HOUR):
            ledger = step(records, ledger, time, Usage(time, {"cheap": 1}, busy))
            update_run_costs(records, GROUPS, [ActiveRun(name, output, began)])
        ledger = step(records, ledger, began + HOUR, Usage(began + HOUR, {}, {}))
    costs = read_costs(Storage(output))
    assert costs is not None
    assert costs.dollars == pytest.approx(0.8)
    assert costs.hours == {"cheap": pytest.approx(2.0)}


def test_nothing_is_told_before_the_first_look(tmp_path: Path) -> None:
    """A run without a cluster has no costs."""
    update_run_costs(Records(tmp_path / "cluster"), GROUPS, [ActiveRun("run", prepared(tmp_path / "a"), 0.0)])
    assert read_costs(Storage(tmp_path / "a")) is None


def test_a_folder_that_is_not_prepared_is_left_alone(tmp_path: Path) -> None:
    """A run is prepared in an empty folder only, so nothing may be written there before."""
    records = Records(tmp_path / "cluster")
    step(records, Ledger(), 0.0, Usage(0.0, {"cheap": 1}, {}))
    update_run_costs(records, GROUPS, [ActiveRun("run", str(tmp_path / "a"), 0.0)])
    assert not (tmp_path / "a").exists()


def test_a_run_that_has_spent_its_own_budget_is_held(tmp_path: Path) -> None:
    """From the look at which its starts together have cost that much, until it may cost more; others are not."""
    records, output = Records(tmp_path / "cluster"), prepared(tmp_path / "a")
    ledger, busy = Ledger(), {"run": {"cpu": 4}}
    held = []
    for hour in range(4):
        ledger = step(records, ledger, hour * HOUR, Usage(hour * HOUR, {"cheap": 1}, busy))
        update_run_costs(records, GROUPS, [ActiveRun("run", output, 0.0, budget=0.8)])
        held.append(runs_over_budget([ActiveRun("run", output, 0.0, budget=0.8)]) == {"run"})
    assert held == [False, False, True, True]  # $0.40 an hour
    assert runs_over_budget([ActiveRun("run", output, 0.0)]) == frozenset()
    assert runs_over_budget([ActiveRun("run", output, 0.0, budget=9.0)]) == frozenset()


def test_a_run_is_held_before_its_budget_is_spent(tmp_path: Path) -> None:
    """When what its tasks may still take would pass it; it stays so though they took less, until it may cost more."""
    records, output = Records(tmp_path / "cluster"), prepared(tmp_path / "a")
    ledger, busy = Ledger(), {"run": {"cpu": 4}}  # $0.40 an hour
    causes = []
    for hour, ahead in enumerate([0.3, 0.3, 0.5, 0.0]):
        look = Usage(hour * HOUR, {"cheap": 1}, busy if hour < 2 else {})
        ledger = step(records, ledger, hour * HOUR, look, ahead={"run": ahead, "other": 99.0})
        update_run_costs(records, GROUPS, [ActiveRun("run", output, 0.0, budget=1.2)])
        costs = read_costs(Storage(output))
        assert costs is not None
        causes.append(costs.cause)
    words = "the run has cost $0.80 of its budget of $1.20, and more tasks might take more than the rest"
    assert causes == ["", "", words, words]
    assert runs_over_budget([ActiveRun("run", output, 0.0, budget=1.1)]) == {"run"}
    assert runs_over_budget([ActiveRun("run", output, 0.0, budget=1.3)]) == frozenset()


def test_a_person_is_told_once_that_a_run_waits(tmp_path: Path) -> None:
    """Once when it begins to wait and once when it goes on; where that failed, again at the next look."""
    records, output = Records(tmp_path / "cluster"), prepared(tmp_path / "a")
    said: list[str] = []
    silent = True

    def alert(run: ActiveRun, text: str) -> None:
        if silent:
            raise RunError("no answer")
        said.append(text)

    counts = []
    for held in ((), ("cpu",), ("cpu",), ("cpu",), (), ()):
        step(records, Ledger(), 0.0, Usage(0.0, {}, {}), held=held)
        counts.append(update_run_costs(records, GROUPS, [ActiveRun("run", output, 0.0)], alert))
        silent = len(counts) < 2
    assert counts == [0, 1, 1, 1, 0, 0]
    assert len(said) == 2
    assert said[0].startswith("held: the budget of the cluster is used up")
    assert said[1] == ""


def test_each_hold_is_told_once_and_its_end_when_the_budget_is_raised(tmp_path: Path) -> None:
    """A step a minute tells nothing twice, however the figures move; that nothing waits just now is no end of it.

    A hold by the run's own budget is another one than by the cluster's, and is over for a start with a larger one.
    A start that is held from its beginning is told of as well.
    """
    records, output = Records(tmp_path / "cluster"), prepared(tmp_path / "a")
    told: list[tuple[str, str, str]] = []

    def tell(run: ActiveRun, costs: RunCosts) -> None:
        told.append((run.id, costs.notice, costs.hold))

    ledger, hour = Ledger(), 0

    def steps(count: int, held: tuple[str, ...], budget: float, own: float | None = None, run: str = "first") -> None:
        nonlocal ledger, hour
        for _ in range(count):
            hour += 1
            look = Usage(hour * HOUR, {"cheap": 1}, {run: {"cpu": 4}})  # $0.40 an hour
            ledger = step(records, ledger, hour * HOUR, look, held=held, budget=budget)
            update_run_costs(records, GROUPS, [ActiveRun(run, output, 0.0, budget=own)], notify=tell)

    steps(2, (), 1.0)
    steps(3, ("cpu",), 1.0)
    steps(2, (), 1.0)
    steps(2, ("cpu",), 1.0)
    assert told == [("first", "held", "cluster")]
    steps(3, (), 9.0)
    assert told[1:] == [("first", "continued", "")]
    steps(3, (), 9.0, own=2.0)
    assert told[2:] == [("first", "held", "run")]
    steps(2, (), 9.0, own=20.0, run="second")
    assert told[3:] == [("second", "continued", "")]
    steps(2, (), 9.0, own=2.0, run="third")
    assert told[4:] == [("third", "held", "run")]


@given(st.floats(0, 1e4), st.floats(0.01, 1e4), st.booleans(), st.floats(0, 1e4), st.floats(0.01, 1e4))
def test_what_was_told_is_no_news(dollars: float, own: float, waits: bool, spent: float, shared: float) -> None:
    """Whatever the figures are, who has been told has nothing to be told until a budget or a hold changes."""
    spans = {"run": Span(0.0, 1.0, dollars, {}, {})}
    costs = RunCosts(spans, {}, spent, shared, ("cpu",) if waits else (), run_budget=own)
    assert (costs.notice == "held") == bool(costs.hold) == bool(costs.alert) == bool(costs.cause and costs.advice)
    told = costs.after_notice()
    assert told.notice == ""
    if costs.hold == "run":
        assert told.under(dollars + 1).notice == ("held" if waits else "continued")
        assert told.under(None).hold == ("cluster" if waits else "")
    elif costs.hold == "cluster":
        assert replace(told, held=()).notice == "", "that nothing waits for a moment is no end of it"
        assert replace(told, held=(), budget=shared * 2).notice == "continued"


def test_a_hold_is_told_again_when_telling_was_cut_off(tmp_path: Path) -> None:
    """A step that is killed while it tells has written down nothing of it, so that the next one tells."""
    records, output = Records(tmp_path / "cluster"), prepared(tmp_path / "a")
    step(records, Ledger(), 0.0, Usage(0.0, {}, {}), held=("cpu",), budget=1.0)
    told: list[str] = []

    def killed(run: ActiveRun, costs: RunCosts) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        update_run_costs(records, GROUPS, [ActiveRun("run", output, 0.0)], notify=killed)
    update_run_costs(
        records, GROUPS, [ActiveRun("run", output, 0.0)], notify=lambda run, costs: told.append(costs.notice)
    )
    assert told == ["held"]

"""What a run has cost so far, as a file in its folder (`costs.json`): what its report and `seuron status` show.

The manager writes it with every step while the run is active, so it is at most a minute old. A run that was
started several times has a span for each start; their dollars add up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import TypeAdapter

from seuron.cluster.costs.budgets import would_pass
from seuron.cluster.costs.ledger import Ledger
from seuron.cluster.groups import Group
from seuron.cluster.records import Records
from seuron.errors import DamagedFileError, RunError
from seuron.storage import Storage
from seuron.storage.documents import read_document

COSTS = "costs.json"
#: What a prepared run has in its folder (seuron.engine.run).
RUN = "run.json"
#: Events that a run's file holds at most, the newest ones.
EVENTS_KEPT = 200

#: Whose budget holds a run: nobody's, its own, the cluster's.
Hold = Literal["", "run", "cluster"]


@dataclass(frozen=True)
class ActiveRun:
    """A run that is active in Airflow: its id there, its folder, and when it was started (s since 1970).

    `budget` is what it may cost, in dollars, all its starts together; None is no limit of its own. `page` is
    where Airflow shows it.
    """

    id: str
    output: str
    started: float
    budget: float | None = None
    page: str = ""


@dataclass(frozen=True)
class Span:
    """One start of a run. `dollars` are those of the slots that its tasks had.

    `before` and `until` are the instance-hours of the whole cluster, by group, when the span was first
    seen and last.
    """

    started: float
    updated: float
    dollars: float
    before: Mapping[str, float]
    until: Mapping[str, float]

    @property
    def hours(self) -> dict[str, float]:
        """Instance-hours that the cluster had in the meantime, by group, other runs' among them."""
        grown = {name: hours - self.before.get(name, 0.0) for name, hours in self.until.items()}
        return {name: hours for name, hours in grown.items() if hours > 0}


@dataclass(frozen=True)
class RunCosts:
    """`spans` by Airflow's id of the run, `prices` in dollars an hour by group, and the cluster's account.

    `budget` is the cluster's, `run_budget` the run's own. `alerted` is what the run's page says of them; `notified`
    whose budget held the run when people were last notified, and `notified_budget` how large it was. `ahead` are the
    dollars that the run would still spend if it were held at the next step; `held_budget` is the budget of its own
    that held it: a run that is held stays so until it may cost more, though what ran took less than was expected.
    """

    spans: Mapping[str, Span] = field(default_factory=dict)
    prices: Mapping[str, float] = field(default_factory=dict)
    cluster_dollars: float = 0.0
    budget: float | None = None
    held: tuple[str, ...] = ()
    events: tuple[tuple[float, str], ...] = ()
    run_budget: float | None = None
    alerted: str = ""
    notified: Hold = ""
    notified_budget: float | None = None
    ahead: float = 0.0
    held_budget: float | None = None

    def under(self, budget: float | None) -> RunCosts:
        """The same under another budget of the run's own, such as that of a start which no step has seen yet."""
        return replace(self, run_budget=budget)

    @property
    def is_over_budget(self) -> bool:
        """Whether the run's own budget holds it: what finishing its tasks may take belongs to what is spent."""
        if self.run_budget is None:
            return False
        still = self.held_budget is not None and self.run_budget <= self.held_budget
        return still or would_pass(self.run_budget, self.dollars, self.ahead)

    @property
    def hold(self) -> Hold:
        """Whose budget holds the run now."""
        return "run" if self.is_over_budget else "cluster" if self.held else ""

    @property
    def cause(self) -> str:
        """Why the run is held; empty while it is not."""
        if self.hold == "run":
            rest = "" if self.dollars >= (self.run_budget or 0.0) else ", and more tasks might take more than the rest"
            return f"the run has cost ${self.dollars:.2f} of its budget of ${self.run_budget:.2f}{rest}"
        return f"the budget of the cluster is used up (${self.cluster_dollars:.2f})" if self.hold else ""

    @property
    def advice(self) -> str:
        """What to do to have it go on."""
        if self.hold == "run":
            return "to go on, cancel it and start it again with a larger `budget_dollars`"
        return "to go on, raise `budget_dollars` in the cluster's file" if self.hold else ""

    @property
    def alert(self) -> str:
        """What a person has to know and do; empty while the run goes on."""
        advice = self.advice.capitalize()
        return f"held: {self.cause}, and the run waits; nothing is lost. {advice}" if self.hold else ""

    @property
    def notice(self) -> Literal["", "held", "continued"]:
        """What people have not been notified of yet.

        A held run goes on once its budget is larger. That nothing of it waits, as between two stages, says nothing.
        """
        if self.hold:
            return "held" if self.hold != self.notified else ""
        now = self.run_budget if self.notified == "run" else self.budget
        raised = now is None or now > (self.notified_budget or 0.0)
        return "continued" if self.notified and raised else ""

    def after_notice(self) -> RunCosts:
        """The same once people have been notified."""
        budget = self.run_budget if self.hold == "run" else self.budget
        return replace(self, notified=self.hold, notified_budget=budget)

    @property
    def dollars(self) -> float:
        return sum(span.dollars for span in self.spans.values())

    @property
    def hours(self) -> dict[str, float]:
        """Instance-hours of the cluster while the run was active, by group."""
        names = sorted({name for span in self.spans.values() for name in span.hours})
        return {name: sum(span.hours.get(name, 0.0) for span in self.spans.values()) for name in names}


_COSTS = TypeAdapter(RunCosts)


def read_costs(storage: Storage) -> RunCosts | None:
    """What the folder of a run says; None where no cluster has worked for it."""
    remedy = "move it away: the run then counts as having cost nothing so far"
    return read_document(storage, COSTS, RunCosts, remedy)


def budget_of(conf: Mapping[str, Any]) -> float | None:
    """The budget that a run was started with, in dollars, of its own; `prepare` refuses what is none."""
    given = str(conf.get("budget_dollars") or "").strip()
    try:
        return float(given) if given else None
    except ValueError:
        return None


def runs_over_budget(runs: Iterable[ActiveRun]) -> frozenset[str]:
    """The ids of the runs that their own budgets hold."""
    return frozenset(run.id for run in runs if run.budget is not None and _is_over_budget(run))


def _is_over_budget(run: ActiveRun) -> bool:
    """Whether a run's own budget holds it; one whose costs are damaged is held until somebody has decided."""
    try:
        costs = read_costs(Storage(run.output))
    except DamagedFileError:
        return True
    return costs is not None and costs.under(run.budget).is_over_budget


def update_run_costs(
    records: Records,
    groups: Iterable[Group],
    runs: Iterable[ActiveRun],
    alert: Callable[[ActiveRun, str], None] = lambda run, text: None,
    notify: Callable[[ActiveRun, RunCosts], None] = lambda run, costs: None,
) -> int:
    """Write down in each run's folder what it has cost until the last step; nothing before the first one.

    A folder that is not prepared yet is left alone: it must be empty for that. `alert` is called when what a person
    has to know of a run has changed, with an empty text when that is nothing any more; where it raises RunError it
    will be called again. `notify` is called once for each hold and once when that is over.
    Returns how many runs are held.
    """
    snapshot, held = records.snapshot(), 0
    if snapshot is None:
        return held
    prices, events, ledger = {group.name: group.price for group in groups}, records.events(), records.ledger()
    for run in runs:
        storage = Storage(run.output)
        if storage.get(RUN) is None:
            continue
        try:
            before = read_costs(storage) or RunCosts()
        except DamagedFileError as error:
            with suppress(RunError):
                alert(run, str(error))
            continue
        new = {(event.time, line) for event in events if event.time >= run.started for line in event.lines}
        costs = replace(
            before.under(run.budget),
            prices=prices,
            cluster_dollars=ledger.dollars,
            budget=snapshot.budget,
            held=snapshot.held,
            spans={**before.spans, run.id: _span(before, run, ledger, snapshot.time)},
            events=tuple(sorted({*before.events, *new})[-EVENTS_KEPT:]),
            ahead=snapshot.ahead.get(run.id, 0.0),
        )
        costs = replace(costs, held_budget=run.budget if costs.is_over_budget else None)
        if run.id not in before.spans:  # its page says nothing yet, and that it is held from the start is new
            costs = replace(costs, alerted="", notified="" if costs.hold else costs.notified)
        held += bool(costs.alert)
        if costs.alert != costs.alerted:
            with suppress(RunError):
                alert(run, costs.alert)
                costs = replace(costs, alerted=costs.alert)
        if costs.notice:
            notify(run, costs)
            costs = costs.after_notice()
        storage.put(COSTS, _COSTS.dump_json(costs, indent=1))
    return held


def _span(before: RunCosts, run: ActiveRun, ledger: Ledger, now: float) -> Span:
    """A start of a run until now."""
    known = before.spans.get(run.id)
    first = known.before if known else ledger.hours
    return Span(run.started, now, ledger.runs.get(run.id, 0.0), before=first, until=ledger.hours)

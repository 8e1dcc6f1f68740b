"""Tasks of a run that its own budget holds: they give back the slot that a machine has given them.

Such a run asks for no machines, but those that stand for other runs take its tasks as they come. So each task of a
run with a budget looks first. Airflow reschedules it then, as it does sensors: no try is lost, what runs goes on,
and the run can be cancelled and started again with a larger budget as ever.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowRescheduleException

from seuron.cluster.costs.run_costs import read_costs

if TYPE_CHECKING:
    from seuron.engine.run import Run

log = logging.getLogger(__name__)

#: A start of a run keeps its budget, so a later look finds the same; each look takes a second of a slot.
LOOK_AGAIN = timedelta(days=1)


def defer_if_over_budget(run: Run) -> None:
    """Raise what makes Airflow defer the task, where its own budget holds the run, by the manager's last look."""
    budget = run.params.budget_dollars
    costs = read_costs(run.storage) if budget is not None else None
    if costs is not None and costs.under(budget).is_over_budget:
        log.warning("The task does not begin: %s", costs.under(budget).alert)
        raise AirflowRescheduleException(datetime.now(UTC) + LOOK_AGAIN)  # type: ignore[no-untyped-call]

"""The words for the state of a run, the same wherever a person meets it.

Airflow knows only queued, running, success and failed. Whether a run waits for a person, is held, or was
cancelled is said by its gates and its folder.
"""

from __future__ import annotations

from seuron.gates import last_answer
from seuron.storage import Storage

WAITING, RUNNING, HELD, INSPECTING = "waiting", "running", "held", "inspecting"
SUCCEEDED, FAILED, CANCELLED, SUPERSEDED = "succeeded", "failed", "cancelled", "superseded"
#: States of a run that has not ended.
ACTIVE = (WAITING, RUNNING, HELD, INSPECTING)


def state_of(airflow_state: str, run_id: str, output: str | None, *, inspecting: bool, held: bool) -> str:
    """The state of a run.

    `airflow_state` is Airflow's word and `run_id` its name for the run, `output` the run's folder. `inspecting`
    says that a gate waits for an answer, `held` that a budget holds the run.
    """
    if airflow_state == "running":
        return INSPECTING if inspecting else HELD if held else RUNNING
    if airflow_state == "failed":
        return _ending(run_id, output)
    return {"queued": WAITING, "success": SUCCEEDED}.get(airflow_state, airflow_state)


def _ending(run_id: str, output: str | None) -> str:
    """What a run that Airflow calls failed is."""
    answer = last_answer(Storage(output), run_id) if output else None
    if answer is not None:
        return CANCELLED if answer.choice == "end" else SUPERSEDED
    return FAILED

"""Commands for runs that wait for a person after a stage (`inspect_after`): inspections, approve, change, end."""

from __future__ import annotations

from typing import Annotated

from seuron.client import RunHandle
from seuron.client.gates import WaitingGate, answer_gate, refusal_of, waiting_gates
from seuron.commands.answers import Answer, Session
from seuron.commands.registry import Values, command
from seuron.commands.runs import GROUP, RUN
from seuron.errors import NotFoundError
from seuron.gates import Choice


@command("inspections", aliases=("show inspections", "what waits"), may="look", group=GROUP)
def inspections(session: Session) -> Answer:
    """The runs that wait until somebody has looked, and at what."""
    client = session.deployment.client
    gates = waiting_gates(client)
    rows = [{"run": gate.run_id, "stage": gate.stage, "refused": refusal_of(client, gate)} for gate in gates]
    lines = [
        f"{gate.subject}\n{gate.body}" + (f"\nThe last answer was refused: {row['refused']}" if row["refused"] else "")
        for gate, row in zip(gates, rows, strict=True)
    ]
    said = "\n\n".join(lines) or "No run waits for an inspection."
    return Answer(said, rows, links={gate.run_id: gate.page for gate in gates})


@command("approve", aliases=("approve run",), may="run", group=GROUP)
def approve(session: Session, run: Annotated[str, RUN]) -> Answer:
    """Let a run go on that waits for an inspection."""
    return _answered(session, run, "approve", "goes on")


@command("change", aliases=("change run", "redo with"), may="run", group=GROUP)
def change(session: Session, run: Annotated[str, RUN], values: Values) -> Answer:
    """Answer an inspection with other parameters: the run goes on as another one that computes what depends on them.

    Whether they fit is checked by the run; where they do not, it asks again, and `inspections` says why.
    """
    return _answered(
        session, run, "redo", "is done again with " + ", ".join(f"{k}={v}" for k, v in values.items()), values
    )


@command("end", aliases=("end run",), may="run", group=GROUP)
def end(session: Session, run: Annotated[str, RUN]) -> Answer:
    """End a run that waits for an inspection; what it has finished stays, and it is cancelled, not failed."""
    return _answered(session, run, "end", "ends")


def _answered(session: Session, run: str, choice: Choice, what: str, values: Values | None = None) -> Answer:
    handle = session.deployment.find(run)
    gate = _gate_of(handle)
    answer_gate(session.deployment.client, gate, choice, values)
    said = {"run": handle.name, "stage": gate.stage, "answer": choice, "changes": dict(values or {})}
    return Answer(f"{handle.name}, looked at after {gate.stage}, {what}.", said, links={"Airflow": handle.url})


def _gate_of(handle: RunHandle) -> WaitingGate:
    """The gate at which a run waits; raises NotFoundError where it does not."""
    gates = waiting_gates(handle.deployment.client, handle.dag, handle.id) if handle.id else []
    if not gates:
        state = handle.status(stages=False).sentence
        raise NotFoundError(
            f"{handle.name} does not wait for an inspection: {state}. `inspections` lists the runs that do; "
            "give `inspect_after` with the stages to stop behind when a run is started"
        )
    return gates[0]

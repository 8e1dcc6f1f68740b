"""Commands that answer a run which waits for a person after a stage: approve, end; `redo` with parameters as well."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from seuron.commands.answers import Answer, Session
from seuron.commands.argument_types import RUN, WHY
from seuron.commands.registry import command
from seuron.errors import NotFoundError

if TYPE_CHECKING:
    from seuron.client import RunHandle
    from seuron.client.gates import WaitingGate
    from seuron.engine.gates import Choice

GROUP = "Runs"


@command("inspections", aliases=("show inspections", "gates"), permission="look", group=GROUP)
def inspections(session: Session) -> Answer:
    """List the runs that wait for a person, and what they ask."""
    from seuron.client.gates import waiting_gates

    found = [(session.find(gate.run_id), gate) for gate in waiting_gates(session.deployment.client)]
    if not found:
        return Answer("no run waits for a person", [])
    lines = [f"{handle.name}: {_question(session, gate)}" for handle, gate in found]
    data = [{"name": handle.name, "run": gate.run_id, "stage": gate.stage, "page": gate.page} for handle, gate in found]
    return Answer("\n".join(lines), data, {handle.name: gate.page for handle, gate in found})


@command("approve", aliases=("approve run",), permission="run", group=GROUP)
def approve(session: Session, run: Annotated[str, RUN]) -> Answer:
    """Let a run go on that waits for a person after a stage."""
    handle = session.find(run)
    gate = _answered(session, handle, "approve")
    return Answer(f"{handle.name} continues after {gate.stage}", {"run": handle.id, "stage": gate.stage})


@command("end", aliases=("end run",), permission="run", group=GROUP)
def end(session: Session, run: Annotated[str, RUN], *, why: Annotated[str, WHY] = "") -> Answer:
    """End a run that waits for a person after a stage: it is cancelled, and what it has finished stays.

    Who, when and why is shown at the run in Airflow and in its folder.
    """
    handle = session.find(run)
    gate = _answered(session, handle, "end", why=why)
    text = f"{handle.name} is ended after {gate.stage}; `continue {handle.name}` resumes it"
    return Answer(text, {"run": handle.id, "stage": gate.stage})


def redo_with(session: Session, handle: RunHandle, changes: Mapping[str, Any]) -> RunHandle:
    """The run that continues with changed parameters one that waits for a person."""
    from seuron.client import RunHandle
    from seuron.client.gates import successor_of

    _answered(session, handle, "redo", changes)
    found = successor_of(session.deployment.client, handle.dag, handle.id)
    return RunHandle(handle.deployment, handle.dag, found, handle.output)


def _answered(
    session: Session, handle: RunHandle, choice: Choice, changes: Mapping[str, Any] | None = None, why: str = ""
) -> WaitingGate:
    """Answer what a run asks. Airflow knows the front end only, so who answered is written into the run's note first.

    The note of an end is that of any run that a person cancels; the gate finds its words there, and adds nothing.
    """
    from seuron.client.gates import answer_gate, waiting_gates
    from seuron.engine.gates import Answerer, stop_of

    client = session.deployment.client
    gates = waiting_gates(client, handle.dag, handle.id) if handle.id else []
    if not gates:
        state = handle.status(stages=False).state
        raise NotFoundError(f"{handle.name} waits for nobody: it is {state}; `inspections` lists the runs that do")
    answerer = Answerer(" ".join(session.who.split()), time.time(), " ".join(why.split()))
    note = f"{choice} after {gates[0].stage}, answered by {answerer.by}"
    if choice == "end":
        note = stop_of(handle.id, gates[0].stage, answerer).note
    client.write_note(handle.dag, handle.id, note)
    answer_gate(client, gates[0], choice, changes, answerer)
    return gates[0]


def _question(session: Session, gate: WaitingGate) -> str:
    from seuron.client.gates import refusal_of

    refused = refusal_of(session.deployment.client, gate)
    again = f"; the last answer was refused: {refused}" if refused else ""
    return f"waits after {gate.stage} for `approve`, `redo` with changed parameters, or `end`{again}"

"""Inspection gates in Airflow: nodes that wait for a person, without a process, as long as it takes.

Behind each stage stands a gate, a mapped node that has an instance only where the run's `inspect_after` names
the stage (`prepare` fills the list that it expands by), so a run without gates starts no process for them. An
answer is one of seuron.engine.gates.CHOICES; it can be given in Airflow's page of required actions and through its
REST API.

Approving lets the run go on. Ending it, and redoing it with other parameters, both end this run of the DAG, and
Airflow calls it failed: what waits for the run's success must not take half a result for a whole one. Who ended
it is in the run's folder and in its note, so that it is shown as cancelled.

A redo starts another run of the DAG, on the same folder and with the changed parameters, instead of clearing
tasks of this one. So what Airflow shows as the parameters of a run is what all of its tasks were done with, its
lists and queues are those of its own plan, and nothing new decides what has to be done again: that follows from
the tasks' keys, as for every run that is started again with a change.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param, RetryDecision

from seuron.engine.registry import pipeline_named
from seuron.errors import SeuronError
from seuron.orchestration.barriers import GATE_ID
from seuron.orchestration.form import filled
from seuron.orchestration.retry_policy import LimitedRetries
from seuron.orchestration.run_notes import leave_note

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from seuron.engine.run import Run
    from seuron.engine.states import Stop

log = logging.getLogger(__name__)

#: A changed parameter that is wrong makes the gate ask again at once, as a try of its own, so often at most;
#: after another error it has fewer tries.
ASKED_AGAIN, ERROR_TRIES = 200, 6


class RefusedAnswerError(SeuronError):
    """A redo whose changed parameters are wrong: the gate asks again.

    Airflow keeps the words of a question, so what was wrong is not in the second one: it is in the log of the
    first try, in the run's folder, and on the page Runs.
    """


class AskAgain(LimitedRetries):
    """Another try, at once, after an answer that was refused."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """As for other tasks, but for a refused answer."""
        if isinstance(exception, RefusedAnswerError):
            return RetryDecision.retry(timedelta(seconds=1), "the answer was refused")
        return super().evaluate(exception, try_number, max_tries, context)


CHANGES = "changes"
#: What the gates' nodes have in common.
SETTINGS: dict[str, Any] = {
    "task_id": GATE_ID,
    "pool": "manager",
    "queue": "manager",
    "priority_weight": 10,
    "weight_rule": "absolute",
    "trigger_rule": "none_failed",
    "do_xcom_push": False,
    "retries": ASKED_AGAIN,
    "retry_delay": timedelta(seconds=1),
    "retry_exponential_backoff": 0,
    "retry_policy": AskAgain(ERROR_TRIES),
}


class InspectionGate(HITLOperator):
    """Asks whether a run may go on after a stage."""

    def __init__(self, *, stage: str, **kwargs: Any) -> None:
        kwargs.pop("params", None)  # an instance of a mapped node is given those of its DAG
        changes = Param(
            "",
            type=["string", "null"],
            format="multiline",
            title=CHANGES,
            description="of a redo the parameters to change, as key=value words or JSON: agglomeration_threshold=0.3; "
            "of an end the reason, if you like",
        )
        choices = ["approve", "redo", "end"]
        super().__init__(options=choices, params={CHANGES: changes}, **kwargs)
        self.stage = stage

    def execute(self, context: Any) -> None:
        """Ask, with what there is to be seen."""
        from seuron.engine.run import Run

        self.body = _question(Run.open(_values(context)["output"]), self.stage)
        super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> None:
        """Do what was answered."""
        found = super().execute_complete(context, event)
        user = found["responded_by_user"] or {}
        choice = found["chosen_options"][0]
        text = str((found["params_input"] or {}).get(CHANGES) or "")
        answer(context, self.stage, choice, text, str(user.get("name") or "somebody"))


def answer(
    context: Mapping[str, Any], stage: str, choice: Literal["approve", "redo", "end"], changes: str, by: str
) -> None:
    """Write an answer down and act on it; `changes` are those of a redo, else who answered and why, if not `by`.

    Raises EndedRunError or SupersededRunError where the run ends with it, and RefusedAnswerError where a redo
    was asked for with changes that are wrong: the gate then asks again.
    """
    from seuron.engine.gates import (
        Answerer,
        EndedRunError,
        GateAnswer,
        SupersededRunError,
        add_answer,
        stage_key,
        stop_of,
    )
    from seuron.engine.run import Run
    from seuron.engine.states import Stop

    run, now = Run.open(_values(context)["output"]), time.time()
    answerer = Answerer(by, now) if choice == "redo" else Answerer.of_text(changes, by, now)
    made: dict[str, Any] = {
        "stage": stage,
        "key": stage_key(run, stage),
        "run_id": str(context["run_id"]),
        "choice": choice,
        "by": answerer.by,
        "time": now,
    }
    if choice == "redo":
        again, values = _redo(context, made, changes)
        why = f"redone after {stage} with {_listed(again['changes'])}"
        _trigger(context, again["successor"], values, f"goes on from {made['run_id']}, {why}")
        add_answer(run.storage, GateAnswer(**again))
        stop = Stop(made["run_id"], "cancelled", by, now, f"{why}; it goes on as {again['successor']}")
        raise SupersededRunError(_stop(context, run, stop))
    add_answer(run.storage, GateAnswer(**made))
    if choice == "end":
        raise EndedRunError(_stop(context, run, stop_of(made["run_id"], stage, answerer)))
    log.info("Approved by %s: the run goes on", answerer.by)


def _stop(context: Mapping[str, Any], run: Run, stop: Stop) -> str:
    """Write down that a person ended the run, in its folder and for its note; returns the words."""
    from seuron.engine.states import write_stop

    write_stop(run.storage, stop)
    leave_note(context, stop.note)
    return stop.note


def _redo(context: Mapping[str, Any], made: dict[str, Any], text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answer with its changes and its successor, and that one's parameters; asks again where they are wrong."""
    from seuron.engine.gates import GateAnswer, add_answer, changed_values, parse_changes, successor
    from seuron.errors import ParameterErrors
    from seuron.storage import Storage

    pipeline = pipeline_named(context["dag"].dag_id)
    before, _ = filled(pipeline, _values(context))  # nothing is wrong: the run has been prepared
    try:
        changes = parse_changes(text)
        values = changed_values(pipeline, before, changes)
    except ParameterErrors as error:
        add_answer(Storage(before["output"]), GateAnswer(**made, problems=error.problems))
        raise RefusedAnswerError(f"the redo was refused, and the gate asks again: {error}") from error
    return {**made, "changes": changes, "successor": successor(made["run_id"])}, values


def _trigger(context: Mapping[str, Any], run_id: str, values: Mapping[str, Any], note: str) -> None:
    """Start another run of this DAG, as TriggerDagRunOperator does; one that is there already stays."""
    from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    asked = TriggerDagRun(dag_id=context["dag"].dag_id, run_id=run_id, conf=dict(values), note=note)
    reply = SUPERVISOR_COMMS.send(asked)
    if isinstance(reply, ErrorResponse) and "ALREADY_EXISTS" not in str(reply.error):
        raise SeuronError(f"Airflow did not start the run {run_id}: {reply.error} {reply.detail}")


def _values(context: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that the run was started with."""
    return dict(context["dag_run"].conf or {})


def _listed(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in changes.items())


def _question(run: Run, stage: str) -> str:
    """What a person should know before the answer, in Markdown."""
    from seuron.reporting.quantities import count, duration

    records = [record for task in run.plan.stage(stage).tasks if (record := run.record(task.id))]
    seconds = sum(record.seconds for record in records)
    lines = [
        f"`{run.output}` is done with **{stage}**: {count(len(records))} tasks, {duration(seconds)} of work.",
        "",
        "Look at the run's page *Volume*. Then",
        "- **approve**: the run goes on;",
        "- **redo**: it is started again with the *changes* below, and does what depends on them;",
        "- **end**: it is cancelled; what is finished stays.",
    ]
    return "\n".join(lines)

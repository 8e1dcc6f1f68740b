"""Inspection gates: where a run waits for a person, and what that person answered.

A run with `inspect_after` waits after each of these stages (seuron.orchestration.gates). Answers are kept in
the run's folder, newest last:

    OUTPUT/gates/STAGE.json

An approval holds for the results that were looked at: it names the stage's key, which changes with everything
that the stage's results depend on. So a run that is killed and started again does not ask twice, and one whose
results have changed asks again. No result depends on an answer.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from seuron.engine.pipeline import Pipeline
from seuron.engine.run import Run
from seuron.engine.states import Stop
from seuron.errors import ParameterErrors, PermanentError
from seuron.params import parse_settings
from seuron.storage import Storage, cloud_path
from seuron.storage.digests import digest_of_bytes
from seuron.storage.documents import read_document

#: `approve`: go on. `redo`: start again with other parameters. `end`: the run is cancelled.
Choice = Literal["approve", "redo", "end"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
#: Parameters that a redo cannot change: it goes on in the same folder.
FIXED = ("output",)


class EndedRunError(PermanentError):
    """A run that a person ended at an inspection: cancelled, not failed."""


class SupersededRunError(PermanentError):
    """A run that goes on as another one, which a person started with other parameters at an inspection."""


@dataclass(frozen=True)
class GateAnswer:
    """What a person answered after a stage.

    `key` is the stage's when it was looked at, `run_id` the run that asked, as Airflow calls it, `time` s since
    1970. A `redo` has `changes`, and the run that goes on, `successor`; or the `problems` with the changes, and
    then the run asks again.
    """

    stage: str
    key: str
    run_id: str
    choice: Choice
    by: str
    time: float
    changes: dict[str, Any] = field(default_factory=dict)
    successor: str = ""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answerer:
    """Who answered, when (s since 1970) and why.

    Airflow knows only the user that a front end logs in as. So a front end sends who it was in the place of the
    changes, which an approval and an end have none of; on Airflow's own page the words there are the reason.
    """

    by: str
    time: float
    why: str = ""

    @property
    def text(self) -> str:
        """As it is sent."""
        return json.dumps({"answered": asdict(self)})

    @classmethod
    def of_text(cls, text: str, by: str, time: float) -> Answerer:
        """What was sent, or `by` at `time` with the text as the reason."""
        words = " ".join(text.split())
        try:
            sent = json.loads(text)["answered"]
            return cls(str(sent["by"]), float(sent["time"]), str(sent["why"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            return cls(by, time, words)


def stage_key(run: Run, stage: str) -> str:
    """What all results of a stage depend on."""
    return digest_of_bytes([run.keys.of_tier(tier) for tier in run.plan.stage(stage).tiers])


def answers(storage: Storage, stage: str) -> list[GateAnswer]:
    """What has been answered after a stage, in a run's folder."""
    remedy = "delete it: the run then asks again after this stage"
    return read_document(storage, f"gates/{stage}.json", list[GateAnswer], remedy) or []


def add_answer(storage: Storage, answer: GateAnswer) -> None:
    """Write an answer down. Only the gate itself writes, and a run has one at a time."""
    rows = [asdict(row) for row in [*answers(storage, answer.stage), answer]]
    storage.put(f"gates/{answer.stage}.json", json.dumps(rows, indent=1).encode())


def stages_to_inspect(run: Run) -> list[str]:
    """The stages after which the run has to ask: those it was told to, but for what was approved already."""
    return [
        stage
        for stage in run.params.inspect_after
        if run.plan.stage(stage).tiers and not _is_approved(run, stage, stage_key(run, stage))
    ]


def _is_approved(run: Run, stage: str, key: str) -> bool:
    return any(answer.choice == "approve" and answer.key == key for answer in answers(run.storage, stage))


def last_answer(storage: Storage, run_id: str) -> GateAnswer | None:
    """The answer that ended a run, or made another one take over; None where none did."""
    names = (name.removeprefix("gates/").removesuffix(".json") for name in storage.names("gates/"))
    found = [
        answer
        for stage in names
        for answer in answers(storage, stage)
        if answer.run_id == run_id and (answer.choice == "end" or answer.successor)
    ]
    return max(found, key=lambda answer: answer.time, default=None)


def successor(run_id: str) -> str:
    """What Airflow calls the run that goes on after a redo."""
    first, _, number = run_id.partition("~redo")
    return f"{first}~redo{int(number or 0) + 1}"


def stop_of(run_id: str, stage: str, answerer: Answerer) -> Stop:
    """The stop of a run that was ended after a stage: the person's own reason, where there is one."""
    why = answerer.why or f"ended at the inspection after {stage}"
    return Stop(run_id, "cancelled", answerer.by, answerer.time, why)


def parse_changes(text: str) -> dict[str, Any]:
    """Changed parameters, written as JSON or as `key=value` words; raises ParameterErrors."""
    text = text.strip()
    if not text.startswith("{"):
        try:
            return parse_settings(shlex.split(text))
        except ValueError as error:
            if isinstance(error, ParameterErrors):
                raise
            raise ParameterErrors([f"{text!r} cannot be split into words: {error}; write key=value"]) from error
    try:
        values: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise ParameterErrors([f"the changes are not JSON: {error}; write key=value, or an object of JSON"]) from error
    return values


def changed_values(pipeline: Pipeline, before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a run with changes; raises ParameterErrors with all problems at once.

    The volumes that they name are looked at as well.
    """
    from seuron.engine.setup import check_run, parse_run

    if not changes:
        raise ParameterErrors(
            ["`redo` needs changed parameters, such as agglomeration_threshold=0.3; to go on, approve"]
        )
    fixed = [
        f"`{name}`: a redo goes on in the same run, which is in {before.get(name)}; got {changes[name]}"
        for name in FIXED
        if name in changes and cloud_path(str(changes[name])) != cloud_path(str(before.get(name)))
    ]
    values = {**before, **changes}
    if problems := fixed + check_run(parse_run(pipeline, values))[1]:
        raise ParameterErrors(problems)
    return values

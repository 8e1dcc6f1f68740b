"""A batch: a list of parameter sets, checked whole before the first starts, then run one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seuron.commands import CANCELLED, FAILED, OK, Answer, Command, Session, Values, answer_of, bind, call
from seuron.commands.closing import close_run
from seuron.commands.given import checked
from seuron.errors import ParameterErrors, RefusedError, SeuronError
from seuron.params.model import Parameters
from seuron.pipelines import PIPELINES, Pipeline
from seuron.storage import cloud_path


def run_batch(session: Session, made: Command, words: Sequence[str], batch: Sequence[Mapping[str, Any]]) -> Answer:
    """Run a command with each set; words and what the session keeps hold for all of them.

    A run that fails does not keep the next ones from starting; one that a person ends does. Raises
    ParameterErrors with all that is wrong with any of the sets, before anything starts.
    """
    pipeline = _pipeline(made)
    if made.may not in session.may:
        raise RefusedError(f"{session.who} may not give the command `{made.name}`: it takes the right to {made.may!r}")
    given = _checked(session, made, pipeline, words, batch)
    answers: list[Answer] = []
    for number, values in enumerate(given, start=1):
        answers.append(_run(session, made, values, f"{number} of {len(given)}", answers))
        if answers[-1].code == CANCELLED:
            break
    left = len(given) - len(answers)
    text = _told(answers) + (f"\n{left} not started, as the one before was ended by a person." if left else "")
    code = next((answer.code for answer in answers if answer.failed), OK)
    pictures = [picture for answer in answers for picture in answer.pictures]
    return Answer(text, {"runs": [answer.data for answer in answers], "left": left}, pictures=pictures, code=code)


def _pipeline(made: Command) -> Pipeline:
    pipeline = PIPELINES.get(made.name.removeprefix("run "))
    if pipeline is None or not made.name.startswith("run "):
        runs = ", ".join(f"`run {name}`" for name in PIPELINES)
        raise ParameterErrors([f"a list of parameter sets is for {runs}; give `{made.name}` one set"], f"`{made.name}`")
    return pipeline


def _checked(
    session: Session, made: Command, pipeline: Pipeline, words: Sequence[str], batch: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Each set bound to the command; raises ParameterErrors with the problems of all of them."""
    problems, bound = list[str](), list[dict[str, Any]]()
    outputs: dict[str, int] = {}
    for number, values in enumerate(batch, start=1):
        try:
            given = bind(made, words, values)
            params = checked(session, pipeline, _values(given))
        except ParameterErrors as error:
            problems += [f"set {number}: {problem}" for problem in error.problems]
            continue
        if not given.get("wait", True):
            raise ParameterErrors(["a batch runs one after the other: leave `wait` out"], f"`{made.name}`")
        bound.append(given)
        problems += _same_folder(params, number, outputs)
    if problems:
        raise ParameterErrors(problems, f"the batch of {len(batch)}; nothing was started")
    return bound


def _same_folder(params: Parameters, number: int, outputs: dict[str, int]) -> list[str]:
    """Two sets with one folder would have the second run change the first one's results."""
    output = str(getattr(params, "output", ""))
    first = outputs.setdefault(cloud_path(output), number)
    return [] if first == number else [f"set {number}: `output` {output} is that of set {first}; give each its own"]


def _values(given: Mapping[str, Any]) -> Values:
    return next(value for value in given.values() if isinstance(value, Values))


def _run(session: Session, made: Command, given: Mapping[str, Any], which: str, done: Sequence[Answer]) -> Answer:
    """One run of a batch; what the ones before came to stays in sight meanwhile."""
    shown = session.on_progress
    told = _told(done)

    def progress(answer: Answer) -> None:
        if shown is not None:
            words = "\n".join(filter(None, [told, f"{which}: {answer.text}"]))
            shown(Answer(words, answer.data, answer.links, answer.pictures))

    session.on_progress = progress
    try:
        answer = call(made, session, given)
        return answer if answer.failed else close_run(session, answer)
    except SeuronError as error:
        failed = answer_of(error)
        return Answer(failed.text, failed.data, code=FAILED)
    finally:
        session.on_progress = shown


def _told(answers: Sequence[Answer]) -> str:
    return "\n".join(f"{number}. {answer.text}" for number, answer in enumerate(answers, start=1))

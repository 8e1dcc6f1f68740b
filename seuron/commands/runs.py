"""Commands that make runs and end them: run, cancel, pause, continue, redo."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from seuron.commands.answers import OK, Answer, FollowedRun, Session, code_of_state
from seuron.commands.argument_types import RUN, WHY
from seuron.commands.batches import run_in_sequence
from seuron.commands.formatting import status_answer
from seuron.commands.registry import Argument, Command, Values, add, command
from seuron.commands.run_parameters import checked_values, parameter_sets
from seuron.engine.registry import PipelineEntry, pipeline_entries, pipeline_named
from seuron.engine.states import RunState
from seuron.errors import ParameterErrors, RefusedError
from seuron.storage import cloud_path

if TYPE_CHECKING:
    from seuron.client import RunHandle, RunStatus
    from seuron.engine.pipeline import Pipeline
    from seuron.engine.run import Run
    from seuron.params.run_parameters import RunParameters

GROUP = "Runs"
WAIT = Argument("follow it to its end")
#: Seconds between reads of the folder of a run without Airflow.
_POLL_SECONDS = 0.5


def _run_command(entry: PipelineEntry) -> Command:
    """The command that runs a pipeline, which is loaded when the command is called."""

    def run(
        session: Session,
        values: Values,
        *,
        wait: Annotated[bool, WAIT] = True,
        local: Annotated[bool, Argument("without Airflow, in this process", local_only=True)] = False,
        workers: Annotated[int, Argument("with local: processes to use", local_only=True)] = 1,
    ) -> Answer:
        sets = _checked_all(session, pipeline_named(entry.name), parameter_sets(values))
        if local:
            return _joined([_without_airflow(session, params, workers) for params in sets])
        session.progress(Answer("starting Airflow" if session.deployment.is_local else "starting the run"))
        if wait and len(sets) > 1:
            return run_in_sequence(session, _starts(session, sets))
        handles = [session.deployment.run(params) for params in sets]
        return _joined([_followed(session, handle, wait=wait) for handle in handles])

    run.__doc__ = (
        f"Run a {entry.name}: {entry.help}.\n\n"
        "A run that was interrupted is resumed when the same command is given again. With other parameters it\n"
        "computes what depends on them (`plan --diff` shows what that is). A file with a list of sets is a batch: all\n"
        "are checked before the first starts, and they run one after the other, or with `wait=no` at once.\n"
        "`params explain` lists all parameters."
    )
    words = (f"run {entry.name}s", f"start {entry.name}", *entry.aliases)
    return Command(f"run {entry.name}", words, "run", GROUP, run)


for _entry in pipeline_entries():
    add(_run_command(_entry))


def _starts(session: Session, sets: Sequence[RunParameters]) -> list[Callable[[], Answer]]:
    """What begins each run of a batch, and follows it."""
    return [partial(_run_and_follow, session, params, sets[number:]) for number, params in enumerate(sets, start=1)]


def _run_and_follow(session: Session, params: RunParameters, later: Sequence[RunParameters]) -> Answer:
    if not session.may_run:  # who asked had it; the batch may have been taken up by another process since
        raise RefusedError(f"{session.who} may not run anything any more, so this run was not started")
    return follow(session, session.deployment.run(params), later)


def resume_following(session: Session, followed: FollowedRun) -> Answer:
    """Follow a run that another process followed, and its batch, to the answer that it would have given."""
    from seuron.client import RunHandle
    from seuron.commands.summary import with_summary

    handle = RunHandle(session.deployment, followed.dag, followed.id, followed.output)
    if followed.before or followed.later:
        from seuron.params.model import parse_parameters

        pipeline = pipeline_named(followed.dag)
        sets = [parse_parameters(pipeline.params, values) for values in followed.later]
        before = [Answer(text, code=code) for text, code in followed.before]
        return run_in_sequence(session, [partial(watched, session, handle), *_starts(session, sets)], before)
    answer = watched(session, handle)
    return with_summary(session, answer) if followed.closes else answer


def _checked_all(session: Session, pipeline: Pipeline, sets: list[Values]) -> list[RunParameters]:
    """The parameters of a batch, checked whole before the first run starts; raises ParameterErrors for all.

    What is seldom meant is shown now, where the inputs can be read; reports have it as well, wherever runs run.
    """
    found: list[RunParameters] = []
    problems: list[str] = []
    warnings: list[str] = []
    for number, values in enumerate(sets, 1):
        try:
            params, facts = checked_values(session, pipeline, values)
            found.append(params)
            warnings += pipeline.warnings(params, facts) if facts is not None else ()
        except ParameterErrors as error:
            problems += [f"set {number}: {problem}" if len(sets) > 1 else problem for problem in error.problems]
    outputs = [str(getattr(params, "output", "")) for params in found]
    for output in sorted({output for output in outputs if outputs.count(output) > 1}):
        problems.append(f"`output`: {outputs.count(output)} sets write to {output}; each needs a folder of its own")
    if problems:
        raise ParameterErrors(problems)
    for warning in dict.fromkeys(warnings):
        session.progress(Answer(f"Warning: {warning}"))
    return found


def _joined(answers: list[Answer]) -> Answer:
    """The answers of a batch as one; its exit code is the first that is not 0."""
    if len(answers) == 1:
        return answers[0]
    codes = [answer.code for answer in answers if answer.failed]
    return Answer(
        "\n\n".join(answer.text for answer in answers), [answer.data for answer in answers], code=(codes or [OK])[0]
    )


@command("cancel", aliases=("cancel run", "stop run"), permission="run", group=GROUP)
def cancel(session: Session, run: Annotated[str, RUN], *, why: Annotated[str, WHY] = "") -> Answer:
    """End a run; what it has finished stays.

    Who, when and why is shown at the run in Airflow and in its folder: it is cancelled, not failed.
    """
    from seuron.notifications.dispatch import notify_end

    handle = session.find(run)
    stop = handle.cancel(why, session.who)
    notify_end(handle)
    text = f"{handle.name} is {stop.sentence}. What it has finished stays; `continue {handle.name}` resumes it"
    return Answer(text, handle.status(stages=False).to_json(), links={"Airflow": handle.url})


@command("pause", aliases=("pause run",), permission="run", group=GROUP)
def pause(session: Session, run: Annotated[str, RUN], *, why: Annotated[str, WHY] = "") -> Answer:
    """Stop the tasks of a run, to resume it later.

    The work of running tasks is lost, what is finished is kept. The run is held until somebody continues it.
    """
    from seuron.notifications.holds import notify_pause

    handle = session.find(run)
    stop = handle.pause(why, session.who)
    notify_pause(handle, stop)
    text = f"{handle.name} is {stop.sentence}; `continue {handle.name}` resumes it where it was"
    return Answer(text, handle.status(stages=False).to_json(), links={"Airflow": handle.url})


@command("continue", aliases=("continue run", "resume run"), permission="run", group=GROUP)
def continue_(session: Session, run: Annotated[str, RUN], *, wait: Annotated[bool, WAIT] = True) -> Answer:
    """Resume a run that was paused or cancelled, or that failed, where it was."""
    from seuron.notifications.holds import notify_continued

    started, _ = session.find(run).redo()
    notify_continued(started, session.who)
    return _followed(session, started, wait=wait)


@command("redo", aliases=("redo run",), permission="run", group=GROUP)
def redo(
    session: Session,
    run: Annotated[str, RUN],
    values: Values,
    stage: Annotated[str, Argument("forget this stage and all that depends on it first")] = "",
    *,
    wait: Annotated[bool, WAIT] = True,
) -> Answer:
    """Start a run again; with a stage, do that one again and all that depends on it.

    The same inputs give the same bytes: this is for results that were damaged, or to measure a stage again.
    With parameters it answers a run that waits for a person after a stage, which then does what depends on them.
    """
    from seuron.commands.inspection import redo_with

    if values:
        return _followed(session, redo_with(session, session.find(run), values), wait=wait)
    started, forgotten = session.find(run).redo(stage or None)
    if forgotten is not None:
        tasks = ", ".join(f"{number} {name}" for name, number in forgotten.tasks.items())
        kept = "" if forgotten.tables else "; tables in the store that other runs share are taken from there"
        session.progress(Answer(f"{started.name} does again: {tasks}{kept}"))
    return _followed(session, started, wait=wait)


def _followed(session: Session, handle: RunHandle, *, wait: bool) -> Answer:
    """A run that was started, or with `wait` one that has ended."""
    if not wait:
        data = {**handle.status(stages=False).to_json(), "waited": False}
        return Answer(f"{handle.name} is started; `status {handle.name}` follows it", data, {"Airflow": handle.url})
    return follow(session, handle)


def follow(session: Session, handle: RunHandle, later: Sequence[RunParameters] = ()) -> Answer:
    """Wait for a run, show its progress, and say how it ended; `later` runs of a batch begin after it."""
    session.progress(Answer(f"following {handle.url}", links={"Airflow": handle.url}))
    following = tuple(params.model_dump(mode="json") for params in later)
    session.follows(FollowedRun(handle.dag, handle.id, handle.output, later=following))
    return watched(session, handle)


def watched(session: Session, handle: RunHandle) -> Answer:
    """The end of a run that is followed already."""
    try:
        status = handle.wait(lambda seen: session.progress(status_answer(seen)))
    except KeyboardInterrupt:
        session.progress(
            Answer(
                f"\nThe run continues: {handle.url}\nFollow it with `seuron status {handle.name} --watch`, end it with "
                f"`seuron cancel {handle.name}`; `seuron down` stops everything, and `seuron continue` then resumes it"
            )
        )
        raise
    return ended(handle, status)


def ended(handle: RunHandle, status: RunStatus) -> Answer:
    """How a run ended: what it took, or why it failed."""
    code = code_of_state(status.state)
    if status.state is RunState.FAILED:
        errors = handle.errors()
        causes = "\n".join(map(str, errors)) or "no task says why"
        text = (
            f"the run failed: {handle.url}\n{causes}\n"
            f"Fix the cause and give the same command, or `continue {handle.name}`: it resumes where it was."
        )
        data = status.to_json() | {"errors": [error.to_json() for error in errors]}
        return Answer(text, data, {"Airflow": handle.url}, code=code)
    if status.state is not RunState.SUCCEEDED:
        return status_answer(status, code, f"`continue {handle.name}` resumes it where it was")
    links = {"Airflow": handle.url} | ({"report": handle.report()} if handle.storage() is not None else {})
    text = _taken(handle) or status.sentence
    run = handle.folder() if handle.storage() is not None else None
    return Answer(_with_alerts(text, run), status.to_json(), links)


def _with_alerts(text: str, run: Run | None) -> str:
    """A text, and below it what must not be missed of a run that has ended."""
    from seuron.engine.sections import alerts_of

    return "\n".join([text, *(f"Warning: {alert}" for alert in (alerts_of(run) if run is not None else ()))])


def _taken(handle: RunHandle) -> str:
    """How long a run took, and how much of that was Airflow's; nothing where its folder is not reached."""
    from seuron.cluster.local_machine import LocalMachine

    if handle.storage() is None:
        return ""
    run, cores = handle.folder(), LocalMachine.this().cores
    work = {run.plan.task(record.task_id).label: record.seconds for record in run.records()}
    taken = handle.deployment.client.overhead(handle.dag, handle.id, work)
    if not taken.tasks:
        return "everything was finished already"
    share = f"; Airflow's own share {taken.share(cores):.0%} of the time on {cores} cores" * handle.deployment.is_local
    return (
        f"{taken.wall_seconds:.0f} s for {taken.tasks} tasks with {taken.work_seconds:.0f} s of work{share}, "
        f"{taken.seconds_per_task:.2f} s a task"
    )


def _without_airflow(session: Session, params: RunParameters, workers: int) -> Answer:
    """Run the same plan in this process, or in so many."""
    from seuron.client.local_runs import LocalRun
    from seuron.client.run_status import status_of_folder
    from seuron.engine.local import run_local
    from seuron.engine.registry import pipeline_of
    from seuron.engine.run import Run
    from seuron.reporting.report import REPORT

    dag, shown = pipeline_of(params).name, 0.0

    def show(*_: Any) -> None:
        nonlocal shown
        if time.monotonic() - shown > _POLL_SECONDS:
            session.progress(status_answer(status_of_folder(Run.open(params.output), dag)))
            shown = time.monotonic()

    session.deployment.local_runs.add(LocalRun(cloud_path(params.output), dag))
    try:
        run: Run = run_local(params, workers=workers, progress=show)
    except KeyboardInterrupt:
        session.progress(Answer("\nStopped. The same command resumes the run."))
        raise
    status = status_of_folder(run, dag)
    session.progress(status_answer(status))
    return Answer(_with_alerts(status.sentence, run), status.to_json(), {"report": f"{run.output}/{REPORT}"})

"""Commands for datasets: what they are, when they run, their versions, and which one readers see."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from seuron.commands.answers import BAD_PARAMETERS, Answer, Session
from seuron.commands.formatting import moment, table
from seuron.commands.registry import Argument, command
from seuron.datasets.names import DAG_ID, dag_of
from seuron.errors import NotFoundError, RunError, SeuronError

if TYPE_CHECKING:
    from seuron.airflow_rest.entities import DagTimes
    from seuron.client import DagRun
    from seuron.datasets.files import Dataset, DatasetFiles
    from seuron.datasets.versions import Version

GROUP = "Datasets"
NAME = Argument("the dataset: the name of its file without .toml")
#: A file that was put there just now is a DAG after so many seconds at most.
PARSE_SECONDS, POLL_SECONDS = 90.0, 1.0


@command("datasets list", aliases=("datasets", "list datasets", "show datasets"), permission="look", group=GROUP)
def list_(session: Session) -> Answer:
    """List the datasets: when each is checked, which version readers see, and how its last check ended."""
    registered = _registered(session)
    rows, data = list[tuple[str, ...]](), list[dict[str, Any]]()
    for name, dataset in sorted(registered.datasets.items()):
        facts = _facts(session, dataset)
        data.append(facts)
        version = "-" if facts["version"] is None else str(facts["version"])
        since = moment(facts["published"])
        rows.append((name, facts["schedule"], facts["state"], version, since, str(facts["last"] or "-")))
    head = ("dataset", "schedule", "state", "version", "since", "last check")
    lines = [table(head, rows)] if rows else ["there is no dataset yet; docs/datasets.md says how to make one"]
    lines += [f"{facts['name']}: {facts['problem']}" for facts in data if facts["problem"]]
    lines += [str(error) for error in registered.wrong.values()]
    wrong = {name: list(error.problems) for name, error in registered.wrong.items()}
    return Answer("\n".join(lines), {"datasets": data, "wrong": wrong})


@command("datasets show", aliases=("show dataset",), permission="look", group=GROUP)
def show(session: Session, name: Annotated[str, NAME]) -> Answer:
    """Show a dataset: its file, its schedule, its current version, and where readers find it."""
    dataset = _registered(session).named(name)
    facts = _facts(session, dataset) | {"file": dataset.table.model_dump(mode="json")}
    lines = [f"{name}: {dataset.table.description}" if dataset.table.description else name]
    unlisted = ("name", "file", "published", "problem")
    lines += [f"  {word}: {value}" for word, value in facts.items() if word not in unlisted]
    lines += [f"  {facts['problem']}"] if facts["problem"] else []
    lines += [f"  {word}: {value}" for word, value in facts["file"].items() if word not in ("name", "schedule")]
    return Answer("\n".join(lines), facts)


@command("datasets check", aliases=("check datasets", "check dataset"), permission="look", group=GROUP)
def check(session: Session, name: Annotated[str, NAME] = "") -> Answer:
    """Check the file of a dataset, or of all, and the volumes that they name; all problems are reported at once."""
    from seuron.datasets.change_detection import detect_changes
    from seuron.datasets.checks import problems_of, problems_of_all

    registered = _registered(session)
    problems = problems_of(registered.named(name)) if name else problems_of_all(registered)
    if problems:
        return Answer("\n".join(f"- {problem}" for problem in problems), {"problems": problems}, code=BAD_PARAMETERS)
    if not name:
        return Answer(f"nothing is wrong with {len(registered.datasets)} datasets", {"problems": []})
    found = detect_changes(registered.named(name))
    if not found.changed:
        return Answer(f"nothing is wrong with {name}, and nothing has changed since its last version", asdict(found))
    reasons = "\n".join(f"- {reason}" for reason in found.reasons)
    return Answer(f"nothing is wrong with {name}; a run would make version {found.number}:\n{reasons}", asdict(found))


@command("datasets run", aliases=("run dataset", "datasets run now"), permission="run", group=GROUP)
def run(
    session: Session,
    name: Annotated[str, NAME],
    *,
    wait: Annotated[bool, Argument("follow it to its end")] = False,
) -> Answer:
    """Check a dataset now, whatever its schedule says; if something has changed, make a version and publish it."""
    _registered(session).named(name)
    deployment = session.deployment
    deployment.ensure_started()
    _wait_for_dag(session, name)
    run_id = deployment.client.trigger(dag_of(name), {})
    url = deployment.client.run_url(dag_of(name), run_id)
    if not wait:
        return Answer(f"{name} is being checked: {url}", {"dag": dag_of(name), "id": run_id}, {"Airflow": url})
    session.progress(Answer(f"following {url}", links={"Airflow": url}))
    state = deployment.client.wait(dag_of(name), run_id)
    if state == "failed":
        reasons = "\n".join(map(str, deployment.client.task_errors(dag_of(name), run_id)))
        raise RunError(f"the run of {name} failed: {url}\n{reasons}")
    return versions(session, name)


@command("datasets pause", aliases=("pause dataset",), permission="run", group=GROUP)
def pause(session: Session, name: Annotated[str, NAME]) -> Answer:
    """Stop checking a dataset until it is resumed; a run that has begun continues."""
    return _set_paused(session, name, paused=True)


@command("datasets resume", aliases=("resume dataset",), permission="run", group=GROUP)
def resume(session: Session, name: Annotated[str, NAME]) -> Answer:
    """Check a dataset by its schedule again."""
    return _set_paused(session, name, paused=False)


@command("datasets versions", aliases=("show versions",), permission="look", group=GROUP)
def versions(session: Session, name: Annotated[str, NAME]) -> Answer:
    """List the versions of a dataset that are kept, and which one readers see."""
    published = _registered(session).named(name).published
    current, found = published.current(), published.versions()
    rows = [
        (
            ("* " if version == current else "  ") + str(version.number),
            moment(version.published),
            "; ".join(version.why[:2]) + ("; ..." if len(version.why) > 2 else ""),
        )
        for version in found
    ]
    data = [asdict(v) | {"current": v == current, "folder": published.folder(v.number)} for v in found]
    text = table(("version", "published", "what had changed"), rows) if rows else f"{name} has no version yet"
    return Answer(text, {"dataset": name, "path": published.path, "versions": data})


@command("datasets rollback", aliases=("rollback dataset", "rollback"), permission="run", group=GROUP)
def rollback(
    session: Session,
    name: Annotated[str, NAME],
    version: Annotated[int | None, Argument("its number; the one before the current one when left out")] = None,
) -> Answer:
    """Send readers back to an older version. It stays until the input or the parameters change."""
    published = _registered(session).named(name).published
    chosen = published.rollback(version)
    text = f"readers of {name} see version {chosen.number} ({moment(chosen.published)}) until another is published"
    return Answer(text, {"dataset": name, "version": chosen.number, "folder": published.folder(chosen.number)})


def _registered(session: Session) -> DatasetFiles:
    """The datasets of this machine's deployment; of another one those in the folder that is named for it."""
    from seuron.datasets.files import FOLDER_VARIABLE, datasets_folder, read_datasets

    if not session.deployment.is_local and FOLDER_VARIABLE not in os.environ:
        raise NotFoundError(
            f"the files of the datasets are on the machine of {session.deployment.url}; give the command there, "
            f"or name the folder of these files in {FOLDER_VARIABLE}"
        )
    return read_datasets(datasets_folder())


def _facts(session: Session, dataset: Dataset) -> dict[str, Any]:
    """What is known of a dataset: from its file, its versions, and Airflow where that answers."""
    current, problem = _current(dataset)
    times: DagTimes | None = None
    last: DagRun | None = None
    with suppress(SeuronError):
        times = session.deployment.client.dag_times(dag_of(dataset.name))
        last = next(iter(session.deployment.client.dag_runs(dag_of(dataset.name), 1)), None)
    return {
        "name": dataset.name,
        "schedule": dataset.schedule.text,
        "state": "not known" if times is None else "paused" if times.paused else "active",
        "next": None if times is None or times.next_run is None else times.next_run.isoformat(timespec="minutes"),
        "last": None if last is None else last.state,
        "version": None if current is None else current.number,
        "published": None if current is None else current.published,
        "path": f"{dataset.published.path}/current",
        "problem": problem,
    }


def _current(dataset: Dataset) -> tuple[Version | None, str]:
    """The version that readers see, or why that is not known: a listing does not depend on any one dataset."""
    try:
        return dataset.published.current(), ""
    except SeuronError as error:
        return None, str(error)


def _set_paused(session: Session, name: str, *, paused: bool) -> Answer:
    _registered(session).named(name)
    session.deployment.client.pause_dag(dag_of(name), paused=paused)
    word = "paused" if paused else "active"
    more = f"; `datasets resume {name}` checks it again" if paused else ""
    return Answer(f"{name} is {word}{more}", {"dataset": name, "state": word})


def _wait_for_dag(session: Session, name: str) -> None:
    """Return once Airflow has the DAG of a dataset; raises RunError where that takes too long."""
    client, deadline, asked = session.deployment.client, time.monotonic() + PARSE_SECONDS, False
    while dag_of(name) not in client.parsed_dags():
        if not asked:
            session.progress(Answer(f"waiting until Airflow has read the file of {name}"))
            client.parse_again(DAG_ID)
            asked = True
        if time.monotonic() > deadline:
            raise RunError(f"Airflow has no DAG {dag_of(name)} after {PARSE_SECONDS:g} s; is its file in that folder?")
        time.sleep(POLL_SECONDS)

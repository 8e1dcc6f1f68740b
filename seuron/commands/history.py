"""Commands that show runs: status, runs, logs, report, view, cost."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

from seuron.commands.answers import NOT_FOUND, Answer, Session
from seuron.commands.argument_types import RUN
from seuron.commands.formatting import bar, moment, status_answer, table
from seuron.commands.registry import Argument, command
from seuron.commands.runs import follow
from seuron.engine.states import RunState
from seuron.errors import RunError

if TYPE_CHECKING:
    from seuron.client import RunStatus
    from seuron.cluster.costs.run_costs import RunCosts
    from seuron.deployment import Deployment

GROUP = "Runs"


@command("status", aliases=("show status", "how is"), permission="look", group=GROUP)
def status(
    session: Session,
    run: Annotated[str, RUN] = "",
    *,
    watch: Annotated[bool, Argument("follow it to its end; the exit code is then that of the run")] = False,
) -> Answer:
    """Say how a run is: its state, stage by stage how far, and how long it will take. Without one, how all is.

    That is what runs of this machine's deployment, its cluster and what it has spent, and the active runs.
    """
    if not run:
        return _overview(session)
    handle = session.find(run)
    if watch:
        return follow(session, handle)
    seen = handle.status()
    errors = handle.errors() if seen.state is RunState.FAILED else []
    answer = status_answer(seen, more="\n".join(map(str, errors)))
    return replace(answer, data=answer.data | {"errors": [error.to_json() for error in errors]})


@command("runs", aliases=("show runs", "list runs"), permission="look", group=GROUP)
def runs(
    session: Session,
    *,
    active: Annotated[bool, Argument("only those that have not ended")] = False,
    starts: Annotated[bool, Argument("every start of a run, not only its last")] = False,
    most: Annotated[int, Argument("how many, the newest first")] = 20,
) -> Answer:
    """List the runs: state, stage, how far, how long still, and what they cost."""
    found = session.deployment.statuses(active=active, every_start=starts, most=most)
    if not found:
        text = "no run is active" if active else "there is no run yet; start one with `run segmentation`"
        return Answer(text, [])
    return Answer(_runs_table(found), [seen.to_json() for seen in found])


@command("logs", aliases=("log", "show logs"), permission="look", group=GROUP)
def logs(
    session: Session,
    run: Annotated[str, RUN],
    task: Annotated[str, Argument("the task, as Airflow labels it, or its id in the plan")] = "",
    *,
    lines: Annotated[int, Argument("lines of each log, the last ones")] = 50,
) -> Answer:
    """Show the log of a task; without one, the logs of those that failed, or of the one that began last."""
    found = session.find(run).logs(task or None)
    if not found:
        return Answer("no task has begun yet", [])
    texts = []
    for log in found:
        shown = "\n".join(log.lines[-lines:]) or "(nothing)"
        texts.append(f"{log.label}: {log.state}, try {log.tries}\n```\n{shown}\n```\n{log.url}")
    return Answer("\n\n".join(texts), [asdict(log) for log in found], links={log.label: log.url for log in found})


@command("report", aliases=("show report", "report run"), permission="look", group=GROUP)
def report(session: Session, run: Annotated[str, RUN]) -> Answer:
    """Say what a run has produced, and where its report is, which is made again while the run is not complete.

    It compares what the plan expected with what it took, and has scores where there is ground truth, and the cost.
    """
    from seuron.commands.summary import figures_answer

    handle = session.find(run)
    path = handle.report()
    found = figures_answer(handle.folder(), handle.status(stages=False), session.pictures)
    return replace(found, links={"report": path})


@command("view", aliases=("show view", "viewer"), permission="look", group=GROUP)
def view(session: Session, run: Annotated[str, RUN]) -> Answer:
    """Open a run in Neuroglancer: starts its server on this machine and gives the link."""
    from seuron.web.viewer import view_run

    if not session.deployment.is_local:
        raise RunError("the viewer's server runs beside the deployment: give `view` on its machine")
    link = view_run(session.find(run).folder(), session.deployment.embedded.home.viewer)
    return Answer(link, {"viewer": link})


@command("cost", aliases=("show cost", "costs", "cost of"), permission="look", group=GROUP)
def cost(session: Session, run: Annotated[str, RUN] = "") -> Answer:
    """Say what a run has cost on a cluster; without one, the last runs and what the cluster has spent."""
    if run:
        handle = session.find(run)
        found = handle.cost()
        if found is None:
            return Answer(f"{handle.name} has cost nothing: no cluster has run its tasks", {"dollars": 0.0})
        return Answer(_cost_text(handle.name, found), asdict(found) | {"dollars": found.dollars, "hours": found.hours})
    seen = [status for status in session.deployment.statuses() if status.dollars is not None]
    if not seen:
        return Answer("no run has cost anything: no cluster has run tasks of one", [])
    rows = [(status.name, str(status.state), status.money) for status in seen]
    return Answer(table(("run", "state", "$"), rows, right=(2,)), [status.to_json() for status in seen])


def _cost_text(name: str, found: RunCosts) -> str:
    hours = ", ".join(f"{count:.2f} h of {group}" for group, count in found.hours.items()) or "no instance yet"
    budget = f" of a budget of ${found.budget:.2f}" if found.budget is not None else ""
    own = f" of its budget of ${found.run_budget:.2f}" if found.run_budget is not None else ""
    held = f"\n{found.alert}" if found.alert else ""
    return (
        f"{name}: ${found.dollars:.2f}{own} for its tasks. Meanwhile the cluster had {hours}, "
        f"and has spent ${found.cluster_dollars:.2f}{budget}.{held}"
    )


def _runs_table(found: list[RunStatus]) -> str:
    from seuron.reporting.quantities import duration

    rows = []
    for seen in found:
        left = seen.seconds_left
        took = None if seen.started is None or seen.ended is None else seen.ended - seen.started
        rows.append(
            (
                seen.name,
                str(seen.state),
                seen.stage if seen.active else "",
                f"{bar(seen.done, seen.total, 10)} {seen.done}/{seen.total}" if seen.stages else "",
                duration(left) if left is not None else "",
                duration(took) if took is not None else "",
                seen.money,
                moment(seen.started or seen.asked),
                seen.problem or seen.stop or seen.alert,
            )
        )
    head = ("run", "state", "stage", "tasks", "left", "took", "$", "started (UTC)", "")
    return table(head, rows, right=(4, 5, 6))


def _overview(session: Session) -> Answer:
    """What runs of this machine's deployment, and the active runs of it or of another one."""
    if not session.deployment.is_local:
        active = session.deployment.statuses(active=True)
        return Answer(_active_text(active), {"url": session.deployment.url, "runs": _as_data(active)})
    return overview_here(session, session.deployment.embedded)


def overview_here(session: Session, embedded: Deployment) -> Answer:
    """This machine's deployment; the exit code says when nothing runs."""
    from seuron.commands.deployment_status import cluster_data, deployment_lines

    found = embedded.status()
    active = session.deployment.statuses(active=True) if found.running and found.healthy else []
    data: dict[str, Any] = {
        **asdict(found),
        "folder": str(found.folder),
        "cluster": cluster_data(embedded),
        "runs": _as_data(active),
    }
    lines = deployment_lines(embedded, found)
    if not found.running:
        return Answer("\n".join(lines), data, code=NOT_FOUND)
    if found.healthy:
        lines.append(_active_text(active))
    return Answer("\n".join(lines), data, {"Airflow": found.url} if found.url else {})


def _active_text(active: list[RunStatus]) -> str:
    return _runs_table(active) if active else "no run is active"


def _as_data(found: list[RunStatus]) -> list[dict[str, Any]]:
    return [seen.to_json() for seen in found]

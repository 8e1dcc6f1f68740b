"""Airflow's REST API behind passwords: who asks logs in, and what the scaling asks is answered with what is there.

The server is a real one, on a small database whose rows the tests set: nothing schedules.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from api_server import TOKEN_SECONDS, USERS, Server
from compose import free_port

from seuron.airflow_rest.login import LOGIN_FILE_VARIABLE, PasswordLogin, login_from
from seuron.client import AirflowClient
from seuron.cluster.cluster_state import QueueDepth, TasksEnded
from seuron.cluster.costs.budgets import TierAhead
from seuron.errors import RunError
from seuron.orchestration.airflow_queues import AirflowQueues

NODE = "affinities.tier_0"
QUEUES = ("cpu", "memory", "gpu")


@pytest.fixture
def queues(server: Server) -> Iterator[AirflowQueues]:
    """As the scaling asks, with no run in the database."""
    for table in ("task_instance", "xcom", "log", "dag_run"):
        server.execute(f"DELETE FROM {table}")
    with AirflowQueues(server.url, auth=server.login()) as made:
        yield made


def _run(server: Server, queues: AirflowQueues, states: Mapping[str, int], queue: str = "cpu", **conf: str) -> str:
    """A run that Airflow works on, with so many tasks of the mapped node in each state; the others have none."""
    run_id = queues.trigger("day-shift", conf)
    now = datetime.now(UTC)
    server.execute("UPDATE dag_run SET state='running', start_date=? WHERE run_id=?", now.isoformat(" "), run_id)
    where = "run_id=? AND task_id=? AND map_index=?"
    number = 0
    for state, count in states.items():
        for _ in range(count):
            server.execute(
                f"UPDATE task_instance SET state=?, queue=?, start_date=?, end_date=?, duration=? WHERE {where}",
                *(state, queue, now.isoformat(" "), (now + timedelta(seconds=number)).isoformat(" "), float(number)),
                *(run_id, NODE, number),
            )
            number += 1
    return run_id


def _plan(server: Server, run_id: str, work: Mapping[str, Any]) -> None:
    """Leave what `prepare` says that each node has to do."""
    (number,) = server.execute("SELECT id FROM dag_run WHERE run_id=?", run_id)
    server.execute(
        "INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, timestamp) "
        "VALUES (?, 'batches.work', -1, 'return_value', 'day-shift', ?, ?, ?)",
        *(number[0], run_id, json.dumps(json.dumps(work)), datetime.now(UTC).isoformat(" ")),
    )


def test_without_a_login_airflow_refuses(server: Server) -> None:
    """It is an error that says so, and nothing is taken for an empty queue."""
    with AirflowQueues(server.url) as queues, pytest.raises(RunError, match="401"):
        queues.queue_state(QUEUES, 0.0, time.time())


def test_a_wrong_password_is_told_without_it(server: Server) -> None:
    """The message names the user and where its password comes from, and shows no password."""
    login = PasswordLogin(server.url, "scaling", "not the secret")
    with AirflowQueues(server.url, auth=login) as queues, pytest.raises(RunError) as caught:
        queues.queue_state(QUEUES, 0.0, time.time())
    assert "scaling" in str(caught.value)
    assert LOGIN_FILE_VARIABLE in str(caught.value)
    assert "not the secret" not in str(caught.value)


def test_a_token_that_ended_is_renewed(server: Server, tmp_path: Path) -> None:
    """A connection goes on for longer than a token is good, with one login for each token, not one for each request."""
    file = tmp_path / "login"
    file.write_text(f"reader:{USERS['reader'][1]}\n")
    before = server.log().count("method=POST path=/auth/token")
    with AirflowClient(server.url, auth=login_from({LOGIN_FILE_VARIABLE: str(file)}, server.url)) as client:
        began, asked = time.monotonic(), 0
        # The third token begins after the second has ended, so there were at least three logins, and one for each.
        while (logins := server.log().count("method=POST path=/auth/token") - before) < 3:
            assert time.monotonic() - began < 480, f"{logins} logins for {asked} requests"
            assert "day-shift" in client.parsed_dags()
            asked += 1
            time.sleep(0.5)
        elapsed = time.monotonic() - began
    assert logins <= 1 + elapsed / (TOKEN_SECONDS - 1)
    assert logins < asked
    assert [word for _, word in USERS.values() if word in server.log()] == []


def test_the_scalings_user_may_forget_runs_and_a_reader_may_not(server: Server, queues: AirflowQueues) -> None:
    """The role `user` is enough for all that a step does; `viewer` is not."""
    run_id = _run(server, queues, {})
    server.execute("UPDATE dag_run SET state='success' WHERE run_id=?", run_id)
    with AirflowClient(server.url, auth=server.login("reader")) as reader, pytest.raises(RunError, match="403"):
        reader.delete_old_runs("day-shift", 0)
    assert queues.delete_old_runs("day-shift", 0) == [run_id]
    assert queues.delete_old_runs("day-shift", 0) == []


def test_an_idle_airflow_has_empty_queues(queues: AirflowQueues) -> None:
    """Every queue that was asked for is in the answer, so that its groups may go to nothing."""
    state = queues.queue_state(QUEUES, 0.0, time.time())
    assert state.depths == dict.fromkeys(QUEUES, QueueDepth(0, 0))
    assert state.running == {}
    assert state.busy == {}
    assert state.ended == {}
    assert queues.active_runs() == []


def test_what_waits_and_runs_is_counted_by_queue(server: Server, queues: AirflowQueues) -> None:
    """Waiting is scheduled or queued; the other states ask for no slot. Tasks at work are told by run as well."""
    first = _run(server, queues, {"scheduled": 2, "queued": 3, "running": 1, "up_for_retry": 2})
    second = _run(server, queues, {"running": 4, "deferred": 1}, queue="memory")
    _run(server, queues, {"success": 1}, queue="memory")
    state = queues.queue_state(QUEUES, 0.0, time.time())
    counts = {queue: (depth.ready, depth.running) for queue, depth in state.depths.items()}
    assert counts == {"cpu": (5, 1), "memory": (0, 4), "gpu": (0, 0)}
    assert state.running == {first: {"cpu": 1}, second: {"memory": 4}}


def test_a_task_takes_what_others_of_its_node_took(server: Server, queues: AirflowQueues) -> None:
    """The mean of those that succeeded in its run, and what the plan says where `prepare` has left it."""
    run_id = _run(server, queues, {"success": 3, "failed": 2, "queued": 2})
    other = _run(server, queues, {"success": 1, "running": 1}, queue="memory")
    _plan(server, run_id, {NODE: {"queue": "cpu", "tasks": 12, "seconds": 7.5}})
    depths = queues.queue_state(QUEUES, 0.0, time.time()).depths
    assert depths["cpu"] == QueueDepth(2, 0, mean_seconds=(0 + 1 + 2) / 3, planned_seconds=7.5)
    assert depths["memory"] == QueueDepth(0, 1, mean_seconds=0.0), other


def test_the_time_that_tasks_had_slots_is_told_by_run(server: Server, queues: AirflowQueues) -> None:
    """Of each its part of the time between two looks, though it began before or was seen by neither; retries too.

    What the manager does, and what only waits, has none.
    """
    run_id = _run(server, queues, {"success": 3, "up_for_retry": 1, "failed": 1, "running": 2, "queued": 2})
    manager = _run(server, queues, {"success": 2}, queue="manager")
    until = 1_700_000_000.0
    since = until - 60
    times = [(-90, -80), (-70, -50), (-40, -15), (-30, -20), (-10, 5), (-100, None), (-5, None)]
    for number, span in enumerate(times):
        moments = [None if at is None else datetime.fromtimestamp(until + at, UTC).isoformat(" ") for at in span]
        server.execute(
            "UPDATE task_instance SET start_date=?, end_date=? WHERE run_id IN (?, ?) AND task_id=? AND map_index=?",
            *(*moments, run_id, manager, NODE, number),
        )
    state = queues.queue_state(QUEUES, since, until)
    assert state.busy == {run_id: {"cpu": pytest.approx(10 + 25 + 10 + 10 + 60 + 5)}}


def test_tasks_that_ended_are_counted_by_worker(server: Server, queues: AirflowQueues) -> None:
    """Successes and tries that failed since the last look, over several pages; older ones and other events are not."""
    run_id = _run(server, queues, {})
    now = datetime.now(UTC)
    rows = [("one", "success", 1)] * 120 + [("one", "up_for_retry", 1)] * 3 + [("two", "up_for_retry", 2)] * 2
    rows += [("two", "failed", 1), ("two", "running", 1), ("one", "success", 900)]
    for host, event, ago in rows:
        server.execute(
            "INSERT INTO log (dttm, dag_id, task_id, run_id, event, extra) VALUES (?, 'day-shift', ?, ?, ?, ?)",
            *((now - timedelta(seconds=ago)).isoformat(" "), NODE, run_id, event, json.dumps({"host_name": host})),
        )
    server.execute(
        "INSERT INTO log (dttm, dag_id, event, extra) VALUES (?, 'day-shift', 'success', NULL)", now.isoformat(" ")
    )
    ended = queues.queue_state(QUEUES, (now - timedelta(seconds=60)).timestamp(), now.timestamp()).ended
    assert ended == {"one": TasksEnded(failed=3, succeeded=120), "two": TasksEnded(failed=2)}


def test_active_runs_are_those_with_a_folder(server: Server, queues: AirflowQueues) -> None:
    """A run that has ended, and one of a DAG that writes nowhere, have nothing to be told."""
    run_id = _run(server, queues, {}, output="/data/run")
    _run(server, queues, {})
    ended = _run(server, queues, {}, output="/data/other")
    server.execute("UPDATE dag_run SET state='success' WHERE run_id=?", ended)
    (found,) = queues.active_runs()
    assert (found.id, found.output) == (run_id, "/data/run")
    assert abs(found.started - time.time()) < 60


def test_a_run_with_a_budget_says_what_may_be_at_work_soon(server: Server, queues: AirflowQueues) -> None:
    """The tier that is begun, with its measured length, and what may begin behind it; between two tiers what follows.

    Nothing is said of runs without a budget.
    """
    _run(server, queues, {"running": 3})
    work = {
        NODE: {"queue": "cpu", "tasks": 12, "seconds": 7.5},
        "watershed.tier_0": {"queue": "memory", "tasks": 4, "seconds": 9.0},
        "labels.tier_0": {"queue": "cpu", "tasks": 0, "seconds": 9.0},
        "report.tier_0": {"queue": "manager", "tasks": 1, "seconds": 9.0},
    }
    limited = _run(server, queues, {"success": 4, "running": 2, "queued": 1, "up_for_retry": 1, "scheduled": 3})
    _plan(server, limited, work)
    queues.limited, queues.interval_seconds = frozenset({limited}), 5.0
    state = queues.queue_state(QUEUES, 0.0, time.time())
    assert state.limited == {limited: (TierAhead("cpu", 7, (0 + 1 + 2 + 3) / 4), TierAhead("memory", 4, 9.0))}
    queues.interval_seconds = 60.0
    seen = queues.queue_state(QUEUES, 0.0, time.time()).limited[limited]
    assert seen[1:] == (TierAhead("memory", 4, 9.0), TierAhead("manager", 1, 9.0))
    server.execute("UPDATE task_instance SET state='success' WHERE run_id=? AND task_id=?", limited, NODE)
    assert queues.queue_state(QUEUES, 0.0, time.time()).limited == {limited: seen[1:]}
    server.execute("UPDATE task_instance SET state=NULL WHERE run_id=? AND task_id=?", limited, NODE)
    assert queues.queue_state(QUEUES, 0.0, time.time()).limited == {limited: (TierAhead("cpu", 12, 7.5), *seen[1:])}


def test_what_waits_of_a_held_run_asks_for_no_machines(server: Server, queues: AirflowQueues) -> None:
    """Its running tasks count, as they are to be finished; other runs are counted as before."""
    held = _run(server, queues, {"queued": 3, "running": 1})
    _run(server, queues, {"scheduled": 2})
    queues.held = frozenset({held})
    depth = queues.queue_state(QUEUES, 0.0, time.time()).depths["cpu"]
    assert (depth.ready, depth.running) == (2, 1)


def test_a_run_says_what_it_may_cost_and_a_note_says_why_it_waits(server: Server, queues: AirflowQueues) -> None:
    """The budget that it was given, as a number or as text; the note is on its page until it is taken away."""
    run_id = queues.trigger("day-shift", {"output": "/data/run", "budget_dollars": "2.50"})
    server.execute("UPDATE dag_run SET state='running', start_date=? WHERE run_id=?", "2026-01-01 00:00:00", run_id)
    (run,) = queues.active_runs()
    assert run.budget == 2.5
    for text in ("held: its budget is used up", ""):
        queues.alert(run, text)
        (row,) = queues.pages("/dags/day-shift/dagRuns", "dag_runs", {})
        assert (row["note"] or "") == text


def test_an_airflow_that_is_away_is_an_error_of_its_own(server: Server) -> None:
    """Silence is a RunError, which stops no step, whatever was asked; the login's silence as well."""
    url = f"http://127.0.0.1:{free_port()}"
    with AirflowQueues(url, auth=PasswordLogin(url, "scaling", "x")) as queues:
        with pytest.raises(RunError, match="does not answer"):
            queues.queue_state(QUEUES, 0.0, time.time())
        with pytest.raises(RunError, match="does not answer"):
            queues.active_runs()

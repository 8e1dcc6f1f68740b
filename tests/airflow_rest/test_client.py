"""Following a run while Airflow is away: what passes is waited for, what will not pass is an error."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from seuron.client import AirflowClient, NoAnswerError, RunHandle, connect
from seuron.errors import NotFoundError, RefusedError, RunError, UnreachableError


class _Airflow(ThreadingHTTPServer):
    """Answers with these, one after the other, the last again and again."""

    daemon_threads = True
    answers: list[tuple[int, bytes]]
    tokens: list[str | None]
    asked: list[dict[str, str]]


class _Handler(BaseHTTPRequestHandler):
    server: _Airflow

    def do_PATCH(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(json.loads(body))
        self.do_GET()

    def do_GET(self) -> None:
        answers = self.server.answers
        self.server.tokens.append(self.headers.get("Authorization"))
        status, content = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        """Be silent."""


@pytest.fixture
def airflow() -> Iterator[_Airflow]:
    with _Airflow(("127.0.0.1", 0), _Handler) as server:
        server.tokens, server.asked = [], []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _client(airflow: _Airflow) -> AirflowClient:
    return AirflowClient(f"http://127.0.0.1:{airflow.server_address[1]}")


def test_a_database_that_restarts_ends_no_waiting(airflow: _Airflow) -> None:
    """While its database is away Airflow answers with errors of its own; a wait for a run continues."""
    airflow.answers = [(500, b"no database"), (503, b""), (200, b'{"state": "success"}')]
    with _client(airflow) as client:
        assert client.wait("segmentation", "one", poll=0.01) == "success"


def test_a_run_that_is_not_there_is_reported_at_once(airflow: _Airflow) -> None:
    """A refusal is no silence: waiting for it to pass would hide what is wrong."""
    airflow.answers = [(404, b'{"detail": "no such run"}')]
    with _client(airflow) as client, pytest.raises(RunError, match=r"refused GET .* 404: no such run"):
        client.wait("segmentation", "one", poll=0.01)


def test_each_kind_of_no_has_its_error(airflow: _Airflow) -> None:
    """What is not there, what is not allowed and who does not answer are distinguished: exit codes follow from it."""
    with _client(airflow) as client:
        for status, error in ((404, NotFoundError), (403, RefusedError), (401, RefusedError), (503, UnreachableError)):
            airflow.answers = [(status, b'{"detail": "no"}')]
            with pytest.raises(error):
                client.run_state("segmentation", "one")
    with AirflowClient("http://127.0.0.1:1") as nobody, pytest.raises(UnreachableError, match="does not answer"):
        nobody.run_state("segmentation", "one")


def test_a_run_that_airflow_is_just_starting_can_be_cancelled(
    airflow: _Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow answers 500 where its scheduler changes the run meanwhile: note and state are asked for until they are
    there, and no longer than some seconds. A refusal is reported at once.
    """
    row = b'{"dag_id": "segmentation", "dag_run_id": "one", "state": "running", "conf": {}}'
    monkeypatch.setattr("seuron.client.run_handle.PAUSE_SECONDS", 0.01)
    deployment = connect(f"http://127.0.0.1:{airflow.server_address[1]}", "token")
    handle = RunHandle(deployment, "segmentation", "one", "")
    airflow.answers = [(200, row), (500, b""), (200, b"{}"), (500, b""), (503, b""), (200, b"{}")]
    assert handle.cancel("no need", "ada").who == "ada"
    assert [list(body) for body in airflow.asked] == [["note"], ["note"], ["state"], ["state"], ["state"]]
    airflow.answers = [(200, row), (200, b"{}"), (500, b"")]
    with pytest.raises(NoAnswerError):
        handle.cancel("no need", "ada")
    airflow.asked.clear()
    airflow.answers = [(200, row), (403, b'{"detail": "no"}')]
    with pytest.raises(RefusedError):
        handle.cancel("no need", "ada")
    assert len(airflow.asked) == 1
    deployment.close()


def test_a_token_is_sent_and_never_shown(airflow: _Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token goes with every request to another deployment; neither errors nor a printed connection hold it."""
    airflow.answers = [(403, b'{"detail": "no"}')]
    url = f"http://127.0.0.1:{airflow.server_address[1]}"
    monkeypatch.setenv("SEURON_TOKEN", "s3cret")
    monkeypatch.setenv("SEURON_URL", url)
    for deployment in (connect(), connect(url, "s3cret")):
        with pytest.raises(RefusedError) as refused:
            deployment.runs()
        assert "s3cret" not in str(refused.value) + repr(deployment) + repr(deployment.client)
        deployment.close()
    assert airflow.tokens == ["Bearer s3cret"] * 2
    monkeypatch.delenv("SEURON_URL")
    assert connect().auth is None, "this machine's own deployment is not shown the token of another"


def test_other_pages_are_among_the_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dashboards that a deployment's keeper names are there for everybody who asks."""
    monkeypatch.setenv("SEURON_LINKS", "Grafana=http://grafana:3000/d/x?a=b Metrics=http://metrics")
    links = connect("http://airflow:8080/").links()
    assert links == {
        "Airflow": "http://airflow:8080",
        "Grafana": "http://grafana:3000/d/x?a=b",
        "Metrics": "http://metrics",
    }

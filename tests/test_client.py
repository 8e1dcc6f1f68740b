"""Following a run while Airflow is away: what passes is waited for, what will not pass is an error."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from seuron.client import AirflowClient
from seuron.errors import RunError


class _Airflow(ThreadingHTTPServer):
    """Answers with these, one after the other, the last again and again."""

    daemon_threads = True
    answers: list[tuple[int, bytes]]


class _Handler(BaseHTTPRequestHandler):
    server: _Airflow

    def do_GET(self) -> None:
        answers = self.server.answers
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
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _client(airflow: _Airflow) -> AirflowClient:
    return AirflowClient(f"http://127.0.0.1:{airflow.server_address[1]}")


def test_a_database_that_restarts_ends_no_waiting(airflow: _Airflow) -> None:
    """While its database is away Airflow answers with errors of its own; who waits for a run goes on waiting."""
    airflow.answers = [(500, b"no database"), (503, b""), (200, b'{"state": "success"}')]
    with _client(airflow) as client:
        assert client.wait("segmentation", "one", poll=0.01) == "success"


def test_a_run_that_is_not_there_is_told_at_once(airflow: _Airflow) -> None:
    """A refusal is no silence: waiting for it to pass would hide what is wrong."""
    airflow.answers = [(404, b'{"detail": "no such run"}')]
    with _client(airflow) as client, pytest.raises(RunError, match=r"refused GET .* 404: no such run"):
        client.wait("segmentation", "one", poll=0.01)

"""A stand-in for Airflow's REST API: runs that begin when they are asked for and end when a test says so.

It answers what a bot asks that follows runs; what Airflow itself does with a run is in tests/integration.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    airflow: AirflowStandIn


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        found = urlsplit(self.path)
        states = parse_qs(found.query).get("state", [])
        self._answer(*self.server.airflow.looked_up(_parts(found.path), states))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(200, self.server.airflow.begin(body["conf"]))

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words: object) -> None:
        """Be silent."""


@dataclass
class AirflowStandIn:
    """Airflow with the DAG `segmentation`, listening on a port of this machine while the block runs."""

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    url: str = ""
    #: Answer nothing but 503, as a server does whose database is away.
    away: bool = False

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.airflow = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def begin(self, conf: dict[str, Any]) -> dict[str, Any]:
        """Start a run with these parameters; gives it as Airflow does."""
        now, run_id = datetime.now(UTC).isoformat(), f"manual__{len(self.runs)}"
        times = {"run_after": now, "queued_at": now, "logical_date": None, "start_date": now, "end_date": None}
        made = {"dag_id": "segmentation", "dag_run_id": run_id, "state": "running", "conf": conf, "note": "", **times}
        self.runs[run_id] = made
        return made

    def end(self, run_id: str, state: str = "success", note: str = "") -> None:
        """End a run."""
        self.runs[run_id] |= {"state": state, "note": note, "end_date": datetime.now(UTC).isoformat()}

    def looked_up(self, parts: list[str], states: list[str]) -> tuple[int, dict[str, Any]]:
        """What Airflow answers to a GET, with its status; of lists of runs those in `states`, or all."""
        if self.away:
            return 503, {"detail": "the database is away"}
        if parts[3:4] != ["dagRuns"]:
            return 404, {"detail": "not here"}
        if len(parts) == 4:
            rows = [row for row in list(self.runs.values())[::-1] if not states or row["state"] in states]
            return 200, {"dag_runs": rows, "total_entries": len(rows)}
        if parts[4] not in self.runs:
            return 404, {"detail": f"there is no run {parts[4]}"}
        if len(parts) == 5:
            return 200, self.runs[parts[4]]
        return 200, {"task_instances": [], "hitl_details": [], "total_entries": 0}


def _parts(path: str) -> list[str]:
    """`/api/v2/dags/ID/dagRuns/RUN/...` as `["api v2", "dags", ID, "dagRuns", RUN, ...]`."""
    found = [unquote(part) for part in path.strip("/").split("/")]
    return [" ".join(found[:2]), *found[2:]]

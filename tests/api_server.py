"""Airflow's API server alone, with passwords, on a small database whose rows tests set: nothing schedules."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from compose import ROOT, free_port
from watchdog import run_folder

from seuron.airflow_rest.login import PasswordLogin
from seuron.deployment.home import OWNER

#: Who may log in, with their role and password; nobody is given no role.
USERS = {
    "scaling": ("user", "a secret of the scaling"),
    "reader": ("viewer", "a secret of the reader"),
    "admin": ("admin", "a secret of the administrator"),
    "nobody": ("", "a secret of nobody"),
    OWNER: ("admin", "a token of the owner"),
}
#: How long a token is good, s.
TOKEN_SECONDS = 6
#: The width of the mapped node of the DAG `day-shift`.
TASKS = 12
DAG = f"""
from airflow.sdk import DAG, TaskGroup, task

with DAG("day-shift", schedule=None, max_active_runs=20) as dag:
    with TaskGroup("batches"):
        @task(task_id="work", queue="manager")
        def work():
            pass
        work()
    with TaskGroup("affinities"):
        @task(task_id="tier_0", queue="cpu")
        def tier(number):
            pass
        tier.expand(number=list(range({TASKS})))
"""


@dataclass
class Server:
    """The server, and the file of its database."""

    folder: Path
    url: str

    @property
    def database(self) -> Path:
        return self.folder / "airflow.db"

    def execute(self, statement: str, *values: Any) -> list[Any]:
        with sqlite3.connect(self.database, timeout=30) as connection:
            return connection.execute(statement, values).fetchall()

    def login(self, user: str = "scaling") -> PasswordLogin:
        return PasswordLogin(self.url, user, USERS[user][1])

    def log(self) -> str:
        return (self.folder / "server.log").read_text()


def _environment(folder: Path, port: int) -> dict[str, str]:
    url = f"http://127.0.0.1:{port}"
    settings = {
        "CORE__DAGS_FOLDER": folder / "dags",
        "CORE__PLUGINS_FOLDER": ROOT / "plugins",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, (role, _) in USERS.items()),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": folder / "passwords.json",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
        "API__HOST": "127.0.0.1",
        "API__PORT": port,
        "API__BASE_URL": url,
        "API__WORKERS": 1,
        "API__SECRET_KEY": "a session's secret",
        "API_AUTH__JWT_SECRET": "a secret that is long enough for tokens",
        "API_AUTH__JWT_EXPIRATION_TIME": TOKEN_SECONDS,
        "API_AUTH__JWT_LEEWAY": 0,
    }
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "SEURON_"))}
    named = {f"AIRFLOW__{name}": str(value) for name, value in settings.items()}
    return {**outside, **named, "AIRFLOW_HOME": str(folder), "PYTHONPATH": str(ROOT)}


@contextmanager
def api_server() -> Iterator[Server]:
    """A server with our DAGs, our pages and the DAG `day-shift`; nothing of it is left afterwards."""
    folder, port = Path(tempfile.mkdtemp(prefix="api-", dir=run_folder())), free_port()
    shutil.copytree(ROOT / "dags", folder / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "dags" / "work.py").write_text(DAG)
    (folder / "passwords.json").write_text(json.dumps({user: password for user, (_, password) in USERS.items()}))
    environment = _environment(folder, port)
    for words in (["db", "migrate"], ["dags", "reserialize"]):
        command = [sys.executable, "-m", "airflow", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr
    with (folder / "server.log").open("wb") as log:
        command = [sys.executable, "-m", "airflow", "api-server"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        made = Server(folder, f"http://127.0.0.1:{port}")
        _wait(made, process)
        yield made
    finally:
        process.kill()  # on a busy machine it takes its time to end by itself
        process.wait()
        shutil.rmtree(folder)


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Return once it answers."""
    deadline = time.monotonic() + 600
    while True:
        assert process.poll() is None, server.log()[-3000:]
        assert time.monotonic() < deadline, f"the server does not answer: {server.log()[-3000:]}"
        try:
            if httpx.get(f"{server.url}/api/v2/monitor/health", timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)

"""Who may read the pages: an API server of its own, with people of different roles, and addresses made up by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from runs_on_disk import parameters, save, smooth_affinities

from seuron.deployment.ports import claim_port
from seuron.engine.local import run_local
from seuron.engine.run import Run

PROJECT = Path(__file__).resolve().parents[2]
PASSWORDS = {"ada": "a-1", "vera": "v-1", "nemo": "n-1"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run on disk."""
    folder = tmp_path_factory.mktemp("access")
    source = save(folder / "affinities", smooth_affinities((40, 30, 20)))
    return run_local(parameters(source, folder / "run"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Airflow's API server alone, on SQLite, with an admin, a viewer, and somebody without a role."""
    home = tmp_path_factory.mktemp("airflow")
    (home / "passwords.json").write_text(json.dumps(PASSWORDS))
    port, lock = claim_port("127.0.0.1", 8600)
    url = f"http://127.0.0.1:{port}"
    settings = {
        "CORE__DAGS_FOLDER": PROJECT / "dags",
        "CORE__PLUGINS_FOLDER": PROJECT / "plugins",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": "ada:admin,vera:viewer,nemo:",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": home / "passwords.json",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "API__BASE_URL": url,
        "API__WORKERS": "1",
        "API_AUTH__JWT_SECRET": "a secret of the tests, which is long enough for a key",
    }
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
        **{f"AIRFLOW__{name}": str(value) for name, value in settings.items()},
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": str(PROJECT),
    }
    airflow = [sys.executable, "-m", "airflow"]
    for words in (["db", "migrate"], ["dags", "reserialize"]):
        subprocess.run([*airflow, *words], env=environment, check=True, capture_output=True, timeout=240)
    with (home / "server.log").open("wb") as log:
        command = [*airflow, "api-server", "--port", str(port), "--host", "127.0.0.1", "--apps", "core"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait_for(url, process, home / "server.log")
        yield url
    finally:
        process.kill()  # on a busy machine it takes its time to end by itself
        process.wait()
        lock.close()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while True:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            if httpx.get(f"{url}/api/v2/version", timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.5)


def _as(server: str, name: str | None) -> httpx.Client:
    """A client of somebody who has logged in, or of nobody."""
    headers = {}
    if name is not None:
        asked = {"username": name, "password": PASSWORDS[name]}
        token = httpx.post(f"{server}/auth/token", json=asked, timeout=60, trust_env=False).json()["access_token"]
        headers["Authorization"] = f"Bearer {token}"
    return httpx.Client(base_url=server, headers=headers, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def run_id(server: str, run: Run) -> str:
    """The run as Airflow knows it."""
    with _as(server, "ada") as ada:
        body = {"logical_date": None, "conf": run.params.model_dump(mode="json")}
        answer = ada.post("/api/v2/dags/segmentation/dagRuns", json=body)
        assert answer.is_success, answer.text
        return str(answer.json()["dag_run_id"])


def _addresses(run_id: str) -> list[str]:
    """One address of every route."""
    name = f"segmentation/{quote(run_id, safe='')}"
    return [
        "/seuron/runs",
        "/seuron/volume",
        "/seuron/static/common.js",
        "/seuron/v/run/",
        "/seuron/api/runs",
        f"/seuron/api/runs/{name}",
        f"/seuron/api/runs/{name}/map?sheet=watershed.0",
        f"/seuron/api/runs/{name}/task?sheet=watershed.0&x=0&y=0&z=0",
        f"/seuron/api/runs/{name}/viewer",
        f"/seuron/data/{name}/0/segmentation/info",
        f"/seuron/report/{name}",
    ]


def test_a_viewer_reads_everything(server: str, run: Run, run_id: str) -> None:
    """Who may read the DAG gets every page and all they show of the run."""
    with _as(server, "vera") as vera:
        for address in _addresses(run_id):
            answer = vera.get(address)
            assert answer.status_code == 200, (address, answer.text)
        row = vera.get("/seuron/api/runs").json()["runs"][0]
        assert row["run_id"] == run_id
        assert row["progress"]["done"] == row["progress"]["tasks"] == len(run.plan.tasks)
        viewer = vera.get(_addresses(run_id)[8]).json()
        sources = [layer["source"] for layer in viewer["state"]["layers"]]
        assert all(source.startswith("precomputed://HERE/data/segmentation/") for source in sources)
        for source in sources:
            assert vera.get(f"/seuron/{source.removeprefix('precomputed://HERE/')}/info").status_code == 200
        blocks = list(Path(run.output.removeprefix("file://"), "segmentation").rglob("*.gz"))
        name = blocks[0].relative_to(Path(run.output.removeprefix("file://"), "segmentation")).as_posix()
        block = vera.get(
            f"/seuron/data/segmentation/{quote(run_id, safe='')}/0/segmentation/{name.removesuffix('.gz')}"
        )
        assert block.status_code == 200
        assert block.headers["content-encoding"] == "gzip"


def test_others_read_nothing(server: str, run_id: str) -> None:
    """Without the right to read the DAG, 403; without a login, 401, and a page sends to the login."""
    with _as(server, "nemo") as nemo, _as(server, None) as nobody:
        for address in _addresses(run_id):
            assert nemo.get(address).status_code == 403, address
            assert nobody.get(address, headers={"Accept": "application/json"}).status_code == 401, address
        sent = nobody.get("/seuron/runs", headers={"Accept": "text/html"})
        assert sent.status_code == 307
        assert "/auth/login" in sent.headers["location"]


def test_addresses_made_up_by_hand_lead_nowhere(server: str, run: Run, run_id: str) -> None:
    """No name in an address reaches a file that is not a block of one of the run's layers."""
    name = quote(run_id, safe="")
    tries = [
        f"/seuron/data/segmentation/{name}/0/segmentation/..%2Frun.json",
        f"/seuron/data/segmentation/{name}/0/segmentation/%2e%2e/run.json",
        f"/seuron/data/segmentation/{name}/0/segmentation/%2Fetc%2Fpasswd",
        f"/seuron/data/segmentation/{name}/0/segmentation/10_10_10/..%2F..%2Frun.json",
        f"/seuron/data/segmentation/{name}/0/tasks/report-0-0_0_0.json",
        f"/seuron/data/segmentation/{name}/0/..%2Ftasks/info",
        f"/seuron/data/segmentation/{name}/0/image/info",
        "/seuron/data/segmentation/no-such-run/0/segmentation/info",
        f"/seuron/data/cluster/{name}/0/segmentation/info",
        f"/seuron/api/runs/segmentation/{name}/map?sheet=..",
        f"/seuron/api/runs/segmentation/{name}/task?sheet=watershed.0&x=99&y=0&z=0",
        "/seuron/static/..%2F__init__.py",
        "/seuron/v/run/..%2F..%2F__init__.py",
        "/seuron/report/segmentation/no-such-run",
    ]
    with _as(server, "vera") as vera:
        for address in tries:
            answer = vera.get(address)
            assert answer.status_code == 404, (address, answer.status_code)
            assert "root:" not in answer.text
            assert '"params"' not in answer.text

"""Who may read the pages: an API server with people of different roles, and addresses made up by hand."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from api_server import Server
from runs_on_disk import parameters, save, smooth_affinities

from seuron.engine.local import run_local
from seuron.engine.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run on disk."""
    folder = tmp_path_factory.mktemp("access")
    source = save(folder / "affinities", smooth_affinities((40, 30, 20)))
    return run_local(parameters(source, folder / "run"))


def _as(server: Server, user: str | None) -> httpx.Client:
    """A client of somebody who has logged in, or of nobody."""
    auth = None if user is None else server.login(user)
    return httpx.Client(base_url=server.url, auth=auth, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def run_id(server: Server, run: Run) -> str:
    """The run as Airflow knows it."""
    with _as(server, "admin") as admin:
        body = {"logical_date": None, "conf": run.params.model_dump(mode="json")}
        answer = admin.post("/api/v2/dags/segmentation/dagRuns", json=body)
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
        f"/seuron/api/runs/{name}/map?grid=watershed.0",
        f"/seuron/api/runs/{name}/task?grid=watershed.0&x=0&y=0&z=0",
        f"/seuron/api/runs/{name}/viewer",
        f"/seuron/data/{name}/0/segmentation/info",
        f"/seuron/report/{name}",
    ]


def test_a_viewer_reads_everything(server: Server, run: Run, run_id: str) -> None:
    """Who may read the DAG gets every page and all they show of the run."""
    with _as(server, "reader") as reader:
        for address in _addresses(run_id):
            answer = reader.get(address)
            assert answer.status_code == 200, (address, answer.text)
        row = reader.get("/seuron/api/runs").json()["runs"][0]
        assert row["run_id"] == run_id
        assert row["progress"]["done"] == row["progress"]["tasks"] == len(run.plan.tasks)
        viewer = reader.get(_addresses(run_id)[8]).json()
        sources = [layer["source"] for layer in viewer["state"]["layers"]]
        assert all(source.startswith("precomputed://HERE/data/segmentation/") for source in sources)
        for source in sources:
            assert reader.get(f"/seuron/{source.removeprefix('precomputed://HERE/')}/info").status_code == 200
        blocks = list(Path(run.output.removeprefix("file://"), "segmentation").rglob("*.gz"))
        name = blocks[0].relative_to(Path(run.output.removeprefix("file://"), "segmentation")).as_posix()
        block = reader.get(
            f"/seuron/data/segmentation/{quote(run_id, safe='')}/0/segmentation/{name.removesuffix('.gz')}"
        )
        assert block.status_code == 200
        assert block.headers["content-encoding"] == "gzip"


def test_others_read_nothing(server: Server, run_id: str) -> None:
    """Without the right to read the DAG, 403; without a login, 401, and a page sends to the login."""
    with _as(server, "nobody") as nobody, _as(server, None) as stranger:
        for address in _addresses(run_id):
            assert nobody.get(address).status_code == 403, address
            assert stranger.get(address, headers={"Accept": "application/json"}).status_code == 401, address
        sent = stranger.get("/seuron/runs", headers={"Accept": "text/html"})
        assert sent.status_code == 307
        assert "/auth/login" in sent.headers["location"]


def test_addresses_made_up_by_hand_lead_nowhere(server: Server, run: Run, run_id: str) -> None:
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
        f"/seuron/api/runs/segmentation/{name}/map?grid=..",
        f"/seuron/api/runs/segmentation/{name}/task?grid=watershed.0&x=99&y=0&z=0",
        "/seuron/static/..%2F__init__.py",
        "/seuron/v/run/..%2F..%2F__init__.py",
        "/seuron/report/segmentation/no-such-run",
    ]
    with _as(server, "reader") as reader:
        for address in tries:
            answer = reader.get(address)
            assert answer.status_code == 404, (address, answer.status_code)
            assert "root:" not in answer.text
            assert '"params"' not in answer.text

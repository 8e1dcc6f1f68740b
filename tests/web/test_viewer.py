"""The stand-alone server of Neuroglancer: what it serves, and above all what it does not."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from asgi import AppClient
from compose import free_port

from seuron.engine.run import Run
from seuron.pipelines.segmentation import PIPELINE
from seuron.web.viewer import ensure_server, running_server, stop_server, viewer_link
from seuron.web.viewer.process import record_server
from seuron.web.viewer.registry import RunView, ViewRegistry
from seuron.web.viewer.server import viewer_app

URL = "http://127.0.0.1:8750"
RECORD = {"port": 8750, "url": URL, "instance": "test", "pid": 1}


@pytest.fixture
def client(tmp_path: Path) -> AppClient:
    return AppClient(viewer_app(ViewRegistry(tmp_path / "state"), RECORD), base_url=URL)


@pytest.fixture
def state(client: AppClient, small_run: Run, tmp_path: Path) -> dict[str, Any]:
    """What the client shows of the one registered run."""
    key = ViewRegistry(tmp_path / "state").add(RunView(small_run.output))
    answer = client.get(f"/state/{key}.json")
    assert answer.headers["Cache-Control"] == "no-cache"
    found: dict[str, Any] = answer.json()
    return found


def test_every_address_in_a_state_leads_to_a_layer(client: AppClient, state: dict[str, Any], small_run: Run) -> None:
    """Layers in the run's folder and inputs outside it: the info and a block of each are served."""
    assert [layer["name"] for layer in state["layers"]] == [
        "image",
        "affinities",
        "supervoxels",
        "segmentation",
        "ground truth",
    ]
    for layer in state["layers"]:
        source = layer["source"].removeprefix(f"precomputed://{URL}")
        info = client.get(f"{source}/info").json()
        scale = info["scales"][0]
        low, size = scale["voxel_offset"], scale["size"]
        high = [min(a + c, a + s) for a, c, s in zip(low, scale["chunk_sizes"][0], size, strict=True)]
        block = client.get(f"{source}/{scale['key']}/" + "_".join(f"{a}-{b}" for a, b in zip(low, high, strict=True)))
        assert block.status_code == 200, layer["name"]
        assert len(block.content) > 0


@pytest.mark.parametrize(
    "path",
    [
        "/data/{key}/0/tasks/info",
        "/data/{key}/0/segmentation/%2e%2e/run.json",
        "/data/{key}/0/segmentation/..%2frun.json",
        "/data/{key}/0/..%2fsegmentation/info",
        "/data/{key}/0/segmentation/",
        "/data/{key}/run.json",
        "/data/unknown/0/segmentation/info",
        "/data/..%2fviews%2f{key}/0/segmentation/info",
        "/state/unknown.json",
        "/state/..%2fserver.json",
        "/v/{key}/..%2f..%2f__init__.py",
        "/v/{key}/missing.js",
        "/etc/passwd",
    ],
)
def test_nothing_else_is_served(
    client: AppClient, state: dict[str, Any], small_run: Run, tmp_path: Path, path: str
) -> None:
    """Only registered runs have an address, and only the files of their layers."""
    answer = client.get(path.format(key=ViewRegistry(tmp_path / "state").add(RunView(small_run.output))))
    assert answer.status_code == 404
    assert "params" not in answer.text


def test_other_sites_cannot_read_through_the_browser(client: AppClient, state: dict[str, Any]) -> None:
    """A name that someone points at 127.0.0.1 is refused; other origins get no permission."""
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    refused = client.get("/health", headers={"Origin": "http://evil.example"})
    assert "Access-Control-Allow-Origin" not in refused.headers
    own = "http://localhost:8750"
    assert client.get("/health", headers={"Origin": own}).headers["Access-Control-Allow-Origin"] == own
    other_port = client.get("/health", headers={"Origin": "http://localhost:1"})
    assert "Access-Control-Allow-Origin" not in other_port.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_written(client: AppClient, state: dict[str, Any], method: str) -> None:
    """Every method but GET and HEAD is refused."""
    address = state["layers"][0]["source"].removeprefix(f"precomputed://{URL}")
    assert client.request(method, f"{address}/info").status_code == 405


def test_the_first_page_links_to_every_view(client: AppClient, state: dict[str, Any], tmp_path: Path) -> None:
    """And says which command adds one while there is none."""
    (key,) = ViewRegistry(tmp_path / "state").keys()
    assert viewer_link(key, URL) == f"{URL}/v/{key}/#!{URL}/state/{key}.json"
    assert viewer_link(key, URL) in client.get("/").text
    empty = AppClient(viewer_app(ViewRegistry(tmp_path / "empty"), RECORD), base_url=URL)
    assert "seuron view RUN" in empty.get("/").text


def test_layers_that_come_later_are_shown_without_registering_again(
    client: AppClient, small_run: Run, tmp_path: Path
) -> None:
    """The state is made when it is asked for; a run of which nothing can be opened says so."""
    image = tmp_path / "image"
    params = small_run.params.model_copy(
        update={"output": str(tmp_path / "new"), "image": str(image), "ground_truth": None}
    )
    run = Run(PIPELINE, params, small_run.facts)
    run.save()
    address = f"/state/{ViewRegistry(tmp_path / 'state').add(RunView(run.output))}.json"
    assert client.get(address).status_code == 404
    assert "no layer to show" in client.get(address).text
    image.symlink_to(str(small_run.params.image).removeprefix("file://"))
    assert [layer["name"] for layer in client.get(address).json()["layers"]] == ["image"]


def test_a_run_that_cannot_be_read_is_refused_with_the_reason(client: AppClient, tmp_path: Path) -> None:
    """A folder of another layout, which an older version left, says so."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old/run.json").write_text(json.dumps({"layout": 1, "version": "0.1"}))
    key = ViewRegistry(tmp_path / "state").add(RunView(f"file://{tmp_path}/old"))
    answer = client.get(f"/state/{key}.json")
    assert answer.status_code == 409
    assert "layout" in answer.text


def test_the_background_server_starts_once_and_stops(small_run: Run, tmp_path: Path) -> None:
    """Second calls reuse it, also at the same time; it answers over HTTP; a new start takes the same port."""
    # Not the port that all start with: a test in the other process may take it between the stop and the new start.
    record_server(tmp_path, {"port": free_port(), "instance": "gone", "pid": 0, "url": ""})
    urls: list[str] = []
    threads = [threading.Thread(target=lambda: urls.append(ensure_server(tmp_path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert len(urls) == 3
        assert len(set(urls)) == 1
        assert running_server(tmp_path) == urls[0]
        key = ViewRegistry(tmp_path).add(RunView(small_run.output))
        connection = HTTPConnection(urlsplit(urls[0]).netloc, timeout=30)
        connection.request("GET", f"/state/{key}.json")
        state = json.loads(connection.getresponse().read())
        assert f"{urls[0]}/data/{key}/0/{quote('ground truth')}" in state["layers"][-1]["source"]
        connection.close()
    finally:
        assert stop_server(tmp_path)
    assert not stop_server(tmp_path)
    try:
        assert ensure_server(tmp_path) == urls[0]
    finally:
        stop_server(tmp_path)


def test_a_record_of_another_process_is_not_trusted(tmp_path: Path) -> None:
    """After a crash or a reboot the file is still there, and its port and process id may be anyone's."""
    url = ensure_server(tmp_path / "first")
    try:
        stale = json.loads((tmp_path / "first/server.json").read_bytes()) | {"instance": "gone"}
        record_server(tmp_path / "other", stale)
        assert not stop_server(tmp_path / "other")
        assert running_server(tmp_path / "first") == url
        os.kill(stale["pid"], signal.SIGKILL)
        deadline = time.monotonic() + 10
        while running_server(tmp_path / "first") is not None:
            assert time.monotonic() < deadline
        assert not stop_server(tmp_path / "first")
    finally:
        stop_server(tmp_path / "first")

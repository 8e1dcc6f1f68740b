"""The viewer's server: what it serves, and above all what it does not."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from seuron.errors import VolumeError
from seuron.viewer.background import ensure_server, stop_server
from seuron.viewer.registry import HERE, Registry
from seuron.viewer.server import ViewerServer, byte_range

TEXT = bytes(range(256)) * 16


class Client:
    """One keep-alive connection to a server."""

    def __init__(self, server: ViewerServer) -> None:
        self.server = server
        self.connection = HTTPConnection("127.0.0.1", server.port, timeout=5)

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, headers=named)
        response = self.connection.getresponse()
        return response, response.read()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    layer = tmp_path / "run" / "layer"
    (layer / "8_8_8").mkdir(parents=True)
    (layer / "info").write_bytes(b"{}")
    (layer / "8_8_8" / "raw").write_bytes(TEXT)
    (layer / "8_8_8" / "packed.gz").write_bytes(gzip.compress(TEXT, mtime=0))
    (layer / ".hidden").write_bytes(b"classified")
    (tmp_path / "secret").write_bytes(b"classified")
    (layer / "link").symlink_to(tmp_path / "secret")
    server = ViewerServer(Registry(tmp_path / "state"), 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    client = Client(server)
    yield client
    client.connection.close()
    server.stop()
    thread.join()
    server.server_close()


@pytest.fixture
def base(client: Client, tmp_path: Path) -> str:
    """The URL path of the one registered folder."""
    return f"/data/{client.server.registry.add_root(tmp_path / 'run')}"


def test_files_below_a_registered_folder_are_served(client: Client, base: str) -> None:
    """Plain files as they are; NAME.gz answers for NAME, marked as gzip."""
    response, body = client.get(f"{base}/layer/8_8_8/raw")
    assert (response.status, body) == (200, TEXT)
    assert response.headers["Content-Encoding"] is None
    response, body = client.get(f"{base}/layer/8_8_8/packed")
    assert (response.status, gzip.decompress(body)) == (200, TEXT)
    assert response.headers["Content-Encoding"] == "gzip"


def test_a_connection_is_kept_for_many_requests(client: Client, base: str) -> None:
    """Hundreds of chunks come over one connection, misses among them, and misses are quick."""
    client.get(f"{base}/layer/info")
    socket, start = client.connection.sock, time.monotonic()
    for _ in range(100):
        assert client.get(f"{base}/layer/8_8_8/nothing")[0].status == 404
        assert client.get(f"{base}/layer/info")[1] == b"{}"
    assert client.connection.sock is socket
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "/layer/../../secret",
        "/layer/%2e%2e/%2e%2e/secret",
        "/layer/..%2f..%2fsecret",
        "/layer//etc/passwd",
        "//etc/passwd",
        "/layer/link",
        "/layer/.hidden",
        "/layer/%00",
        "/layer",
        "/layer/",
        "/",
        "",
    ],
)
def test_nothing_outside_the_folder_is_served(client: Client, base: str, path: str) -> None:
    """No way up, no link out, no hidden file, no listing."""
    response, body = client.get(base + path)
    assert response.status == 404
    assert b"classified" not in body


@pytest.mark.parametrize(
    "path", ["/data/unknown/layer/info", "/data/../state", "/state/nothing.json", "/etc/passwd", "/v/x/../../a"]
)
def test_nothing_unregistered_is_served(client: Client, base: str, path: str) -> None:
    """Only what was registered has a name."""
    assert client.get(path)[0].status == 404


def test_other_sites_cannot_read_through_the_browser(client: Client, base: str) -> None:
    """A name that someone points at 127.0.0.1 is refused; other origins get no permission."""
    assert client.get(f"{base}/layer/info", Host="evil.example")[0].status == 403
    response, _ = client.get(f"{base}/layer/info", Origin="http://evil.example")
    assert response.headers["Access-Control-Allow-Origin"] is None
    own = f"http://localhost:{client.server.port}"
    response, _ = client.get(f"{base}/layer/info", Origin=own)
    assert response.headers["Access-Control-Allow-Origin"] == own


def test_nothing_can_be_written(client: Client, base: str, tmp_path: Path) -> None:
    """Every method but GET and HEAD is refused."""
    for method in ("POST", "PUT", "DELETE"):
        connection = HTTPConnection("127.0.0.1", client.server.port, timeout=5)
        connection.request(method, f"{base}/layer/info", body=b"x")
        assert connection.getresponse().status in (404, 501)
        connection.close()
    assert (tmp_path / "run" / "layer" / "info").read_bytes() == b"{}"


def test_parts_of_files_are_served(client: Client, base: str) -> None:
    """Sharded layers are read by HTTP Range; a range of an encoded file is the whole file."""
    response, body = client.get(f"{base}/layer/8_8_8/raw", Range="bytes=10-19")
    assert (response.status, body, response.headers["Content-Range"]) == (206, TEXT[10:20], "bytes 10-19/4096")
    assert client.get(f"{base}/layer/8_8_8/raw", Range="bytes=-6")[1] == TEXT[-6:]
    assert client.get(f"{base}/layer/8_8_8/raw", Range="bytes=9999-")[0].status == 416
    assert client.get(f"{base}/layer/8_8_8/packed", Range="bytes=0-3")[0].status == 200


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("bytes=0-99", (0, 10)),
        ("bytes=10-", None),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("lines=1-2", None),
        ("bytes=0-1,4-5", None),
    ],
)
def test_ranges_are_read_as_the_standard_says(header: str, expected: tuple[int, int] | None) -> None:
    """RFC 9110, 14.1.2, on a file of ten bytes; several ranges at once are not offered."""
    assert byte_range(header, 10) == expected


def test_heads_and_unchanged_files_have_no_body(client: Client, base: str) -> None:
    """HEAD gives the length; an ETag saves sending a chunk again."""
    response, body = client.get(f"{base}/layer/8_8_8/raw", method="HEAD")
    assert (response.status, body, response.headers["Content-Length"]) == (200, b"", "4096")
    assert client.get(f"{base}/layer/8_8_8/raw", If_None_Match=response.headers["ETag"])[0].status == 304
    assert client.get(f"{base}/layer/info")[1] == b"{}"


def test_the_client_comes_from_the_wheel(client: Client) -> None:
    """Its page and everything the page names, with the types a browser insists on."""
    response, page = client.get("/v/any/")
    assert response.headers["Content-Type"].startswith("text/html")
    names = [part.split(b'"')[0].decode() for part in page.split(b'src="')[1:]]
    assert names
    for name in names:
        response, _ = client.get(f"/v/any/{name}", method="HEAD")
        assert (response.status, response.headers["Content-Type"]) == (200, "text/javascript")
    assert client.get("/v/any/../__init__.py")[0].status == 404
    assert client.get("/v/any/missing.js")[0].status == 404


def test_states_name_the_server_that_serves_them(client: Client) -> None:
    """The port may change from start to start; a stored state still works."""
    client.server.registry.set_state("run-1", {"source": f"precomputed://{HERE}/data/x"})
    _, body = client.get("/state/run-1.json")
    assert json.loads(body) == {"source": f"precomputed://{client.server.url}/data/x"}
    assert b"/v/run-1/" in client.get("/")[1]


def test_the_client_finds_its_python_side(client: Client) -> None:
    """An event stream that opens and stays open, so that no warning covers the view."""
    connection = HTTPConnection("127.0.0.1", client.server.port, timeout=5)
    connection.request("GET", "/events/run-1?c=1")
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.readline() == b": here\n"
    connection.close()


def test_registering_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A typo is told at once, not as missing chunks in the browser."""
    with pytest.raises(VolumeError, match="no such folder"):
        Registry(tmp_path).add_root(tmp_path / "nothing")


def test_the_background_server_starts_once_and_stops(tmp_path: Path) -> None:
    """Second calls reuse it, also at the same time; after a stop the next start takes the same port."""
    urls: list[str] = []
    threads = [threading.Thread(target=lambda: urls.append(ensure_server(tmp_path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert len(urls) == 3
        assert len(set(urls)) == 1
    finally:
        assert stop_server(tmp_path)
    assert not stop_server(tmp_path)
    try:
        assert ensure_server(tmp_path) == urls[0]
    finally:
        stop_server(tmp_path)


def test_a_record_of_another_process_is_not_believed(tmp_path: Path, client: Client) -> None:
    """After a crash or a reboot the file is still there, and its port and process id may be anyone's."""
    stale = {"pid": 1, "port": client.server.port, "instance": "gone", "url": client.server.url}
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "server.json").write_text(json.dumps(stale))
    assert not stop_server(folder)
    try:
        assert ensure_server(folder) != client.server.url
    finally:
        assert stop_server(folder)
    assert client.get("/health")[0].status == 200

"""Raw bytes against the viewer's server, a process of its own: a short answer, nothing in the log, nothing left."""

from __future__ import annotations

import json
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import psutil
import pytest
from compose import free_port
from runs_on_disk import parameters, save, smooth_affinities

from seuron.engine.local import run_local
from seuron.web.viewer import ensure_server, stop_server
from seuron.web.viewer.http_limits import HEADER_SECONDS, MOST_CONNECTIONS
from seuron.web.viewer.process import record_server
from seuron.web.viewer.registry import RunView, ViewRegistry

#: Seconds for an answer, on a busy machine.
PATIENCE = 20.0


@dataclass(frozen=True)
class Target:
    """A server, what it listens at, its state folder, a run's key, and the address of a block of a layer."""

    host: str
    port: int
    folder: Path
    key: str
    block: str

    def send(self, content: bytes) -> bytes:
        """What the server answers to these bytes, until it closes the connection or has answered once."""
        with socket.create_connection((self.host, self.port), timeout=PATIENCE) as connection:
            with suppress(OSError):  # it may have answered and closed already
                connection.sendall(content)
            return received(connection)

    def get(self, path: str, *headers: str, method: str = "GET") -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}:{self.port}", "Connection: close", *headers]
        return self.send("\r\n".join([*lines, "", ""]).encode("latin-1"))

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(json.loads((self.folder / "server.json").read_bytes())["pid"])


def received(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    found = b""
    with suppress(ConnectionResetError):  # closed with bytes of the request unread; what was sent before has arrived
        while part := connection.recv(65536):
            found += part
    return found


def shortened(value: object) -> str:
    """A case's name: the values themselves are thousands of letters."""
    return repr(value)[:40]


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("viewer")
    run = run_local(parameters(save(folder / "affinities", smooth_affinities((16, 16, 16))), folder / "run"))
    state = folder / "state"
    record_server(state, {"port": free_port(), "instance": "gone"})
    url = urlsplit(ensure_server(state))
    assert url.hostname is not None
    assert url.port is not None
    key = ViewRegistry(state).add(RunView(run.output))
    blocks = (path for path in (folder / "run" / "segmentation").rglob("*-*_*-*_*-*.gz"))
    name = next(blocks).relative_to(folder / "run" / "segmentation").as_posix().removesuffix(".gz")
    yield Target(url.hostname, url.port, state, key, f"/data/{key}/0/segmentation/{name}")
    stop_server(state)


@pytest.fixture(autouse=True)
def unharmed(target: Target) -> Iterator[None]:
    """After each attack the server answers as before, and its log is empty."""
    yield
    assert status(target.get(target.block)) == 200
    assert target.log == ""


BODY = b"x" * 1_000_000


def _request(target: Target, line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    host = f"Host: {target.host}:{target.port}".encode()
    return target.send(b"\r\n".join([line, host, *headers, b"", b""]) + body)


@pytest.mark.parametrize(
    ("line", "headers", "body"),
    [
        (b"POST / HTTP/1.1", [b"Content-Length: 1000000000000"], BODY),
        (b"GET / HTTP/1.1", [b"Content-Length: 1000000"], BODY),
        (b"GET / HTTP/1.1", [b"Transfer-Encoding: chunked"], b"ffffff\r\n" + BODY),
        (b"GET / HTTP/1.1", [b"Content-Length: 5", b"Expect: 100-continue"], b""),
        (b"GET / HTTP/1.1", [b"Content-Length: -1"], b""),
        (b"GET / HTTP/1.1", [b"Content-Length: many"], b""),
        (b"GET / HTTP/1.1", [b"Content-Length: " + b"9" * 5000], b""),
        (b"GET / HTTP/1.1", [b"Content-Length: 1", b"Content-Length: 2"], b""),
        (b"GET / HTTP/1.1", [b"Content-Length: 3", b"Transfer-Encoding: chunked"], b"0\r\n\r\n"),
        (b"GET / HTTP/1.1", [b"X: " + b"y" * 100_000], b""),
        (b"GET / HTTP/1.1", [b"X: y"] * 20_000, b""),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1", [], b""),
        (b"GET /\x00 HTTP/1.1", [], b""),
        (b"GET /\xff\xfe HTTP/1.1", [], b""),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [], b""),
        (b"GET / HTTP/1.1", [b"Bad Header: x"], b""),
        (b"GET / HTTP/1.1", [b"X: \x00"], b""),
    ],
    ids=shortened,
)
def test_requests_that_are_none_or_have_a_body_are_refused(
    target: Target, line: bytes, headers: list[bytes], body: bytes
) -> None:
    """Guards against bodies that fill the memory, lengths that a parser fails at, and headers without end."""
    began = time.monotonic()
    answer = _request(target, line, *headers, body=body)
    assert time.monotonic() - began < HEADER_SECONDS
    assert 400 <= status(answer) < 500


@pytest.mark.parametrize(
    "value",
    [
        "bytes=" + ",".join(f"{n}-{n}" for n in range(50)),
        "bytes=" + ",".join(["0-"] * 3000),
        "bytes=" + "9" * 5000 + "-",
        "bytes=0-1,2-3",
        "bytes=5-1",
        "bytes=99999999-",
        "bytes=--1",
        "bytes=٣-٤".encode().decode("latin-1"),
        "lines=0-1",
        "bytes=0-1\r\nRange: bytes=2-3",
    ],
    ids=shortened,
)
def test_odd_ranges_are_refused(target: Target, value: str) -> None:
    """Guards against ranges that overlap a thousand times, and numbers of thousands of digits."""
    assert 400 <= status(target.get(target.block, f"Range: {value}")) < 500
    assert status(target.get(target.block, "Range: bytes=0-3")) == 206


@pytest.mark.parametrize(
    "path",
    [
        "/v/{key}/" + "a" * 300 + ".js",
        "/v/{key}/" + "a" * 5000 + ".js",
        "/v/{key}/%00.js",
        "/v/{key}/..%2f..%2fweb.py",
        "/v/{key}/%2e%2e/%2e%2e/web.py",
        "/data/{key}/0/segmentation/" + "1" * 254,
        "/data/{key}/0/segmentation/x/" + "1" * 254,
        "/data/{key}/0/segmentation/x/" + "1" * 6000,
        "/data/{key}/0/segmentation/" + "a/" * 3000 + "info",
        "/data/{key}/0/segmentation/%00/1",
        "/data/{key}/0/segmentation/%c0%ae%c0%ae/info",
        "/data/{key}/0/segmentation/..%2f..%2frun.json",
        "/data/{key}/0/segmentation//etc/passwd",
        "/data/{key}/0/%1b%5b2J/info",
        "/data/{key}/0/" + "l" * 8000 + "/info",
        "/data/" + "k" * 8000 + "/0/x/info",
        "/data/..%2f..%2fserver/0/x/info",
        "/state/" + "k" * 8000 + ".json",
        "/state/%ff%fe.json",
        "/state/{key}%00.json",
        "/" + "%25" * 4000,
        "/?" + "q" * 12000 + "/../..",
    ],
    ids=shortened,
)
def test_odd_names_are_not_found(target: Target, path: str) -> None:
    """Guards against names that the file system refuses with an error, and names that lead out of a folder."""
    answer = target.get(path.format(key=target.key))
    assert status(answer) in ((200,) if path.startswith("/?") else range(400, 500))
    assert b"Traceback" not in answer
    assert b"\x1b" not in answer


def test_unfinished_requests_are_ended(target: Target) -> None:
    """Guards against connections that hold the server by a byte now and then, or by none."""
    with ExitStack() as stack:
        addresses = [(target.host, target.port)] * 3
        silent, begun, dripping = (
            stack.enter_context(socket.create_connection(address, timeout=HEADER_SECONDS + PATIENCE))
            for address in addresses
        )
        begun.sendall(b"GET / HTTP/1.1\r\nHost: ")
        deadline = time.monotonic() + HEADER_SECONDS + PATIENCE
        with suppress(OSError):
            while time.monotonic() < deadline:
                dripping.sendall(b"G")
                time.sleep(0.5)
        assert time.monotonic() < deadline, "it is ended although something arrives"
        assert received(silent) == b""
        assert received(begun) == b""


def test_many_connections_take_few_threads(target: Target) -> None:
    """Guards against a thread or an open file for each of any number of connections."""
    process, most = target.process, 3 * MOST_CONNECTIONS
    files = process.num_fds()
    with ExitStack() as stack:
        for _ in range(most):
            connection = stack.enter_context(socket.create_connection((target.host, target.port), timeout=PATIENCE))
            with suppress(OSError):  # those above the limit are closed already
                connection.sendall(f"GET {target.block} HTTP/1.1\r\nHost: {target.host}\r\n".encode())
        time.sleep(0.5)
        assert process.num_fds() - files <= 2 * MOST_CONNECTIONS + 10
        assert process.num_threads() < 100
    deadline = time.monotonic() + PATIENCE
    while process.num_fds() > files + 5:
        assert time.monotonic() < deadline, "connections that were closed are let go"
        time.sleep(0.1)


def test_the_state_folder_is_its_owners_alone(target: Target) -> None:
    """Guards against other users of the machine who read links to runs, or the server's log."""
    assert stat.S_IMODE(target.folder.stat().st_mode) == 0o700
    for path in target.folder.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    open_before = target.folder.parent / "older"
    open_before.mkdir(0o755)
    record_server(open_before, {"port": 1, "instance": "gone"})
    assert stat.S_IMODE(open_before.stat().st_mode) == 0o700


def test_what_is_good_is_still_served(target: Target) -> None:
    """Guards against limits that Neuroglancer's own requests meet."""
    for path in ("/", "/health", f"/v/{target.key}/", f"/state/{target.key}.json", target.block):
        assert status(target.get(path)) == 200
    assert status(target.get(target.block, "Range: bytes=-4")) == 206
    assert status(target.get(f"/data/{target.key}/0/{quote('segmentation')}/info", method="HEAD")) == 200

"""A small HTTP server for Neuroglancer: the client from its wheel, and the registered folders.

It listens on 127.0.0.1 alone, only reads, and only below registered folders:

    /                      the runs that can be viewed
    /v/KEY/                the client, opened on a run (see `state.viewer_link`)
    /state/KEY.json        a run's viewer state
    /data/KEY/PATH         a file below a registered folder; PATH.gz is sent as gzip-encoded PATH
    /events/KEY            held open; the client of the wheel waits for its Python side here
    /health                which server this is
"""

from __future__ import annotations

import html
import json
import os
import re
import threading
from collections.abc import Callable
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from socketserver import TCPServer
from typing import BinaryIO
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from seuron import __version__
from seuron.errors import RunError
from seuron.viewer.registry import HERE, Registry

HOST = "127.0.0.1"
#: Tried first, so that links stay good from one start to the next.
DEFAULT_PORT = 8750
#: Seconds between signs of life on a held connection; how soon a closed browser tab is noticed.
HEARTBEAT = 15.0
#: Seconds after which an idle keep-alive connection gives its thread back.
IDLE = 120.0
PIECE = 1 << 20

CONTENT_TYPES = {
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".wasm": "application/wasm",
}
STATIC_NAME = re.compile(r"[a-z0-9][A-Za-z0-9_.-]*\.(?:js|map|css|wasm|html)")
RANGE = re.compile(r"bytes=(\d*)-(\d*)")

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>seuron viewer</title>
<style>
body{{font:16px/1.6 system-ui,sans-serif;margin:4rem auto;max-width:40rem;padding:0 1rem;
color-scheme:light dark}}
li{{margin:.3rem 0}}</style><h1>Runs to view</h1>{body}</html>"""


class _Handler(BaseHTTPRequestHandler):
    """One connection; the server object it belongs to says what may be read."""

    server: ViewerServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE
    server_version = f"seuron/{__version__}"
    sys_version = ""

    def do_GET(self) -> None:
        try:
            self._answer()
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True  # the browser went away: nobody to tell

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._fail(HTTPStatus.NOT_FOUND, "nothing is written through this server")

    def _answer(self) -> None:
        if self.headers.get("Host") not in self.server.hosts:
            # A page of another site could point its own name at 127.0.0.1 and read the data.
            self._fail(HTTPStatus.FORBIDDEN, f"this server answers to {self.server.url} only")
            return
        path = unquote(urlsplit(self.path).path)
        place, _, rest = path.removeprefix("/").partition("/")
        answer = self._places.get(place)
        if answer is None:
            self._fail(HTTPStatus.NOT_FOUND, f"nothing at {path}")
        else:
            answer(rest)

    @cached_property
    def _places(self) -> dict[str, Callable[[str], None]]:
        return {
            "": lambda _: self._index(),
            "v": self._client,
            "state": self._state,
            "data": self._data,
            "events": self._events,
            "favicon.ico": lambda _: self._start(HTTPStatus.NO_CONTENT, None, {"Cache-Control": "max-age=86400"}),
            "health": lambda _: self._send_json({**self.server.identity, "version": __version__}),
        }

    def _index(self) -> None:
        links = []
        for key in self.server.registry.states():
            target = f"/v/{key}/#!{self.server.url}/state/{key}.json"
            links.append(f'<li><a href="{html.escape(target)}">{html.escape(key)}</a></li>')
        body = f"<ul>{''.join(links)}</ul>" if links else "<p>None yet: <code>seuron view OUTPUT</code> adds one.</p>"
        self._send(PAGE.format(body=body).encode(), CONTENT_TYPES[".html"])

    def _client(self, rest: str) -> None:
        """The built client; its page refers to its files by names relative to /v/KEY/."""
        _, _, name = rest.partition("/")
        content = client_file(name or "index.html")
        if content is None:
            self._fail(HTTPStatus.NOT_FOUND, f"the client has no file {name!r}")
            return
        # Names hold a hash of the content, but for the page itself.
        keep = "max-age=31536000, immutable" if name else "no-cache"
        self._send(content, _content_type(name or "index.html"), {"Cache-Control": keep})

    def _state(self, rest: str) -> None:
        state = self.server.registry.state(rest.removesuffix(".json"))
        if state is None:
            self._fail(HTTPStatus.NOT_FOUND, f"no run is registered as {rest}; `seuron view OUTPUT` registers one")
        else:
            # Where the server listens may change from start to start; the stored state leaves it open.
            content = json.dumps(state).replace(HERE, self.server.url)
            self._send(content.encode(), CONTENT_TYPES[".json"], {"Cache-Control": "no-cache"})

    def _events(self, _: str) -> None:
        """Hold the connection: the client shows a warning while its Python side does not answer."""
        self._start(HTTPStatus.OK, "text/event-stream", {"Cache-Control": "no-cache", "Connection": "close"})
        self.close_connection = True
        if self.command == "HEAD":
            return
        while True:
            self.wfile.write(b": here\n\n")
            if self.server.stopping.wait(HEARTBEAT):
                return

    def _data(self, rest: str) -> None:
        key, _, name = rest.partition("/")
        root = self.server.registry.root(key)
        found = find_file(root, name) if root is not None else None
        if found is None:
            self._fail(HTTPStatus.NOT_FOUND, f"no such file: {rest}")
            return
        path, encoding = found
        try:
            file = path.open("rb")
        except OSError as error:
            self._fail(HTTPStatus.NOT_FOUND, f"cannot read {rest}: {error.strerror}")
            return
        with file:
            self._send_file(file, _content_type(name), encoding)

    def _send_file(self, file: BinaryIO, content_type: str, encoding: str | None) -> None:
        """A file, or the part of it that a Range header asks for (parts of encoded files make no sense)."""
        status = os.fstat(file.fileno())
        tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        headers = {"Cache-Control": "no-cache", "ETag": tag}
        if encoding:
            headers["Content-Encoding"] = encoding
        else:
            headers["Accept-Ranges"] = "bytes"
        if self.headers.get("If-None-Match") == tag:
            self._start(HTTPStatus.NOT_MODIFIED, None, headers)
            return
        asked = self.headers.get("Range") if not encoding else None
        part = byte_range(asked, status.st_size) if asked else (0, status.st_size)
        if part is None:
            self._fail(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"the file has {status.st_size} bytes")
            return
        start, end = part
        if asked:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{status.st_size}"
        headers["Content-Length"] = str(end - start)
        self._start(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK, content_type, headers)
        if self.command != "HEAD":
            file.seek(start)
            self._copy(file, end - start)

    def _copy(self, file: BinaryIO, count: int) -> None:
        while count > 0:
            piece = file.read(min(PIECE, count))
            if not piece:  # shortened while it was sent: only a broken connection can tell now
                self.close_connection = True
                return
            self.wfile.write(piece)
            count -= len(piece)

    def _send_json(self, content: object) -> None:
        self._send(json.dumps(content).encode(), CONTENT_TYPES[".json"], {"Cache-Control": "no-cache"})

    def _send(self, content: bytes, content_type: str, headers: dict[str, str] | None = None) -> None:
        self._start(HTTPStatus.OK, content_type, {**(headers or {}), "Content-Length": str(len(content))})
        if self.command != "HEAD":
            self.wfile.write(content)

    def _fail(self, status: HTTPStatus, message: str) -> None:
        content = f"{message}\n".encode()
        self._start(status, "text/plain; charset=utf-8", {"Content-Length": str(len(content))})
        if self.command != "HEAD":
            self.wfile.write(content)

    def _start(self, status: HTTPStatus, content_type: str | None, headers: dict[str, str]) -> None:
        self.send_response(status)
        if content_type is not None:
            self.send_header("Content-Type", content_type)
        self.send_header("X-Content-Type-Options", "nosniff")
        origin = self.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc in self.server.hosts:
            self.send_header("Access-Control-Allow-Origin", origin)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Chunks come by the thousand; nothing is logged."""


def find_file(root: Path, name: str) -> tuple[Path, str | None] | None:
    """The file `name` below `root` and how it is encoded; None when it is not there or not to be shown.

    Hidden files, half-written ones and whatever a link or `..` leads to outside `root` are not.
    """
    parts = name.split("/")
    if any(part.startswith(".") or part == "" or "\0" in part for part in parts):
        return None
    base = root.resolve()
    for path, encoding in ((base.joinpath(*parts), None), (base.joinpath(*parts[:-1], parts[-1] + ".gz"), "gzip")):
        if path.is_file() and path.resolve().is_relative_to(base):
            return path, encoding
    return None


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """The half-open range of bytes that a Range header asks for; None when the file has none of it."""
    match = RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    return (start, end) if start < end else None


def client_file(name: str) -> bytes | None:
    """A file of the client that comes with the neuroglancer wheel; None when it has no such file."""
    if not STATIC_NAME.fullmatch(name):
        return None
    path = files("neuroglancer") / "static" / "client" / name
    return path.read_bytes() if path.is_file() else None


def _content_type(name: str) -> str:
    return CONTENT_TYPES.get(Path(name).suffix, "application/octet-stream")


class ViewerServer(ThreadingHTTPServer):
    """The server of one state folder. If `port` is taken, or 0, it gets a free one; `url` says which."""

    daemon_threads = True
    # A browser asks for hundreds of chunks at once.
    request_queue_size = 128

    def __init__(self, registry: Registry, port: int = DEFAULT_PORT) -> None:
        try:
            super().__init__((HOST, port), _Handler)
        except OSError:
            super().__init__((HOST, 0), _Handler)
        self.registry = registry
        self.port = int(self.server_address[1])
        self.stopping = threading.Event()
        self.identity = {"server": "seuron viewer", "instance": uuid4().hex, "pid": os.getpid()}

    def server_bind(self) -> None:
        # The inherited one asks the name service who 127.0.0.1 is, which may take seconds without a network.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def hosts(self) -> tuple[str, str]:
        return (f"{HOST}:{self.port}", f"localhost:{self.port}")

    def stop(self) -> None:
        """End `serve_forever` and the held connections, from any other thread."""
        self.stopping.set()
        self.shutdown()


def serve(
    state_folder: str | Path, port: int = DEFAULT_PORT, *, ready: Callable[[ViewerServer], None] | None = None
) -> None:
    """Serve in the foreground until interrupted; `ready` is called once requests are answered.

    Raises RunError when the installed neuroglancer has no built client.
    """
    if client_file("index.html") is None:
        raise RunError("the neuroglancer package has no built client; install the wheel: pip install neuroglancer")
    with ViewerServer(Registry(state_folder), port) as server:
        if ready is not None:
            ready(server)
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            pass
        finally:
            server.stopping.set()

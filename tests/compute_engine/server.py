"""The stand-in's door: the REST paths of Compute Engine v1, as the real client asks for them."""

from __future__ import annotations

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from compute_engine.machines import Machines
from compute_engine.service import SCOPES, Json, Refused, Service

_PATH = re.compile(
    r"/compute/v1/projects/(?P<project>[^/]+)/(?P<scope>aggregated|global|zones|regions)"
    r"(?:(?<=zones)/(?P<zone>[^/]+)|(?<=regions)/(?P<region>[^/]+))?"
    r"/(?P<collection>\w+)(?:/(?P<name>[-\w]+)(?:/(?P<verb>\w+))?)?"
)


class ComputeEngine:
    """A running stand-in: `with ComputeEngine() as engine: ... engine.url`."""

    def __init__(self, machines: Machines | None = None, port: int = 0) -> None:
        self.service = Service(machines)
        #: `METHOD /path?query` of every request, and the headers of the last.
        self.requests: list[str] = []
        self.headers: dict[str, str] = {}
        self._http = _Server(("127.0.0.1", port), _Handler)
        self._http.engine = self
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}),
            threading.Thread(target=self._run_time),
        ]

    @property
    def url(self) -> str:
        """What a client takes as its endpoint."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> ComputeEngine:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._http.shutdown()
        for thread in self._threads:
            thread.join()
        self._http.server_close()

    def _run_time(self) -> None:
        while not self._over.wait(0.01):
            self.service.tick()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    engine: ComputeEngine


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, *words: Any) -> None:
        """Be silent."""

    def _answer(self) -> None:
        engine = self.server.engine
        request = f"{self.command} {self.path}"
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        with engine.service.lock:
            engine.requests.append(request)
            engine.headers = dict(self.headers)
            faults = engine.service.faults
            broken = faults.take(faults.answers, request, times=2)
            hang = faults.take(faults.hangs, request, times=2)
        if broken is not None:
            self._send(broken[1], {"error": {"code": broken[1], "message": "a fault that was asked for"}})
            return
        if hang is not None and not hang[3]:
            time.sleep(hang[1])
        status, answer = self._do(engine.service, request, body)
        if hang is not None and hang[3]:
            time.sleep(hang[1])
        self._send(status, answer)

    def _do(self, service: Service, request: str, body: Json) -> tuple[int, Json]:
        address = urlsplit(self.path)
        try:
            match = _PATH.fullmatch(address.path)
            if match is None:
                raise Refused(404, f"no such path: {address.path}")
            query = dict(parse_qsl(address.query))
            with service.lock:
                answer = _route(service, self.command, match, query, body, request)
                return 200, json.loads(json.dumps(answer))  # a copy: the answer is sent without the lock
        except Refused as error:
            return error.status, {"error": {"code": error.status, "message": str(error)}}

    def _send(self, status: int, answer: Json) -> None:
        content = json.dumps(answer).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client did not wait


def _route(
    service: Service, method: str, match: re.Match[str], query: dict[str, str], body: Json, request: str
) -> Json:
    collection, name, verb = match["collection"], match["name"], match["verb"]
    location = match["zone"] or match["region"] or ""
    if collection == "operations":
        return service.operation(name)
    if match["scope"] == "aggregated":
        return _aggregated(service, collection, query)
    if SCOPES.get(collection) != match["scope"]:
        raise Refused(404, f"no {collection} in {match['scope']}")
    if verb == "listManagedInstances":
        return _page(service, "managedInstances", service.managed_instances(location, name), query)
    if verb == "listErrors":
        return _page(service, "items", service.group_errors(location, name), query)
    if verb:
        return service.group(location, name, verb, body, query, request)
    if method == "POST":
        return service.insert(collection, location, body, query.get("requestId", ""), request)
    if method == "DELETE":
        return service.delete(collection, location, name, query.get("requestId", ""), request)
    if name:
        return service.get(collection, location, name)
    items = [item for place, item in service.listed(collection, query.get("filter", "")) if place == location]
    return _page(service, "items", items, query)


def _aggregated(service: Service, collection: str, query: dict[str, str]) -> Json:
    found = service.listed(collection, query.get("filter", ""))
    page = _page(service, "items", found, query)
    parts: dict[str, Json] = {}
    for location, item in page["items"]:
        parts.setdefault(f"{SCOPES[collection]}/{location}", {collection: []})[collection].append(item)
    # As Google does: places with nothing come too, with a warning.
    parts.setdefault(f"{SCOPES[collection]}/nowhere-a", {"warning": {"code": "NO_RESULTS_ON_PAGE"}})
    return {**page, "items": parts}


def _page(service: Service, key: str, items: list[Any], query: dict[str, str]) -> Json:
    first = int(query.get("pageToken") or 0)
    size = min(service.page_size, int(query.get("maxResults") or service.page_size))
    page: Json = {key: items[first : first + size]}
    if first + size < len(items):
        page["nextPageToken"] = str(first + size)
    return page

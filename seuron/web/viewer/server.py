"""A small server for Neuroglancer: its client, and the layers of registered runs.

It listens on 127.0.0.1 alone and only reads:

    /                               the views that are registered
    /v/KEY/                         the client, opened on a view (see `links.viewer_link`)
    /state/KEY.json                 what the client shows
    /data/KEY/VERSION/LAYER/NAME    a file of a layer; the version is for the browser, which caches what it has of one
    /health                         which server this is
"""

from __future__ import annotations

import html
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from seuron import __version__
from seuron.errors import SeuronError
from seuron.web.files import FRESH, client_file, layer_file
from seuron.web.neuroglancer_state import neuroglancer_state
from seuron.web.snapshot import RunSnapshot, SnapshotCache
from seuron.web.viewer.http_limits import MOST_CONNECTIONS, MOST_HEADER_BYTES, LimitedProtocol, LimitedRequests
from seuron.web.viewer.links import viewer_link
from seuron.web.viewer.process import HOST, record_server
from seuron.web.viewer.registry import RunView, ViewRegistry

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>seuron viewer</title>
<style>
body{{font:16px/1.6 system-ui,sans-serif;margin:4rem auto;max-width:40rem;padding:0 1rem;
color-scheme:light dark}}
li{{margin:.3rem 0}}</style><h1>Runs to view</h1>{body}</html>"""


class _Routes:
    """The endpoints; `record` is what server.json says of this server."""

    def __init__(self, registry: ViewRegistry, record: Mapping[str, Any]) -> None:
        self.registry, self.record = registry, record
        self.snapshots = SnapshotCache()

    def index(self, _: Request) -> Response:
        keys = self.registry.keys()
        links = [
            f'<li><a href="{html.escape(viewer_link(key, self.record["url"]))}">{html.escape(key)}</a></li>'
            for key in keys
        ]
        body = f"<ul>{''.join(links)}</ul>" if links else "<p>None yet: <code>seuron view RUN</code> adds one.</p>"
        return HTMLResponse(PAGE.format(body=body), headers=FRESH)

    def client(self, request: Request) -> Response:
        """The built client; its page refers to its files by names relative to /v/KEY/."""
        return client_file(request.path_params["name"])

    def state(self, request: Request) -> Response:
        view, snapshot = self._requested(request)
        data = f"{self.record['url']}/data/{view.key}"
        state = neuroglancer_state(snapshot, lambda name, version: f"{data}/{version}/{quote(name)}", view.focus)
        if not state:
            raise HTTPException(404, f"{view.output} has no layer to show, and its input cannot be opened")
        return JSONResponse(state, headers=FRESH)

    def data(self, request: Request) -> Response:
        _, snapshot = self._requested(request)
        return layer_file(snapshot, request.path_params["layer"], request.path_params["name"])

    def health(self, _: Request) -> Response:
        return JSONResponse(dict(self.record), headers=FRESH)

    def _requested(self, request: Request) -> tuple[RunView, RunSnapshot]:
        key = request.path_params["key"]
        view = self.registry.get(key)
        snapshot = self.snapshots.get(view.output) if view is not None else None
        if view is None or snapshot is None:
            raise HTTPException(404, f"no run is registered as {key}; `seuron view RUN` registers one")
        return view, snapshot


def viewer_app(registry: ViewRegistry, record: Mapping[str, Any]) -> Starlette:
    """The application of one state folder; `record` has its `port` and `url`, and what names this server."""
    routes = _Routes(registry, record)
    own = [f"http://{host}:{record['port']}" for host in (HOST, "localhost")]
    return Starlette(
        routes=[
            Route("/", routes.index),
            Route("/v/{key}/{name:path}", routes.client),
            Route("/state/{key}.json", routes.state),
            Route("/data/{key}/{version}/{layer}/{name:path}", routes.data),
            Route("/health", routes.health),
        ],
        middleware=[
            Middleware(LimitedRequests),
            # A page of another site could point its own name at 127.0.0.1 and read the data.
            Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]),
            Middleware(CORSMiddleware, allow_origins=own),
        ],
        exception_handlers={SeuronError: lambda _, error: PlainTextResponse(str(error), 409)},
    )


def serve(state_folder: str | Path, port: int) -> None:
    """Serve a state folder until the process is ended. If `port` is taken, or 0, a free one is used."""
    listener = _listen(port)
    port = listener.getsockname()[1]
    identity = {"server": "seuron viewer", "version": __version__, "instance": uuid4().hex, "pid": os.getpid()}
    record = {**identity, "port": port, "url": f"http://{HOST}:{port}"}
    app = viewer_app(ViewRegistry(state_folder), record)
    config = uvicorn.Config(
        app,
        http=LimitedProtocol,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        limit_concurrency=MOST_CONNECTIONS,
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="error",  # what clients send that is wrong is answered, and must not fill the log
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    record_server(state_folder, record)
    uvicorn.Server(config).run(sockets=[listener])


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=128)
    except OSError:
        return socket.create_server((HOST, 0), backlog=128)

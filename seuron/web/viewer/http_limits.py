"""What one client may take of the viewer's server: connections, time, and the size of what it sends.

A request is a few lines, has no body, and is for a file of some megabytes at most, so that limits can be tight.
"""

from __future__ import annotations

import asyncio
from itertools import chain

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

#: Connections at a time; of further ones each request is answered 503, and those above twice as many are closed.
MOST_CONNECTIONS = 64
#: Bytes of a request's line and headers.
MOST_HEADER_BYTES = 16_384
CLOSE = {"Connection": "close"}
#: Seconds for the line and headers of a request to arrive, and for a client to take what was sent to it.
HEADER_SECONDS, SEND_SECONDS = 5.0, 30.0


class LimitedProtocol(H11Protocol):
    """HTTP with a bound on connections, on the time for a request's headers, and on that for its response."""

    _header_deadline: asyncio.TimerHandle | None = None
    _send_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > 2 * MOST_CONNECTIONS:
            transport.abort()
            return
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        for deadline in (self._header_deadline, self._send_deadline):
            if deadline is not None:
                deadline.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._await_headers()
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._send_deadline = self.loop.call_later(SEND_SECONDS, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        if self._send_deadline is not None:
            self._send_deadline.cancel()
        super().resume_writing()

    def _await_headers(self) -> None:
        if self._header_deadline is not None:
            self._header_deadline.cancel()
        self._header_deadline = self.loop.call_later(HEADER_SECONDS, self._close_unless_responding)

    def _close_unless_responding(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


class LimitedRequests:
    """The application for short requests without a body; others are refused before any of a body is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _refusal(scope)
        await (self._app if refusal is None else refusal)(scope, receive, send)


def _refusal(scope: Scope) -> Response | None:
    # h11 bounds what has not arrived as a whole; several packets that arrive together may be more.
    size = len(scope["raw_path"]) + len(scope["query_string"]) + sum(map(len, chain(*scope["headers"])))
    if size > MOST_HEADER_BYTES:
        return PlainTextResponse(f"a request has {MOST_HEADER_BYTES} bytes at most", 431, CLOSE)
    headers = Headers(scope=scope)
    if headers.get("content-length", "0").strip("0") or "transfer-encoding" in headers:
        return PlainTextResponse("requests to the viewer have no body", 413, CLOSE)
    return None

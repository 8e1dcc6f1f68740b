"""What a server refuses to browsers: requests under a name that is not its own, from other sites, inside their frames.

A web page of anywhere can have a name of its own lead to 127.0.0.1 (DNS rebinding); to the browser this server is then
part of that page. The `Host` of such a request is the page's name. A page can also send requests here without reading
the answers: the `Origin` of those that could change something is the page's.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: The names of this machine to itself.
LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: Methods that change nothing.
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class AllowedHostsMiddleware:
    """Answers requests under the names of `hosts` (no port; IPv6 with or without brackets), and 403 to all others.

    `setting` is named in the refusal. What is answered can be in a frame of this server's own pages only.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], setting: str) -> None:
        self.app, self.setting = app, setting
        self.hosts = frozenset(host.lower().strip("[]") for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; what is none, such as the server's start, is passed on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return

        async def send_framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.append("Content-Security-Policy", "frame-ancestors 'self'")
                headers["X-Frame-Options"] = "SAMEORIGIN"
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self.app(scope, receive, send_framed)
        else:
            await PlainTextResponse(refusal, 403)(scope, receive, send_framed)

    def _refusal(self, scope: Scope) -> str | None:
        """Why a request is refused; None where it is not."""
        headers = Headers(scope=scope)
        changes = scope["type"] == "websocket" or scope["method"] not in _READING
        if _host_of(f"http://{headers.get('host', '')}") not in self.hosts:
            return self._message("under the name", headers.get("host", ""))
        if changes and "origin" in headers and _host_of(headers["origin"]) not in self.hosts:
            return self._message("from a page of", headers["origin"])
        return None

    def _message(self, how: str, given: str) -> str:
        names = ", ".join(sorted(self.hosts))
        return (
            f"refused a request {how} {given!r}: this server answers to {names}; its owner can add a name to the "
            f"setting {self.setting}\n"
        )


def _host_of(url: str) -> str | None:
    """The host of an address in lower case, IPv6 without brackets; None where it has none, or more than a host."""
    try:
        parts = urlsplit(url)
        return parts.hostname if "@" not in parts.netloc and not parts.path else None
    except ValueError:
        return None

"""A stand-in for Slack: the methods of its Web API that the bot calls, and Socket Mode, on this machine.

It refuses what Slack refuses: a wrong token, a method whose scope the app's manifest does not ask for, a text that is
too long, an edit of a message that is not there. Of its own it answers 429, drops the socket, and sends events twice.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from aiohttp import WSMsgType, web

BOT_TOKEN, APP_TOKEN = "xoxb-1111-2222-abcdef", "xapp-1-A1-3333-fedcba"
BOT, TEAM = "UBOT00001", "T00000001"
MANIFEST = Path(__file__).parents[1] / "docs" / "slack-manifest.yaml"
#: The scope that each method needs.
SCOPES = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "users.info": "users:read",
    "files.getUploadURLExternal": "files:write",
    "files.completeUploadExternal": "files:write",
}
#: Where the scope is one that the bot needs to hear this.
EVENTS = {"app_mention": "app_mentions:read", "im": "im:history"}
LONGEST_TEXT = 4000


@dataclass
class Call:
    """A call of a method, when it came (s) and whether it was answered with 429."""

    method: str
    body: dict[str, Any]
    at: float
    limited: bool = False


@dataclass
class SlackStandIn:
    """Slack, listening on a port of this machine."""

    users: dict[str, str] = field(default_factory=lambda: {"UADA00001": "Ada", "UEVE00001": "Eve"})
    calls: list[Call] = field(default_factory=list)
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    acknowledged: list[str] = field(default_factory=list)
    connections: int = 0
    #: Methods to be answered with 429, and for how many calls.
    limits: dict[str, int] = field(default_factory=dict)
    url: str = ""

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._sockets: list[web.WebSocketResponse] = []
        self._loop = asyncio.new_event_loop()
        self._time = 1_700_000_000
        bot = yaml.safe_load(MANIFEST.read_text())
        self._scopes = set(bot["oauth_config"]["scopes"]["bot"])
        self._events = set(bot["settings"]["event_subscriptions"]["bot_events"])

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,))
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    # ------------------------------------------------------------------ what people do

    def say(self, text: str, *, user: str = "UADA00001", channel: str = "C0LAB0001", **more: Any) -> str:
        """Write a message that mentions the bot, or in a direct channel (`D...`) one to it; gives its time stamp."""
        ts = self._stamp()
        direct = channel.startswith("D")
        event = {"type": "message" if direct else "app_mention", "user": user, "channel": channel, "ts": ts}
        event |= {"channel_type": "im"} if direct else {}
        assert EVENTS["im" if direct else "app_mention"] in self._scopes
        assert ("message.im" if direct else "app_mention") in self._events
        self.deliver({**event, "text": text if direct else f"<@{BOT}> {text}", **more})
        return ts

    def file(self, name: str, content: bytes) -> dict[str, Any]:
        """A file that somebody has uploaded, as an event holds it."""
        self.files[name] = content
        return {"name": name, "size": len(content), "url_private_download": f"{self.url}files/{name}"}

    def deliver(self, event: dict[str, Any], *, retry: int = 0) -> None:
        """Send an event down the newest socket."""
        payload = {"type": "event_callback", "team_id": TEAM, "api_app_id": "A1", "event": event}
        payload |= {"event_id": f"Ev{event['ts']}", "event_time": int(float(event["ts"]))}
        payload["authorizations"] = [{"team_id": TEAM, "user_id": BOT, "is_bot": True}]
        envelope = {"type": "events_api", "envelope_id": f"{event['ts']}-{retry}", "payload": payload}
        envelope |= {"accepts_response_payload": False, "retry_attempt": retry, "retry_reason": ""}
        self.wait(lambda: any(not socket.closed for socket in self._sockets), "a connected socket")
        socket = next(socket for socket in reversed(self._sockets) if not socket.closed)
        asyncio.run_coroutine_threadsafe(socket.send_str(json.dumps(envelope)), self._loop).result(10)

    def drop(self) -> None:
        """Close every socket, as a network does: without a word."""

        async def close() -> None:
            for socket in self._sockets:
                transport = socket._req.transport if socket._req is not None else None
                if transport is not None:
                    transport.abort()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(10)

    # --------------------------------------------------------------- what can be seen

    def wait(self, holds: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
        """Wait until something holds, and give it; fails with what is there when it does not in time."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not (found := holds()):
                left = deadline - time.monotonic()
                assert left > 0, f"no {what} after {seconds} s; messages: {self.messages}"
                self._changed.wait(min(left, 0.1))
            return found

    def thread(self, ts: str) -> list[dict[str, Any]]:
        """The messages in the thread of a message, oldest first, as they stand now."""
        return [message for message in self.messages.values() if message["thread_ts"] == ts]

    def answer(self, ts: str, number: int = 1, seconds: float = 30.0) -> dict[str, Any]:
        """A message of the thread, once it is there: the first one is number 1."""
        self.wait(lambda: len(self.thread(ts)) >= number, f"answer {number}", seconds)
        return self.thread(ts)[number - 1]

    def made(self, method: str) -> list[Call]:
        """The calls of a method that were let through."""
        return [call for call in self.calls if call.method == method and not call.limited]

    # ------------------------------------------------------------------------- inside

    def _stamp(self) -> str:
        self._time += 1
        return f"{self._time}.000100"

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        runner = web.AppRunner(self._application())
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=0.2)
        self._loop.run_until_complete(site.start())
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/socket", self._socket)
        application.router.add_post("/upload/{id}", self._upload)
        application.router.add_get("/files/{name}", self._download)
        application.router.add_post("/{method}", self._method)
        return application

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.append(socket)
        await socket.send_str(json.dumps({"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A1"}}))
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                with self._changed:
                    self.acknowledged.append(json.loads(message.data)["envelope_id"])
                    self._changed.notify_all()
        return socket

    async def _upload(self, request: web.Request) -> web.Response:
        self.uploads[request.match_info["id"]] = await request.read()
        return web.Response(text="OK")

    async def _download(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {BOT_TOKEN}":
            return web.Response(status=302, headers={"Location": "/login"})
        return web.Response(body=self.files[request.match_info["name"]])

    async def _method(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        body = await _body(request)
        call = Call(method, body, time.monotonic(), limited=self.limits.get(method, 0) > 0)
        with self._changed:
            self.calls.append(call)
            if call.limited:
                self.limits[method] -= 1
                refusal = {"ok": False, "error": "ratelimited"}
                return web.json_response(refusal, status=429, headers={"Retry-After": "1"})
            answer = self._answered(method, body, request.headers.get("Authorization", ""))
            self._changed.notify_all()
        return web.json_response(answer)

    def _answered(self, method: str, body: dict[str, Any], authorization: str) -> dict[str, Any]:
        wanted = APP_TOKEN if method == "apps.connections.open" else BOT_TOKEN
        if authorization != f"Bearer {wanted}":
            return {"ok": False, "error": "invalid_auth"}
        if SCOPES.get(method, "chat:write") not in self._scopes:
            return {"ok": False, "error": "missing_scope", "needed": SCOPES[method]}
        answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "auth.test": lambda _: {"user_id": BOT, "user": "seuron", "team_id": TEAM, "bot_id": "B1", "url": self.url},
            "apps.connections.open": self._connection,
            "chat.postMessage": self._posted,
            "chat.update": self._edited,
            "users.info": self._user,
            "files.getUploadURLExternal": self._upload_url,
            "files.completeUploadExternal": self._uploaded,
        }
        found = answers[method](body) if method in answers else {"error": "unknown_method"}
        return {"ok": "error" not in found, **found}

    def _connection(self, _: dict[str, Any]) -> dict[str, Any]:
        self.connections += 1
        return {"url": f"{self.url.replace('http', 'ws')}socket"}

    def _posted(self, body: dict[str, Any]) -> dict[str, Any]:
        if not body.get("text") or len(body["text"]) > 10 * LONGEST_TEXT:
            return {"error": "no_text"}
        ts = self._stamp()
        self.messages[ts] = {**body, "ts": ts, "history": [body["text"]]}
        return {"channel": body["channel"], "ts": ts}

    def _edited(self, body: dict[str, Any]) -> dict[str, Any]:
        message = self.messages.get(body["ts"])
        if message is None:
            return {"error": "message_not_found"}
        if len(body["text"]) > LONGEST_TEXT:
            return {"error": "msg_too_long"}
        message["text"] = body["text"]
        message["history"].append(body["text"])
        return {"channel": body["channel"], "ts": body["ts"]}

    def _user(self, body: dict[str, Any]) -> dict[str, Any]:
        name = self.users.get(body["user"])
        return {"error": "user_not_found"} if name is None else {"user": {"id": body["user"], "real_name": name}}

    def _upload_url(self, body: dict[str, Any]) -> dict[str, Any]:
        name = f"F{len(self.uploads)}-{body['filename']}"
        return {"upload_url": f"{self.url}upload/{name}", "file_id": name}

    def _uploaded(self, body: dict[str, Any]) -> dict[str, Any]:
        files = body["files"] if isinstance(body["files"], list) else json.loads(body["files"])
        if any(file["id"] not in self.uploads for file in files):
            return {"error": "file_not_found"}
        return {"files": files}


async def _body(request: web.Request) -> dict[str, Any]:
    """What a call was made with. The client sends an empty body with a JSON content type for none."""
    if request.content_type == "application/json":
        text = await request.text()
        return dict(json.loads(text)) if text.strip() else {}
    return {name: str(value) for name, value in (await request.post()).items()}

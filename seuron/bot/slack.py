"""The bot in Slack, through Socket Mode: it calls Slack, so nothing of the deployment need be reached from outside.

It answers mentions, and direct messages. Each message has a thread of its own in this process, as some take hours.
Slack sends an event again when it has not heard at once that it came; the second one is not obeyed.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError
from urllib.parse import urlsplit

import httpx
from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_bolt.error import BoltError
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import ConnectionErrorRetryHandler, RateLimitErrorRetryHandler

from seuron.bot.conversation import Conversation, Message
from seuron.bot.saying import LARGEST_FILE, Attachment
from seuron.bot.slack_text import plain
from seuron.bot.slack_thread import EDIT_SECONDS, Thread
from seuron.commands import Answer, answer_of
from seuron.errors import ParameterErrors, RefusedError, SeuronError, UnreachableError
from seuron.redaction import redacted

log = logging.getLogger(__name__)

SLACK = "https://slack.com/api/"
#: Environment variables of the tokens; with `_FILE` behind them, of files that hold them.
BOT_TOKEN, APP_TOKEN = "SLACK_BOT_TOKEN", "SLACK_APP_TOKEN"
#: Answers of 429 that one call waits through, each for as long as Slack says.
PATIENCE = 20
#: Messages that are remembered, to know those that come again: Slack tries for an hour.
REMEMBERED = 5000


class BotStoppedError(SeuronError):
    """The bot ends while a command is at work."""


@dataclass(frozen=True)
class SlackTokens:
    """The bot's token (`xoxb-`) and the app's (`xapp-`); neither is ever shown."""

    bot: str = field(repr=False)
    app: str = field(repr=False)


def slack_tokens(environment: Mapping[str, str] = os.environ) -> SlackTokens:
    """The tokens from the environment or from files that it names; raises ParameterErrors with all that is missing."""
    problems: list[str] = []
    found = [_token(name, start, environment, problems) for name, start in ((BOT_TOKEN, "xoxb-"), (APP_TOKEN, "xapp-"))]
    if problems:
        raise ParameterErrors(problems, "Slack's tokens")
    return SlackTokens(*found)


def _token(name: str, start: str, environment: Mapping[str, str], problems: list[str]) -> str:
    value, file = environment.get(name, ""), environment.get(f"{name}_FILE", "")
    if file:
        try:
            value = Path(file).read_text()
        except OSError as error:
            problems.append(f"{name}_FILE: cannot read {file}: {error.strerror}")
            return ""
    if not value.strip().startswith(start):
        got = "something else" if value.strip() else "nothing"
        problems.append(f"{name}: got {got}; give the token that begins with {start} in it, or its file in {name}_FILE")
    return value.strip()


class _Seen:
    """The last messages, to tell those that come again."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._lock = threading.Lock()

    def is_new(self, channel: str, ts: str) -> bool:
        """Whether this message has not come before."""
        with self._lock:
            if (channel, ts) in self._seen:
                return False
            self._seen[channel, ts] = None
            while len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
            return True


class SlackBot:
    """The bot of one workspace. `base_url` is that of Slack's Web API."""

    def __init__(
        self,
        conversation: Conversation,
        tokens: SlackTokens,
        *,
        base_url: str = SLACK,
        edit_seconds: float = EDIT_SECONDS,
        ping_seconds: float = 10.0,
    ) -> None:
        self.conversation = conversation
        self._tokens, self._base_url, self._edit_seconds = tokens, base_url, edit_seconds
        self._client = _client(tokens.bot, base_url)
        self._seen, self._names = _Seen(), dict[str, str]()
        self._stopping = threading.Event()
        self._at_work: set[threading.Thread] = set()
        try:
            app = App(client=self._client, logger=log)
            self.user = str(self._client.auth_test()["user_id"])
        except (BoltError, SlackApiError) as error:
            raise RefusedError(
                f"Slack does not take {BOT_TOKEN}: {self._clean(str(error))}; install the app anew"
            ) from None
        except (URLError, OSError) as error:
            raise UnreachableError(f"Slack does not answer at {base_url}: {error}") from error
        app.event("app_mention")(self._heard)
        app.event("message")(self._heard)
        self._handler = SocketModeHandler(
            app, tokens.app, web_client=_client(tokens.app, base_url), ping_interval=ping_seconds
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Connect, and answer from then on; a connection that is lost is made anew."""
        try:
            self._handler.connect()  # type: ignore[no-untyped-call]
        except SlackApiError as error:
            reason = self._clean(str(error.response.get("error")))
            raise RefusedError(f"Slack does not take {APP_TOKEN}: {reason}; it needs `connections:write`") from None

    def stop(self, seconds: float = 10.0) -> None:
        """Say goodbye to those who wait, and disconnect. Runs go on without the bot."""
        self._stopping.set()
        for thread in list(self._at_work):
            thread.join(seconds)
        self._handler.close()  # type: ignore[no-untyped-call]

    def _heard(self, event: dict[str, Any]) -> None:
        """Take an event of Slack's; what is no message of a person to the bot is left."""
        direct = event.get("channel_type") == "im"
        if event.get("type") == "message" and (not direct or event.get("subtype") not in (None, "file_share")):
            return
        if not event.get("user") or event.get("bot_id") or event["user"] == self.user:
            return
        if not self._seen.is_new(event["channel"], event["ts"]):
            return
        # A daemon: who waits for a run must not keep a stopped bot from ending.
        thread = threading.Thread(target=self._work, args=(event,), name=f"message {event['ts']}", daemon=True)
        self._at_work.add(thread)
        thread.start()

    def _work(self, event: Mapping[str, Any]) -> None:
        """Answer one message. An error that is not the user's ends this thread, and the user is told."""
        place = event.get("thread_ts") or event["ts"]
        thread = Thread(self._client, event["channel"], place, clean=self._clean, edit_seconds=self._edit_seconds)
        answered = False
        try:
            with tempfile.TemporaryDirectory(prefix="seuron-bot-") as folder:
                thread.finish(self._answer(event, thread, Path(folder)), event["user"])
            answered = True
        except SlackApiError as error:
            answered = True
            log.error("Slack refused an answer: %s", self._clean(str(error.response.get("error"))))
        finally:
            if not answered:
                thread.finish(Answer("This is a fault of mine, not of yours; the reason is in my log."), event["user"])
            self._at_work.discard(threading.current_thread())

    def _answer(self, event: Mapping[str, Any], thread: Thread, pictures: Path) -> Answer:
        def progress(answer: Answer) -> None:
            if self._stopping.is_set():
                raise BotStoppedError("I am being stopped. What was started goes on; ask `status` when I am back")
            thread.progress(answer)

        try:
            attached = [self._file(file) for file in event.get("files") or ()]
            text = plain(str(event.get("text") or ""), self.user)
            name = self._name(event["user"])
            message = Message(text, event["user"], event["channel"], name, attached)
            return self.conversation.answer(message, progress, pictures)
        except SeuronError as error:
            return answer_of(error)

    def _name(self, user: str) -> str:
        """What people call a user; the id where Slack does not say it."""
        if user not in self._names:
            try:
                found = self._client.users_info(user=user)["user"]
            except SlackApiError as error:
                log.warning("Slack does not say who %s is: %s", user, error.response.get("error"))
                return user
            self._names[user] = str(found.get("real_name") or found.get("name") or user)
        return self._names[user]

    def _file(self, file: Mapping[str, Any]) -> Attachment:
        """The content of a file; the token goes to Slack's own servers only."""
        name, url = str(file.get("name") or "the file"), str(file.get("url_private_download") or "")
        if int(file.get("size") or 0) > LARGEST_FILE:
            raise ParameterErrors([f"{name} has {file['size']} bytes; at most {LARGEST_FILE}"], "the message")
        if not _is_slacks(url, self._base_url):
            raise ParameterErrors([f"{name} is not kept by Slack; upload it, or write its JSON"], "the message")
        try:
            answer = httpx.get(url, headers={"Authorization": f"Bearer {self._tokens.bot}"}, timeout=30)
        except httpx.HTTPError as error:
            raise UnreachableError(f"Slack does not give {name}: {self._clean(str(error))}; send it again") from error
        if answer.status_code != 200:
            raise UnreachableError(
                f"Slack does not give {name} ({answer.status_code}): does the app have `files:read`?"
            )
        return Attachment(name, answer.content)

    def _clean(self, text: str) -> str:
        return redacted(text, (self._tokens.bot, self._tokens.app))


def _client(token: str, base_url: str) -> WebClient:
    """A client that waits where Slack says that it is asked too often."""
    handlers = [ConnectionErrorRetryHandler(max_retry_count=2), RateLimitErrorRetryHandler(max_retry_count=PATIENCE)]
    return WebClient(token, base_url=base_url, retry_handlers=handlers)


def _is_slacks(url: str, base_url: str) -> bool:
    found, api = urlsplit(url), urlsplit(base_url)
    host = found.hostname or ""
    if (found.scheme, found.netloc) == (api.scheme, api.netloc):
        return True
    return found.scheme == "https" and (host == "slack.com" or host.endswith(".slack.com"))

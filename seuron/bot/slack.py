"""The bot in Slack, through Socket Mode: it calls Slack, so nothing of the deployment need be reached from outside.

It answers mentions, and direct messages. Each message has a thread of its own in this process, as some take hours.
Slack sends an event again when it is not acknowledged at once; the second one is ignored.
Runs that are followed are stored (subscriptions.py), and a bot that is started again continues with them.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
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

from seuron.bot.conversation import Conversation, Follow, Message, Progress
from seuron.bot.message_parser import LARGEST_FILE, Attachment
from seuron.bot.slack_thread import EDIT_SECONDS, Thread
from seuron.bot.subscriptions import Subscription, Subscriptions
from seuron.commands import Answer, FollowedRun, answer_of
from seuron.errors import ParameterErrors, RefusedError, SeuronError, UnreachableError
from seuron.notifications.slack_text import plain
from seuron.redaction import redacted

log = logging.getLogger(__name__)

SLACK = "https://slack.com/api/"
#: Environment variables of the tokens; with `_FILE` behind them, of files that hold them.
BOT_TOKEN, APP_TOKEN = "SLACK_BOT_TOKEN", "SLACK_APP_TOKEN"
#: Answers of 429 that one call waits through, each for as long as Slack says.
PATIENCE = 20
#: Messages that are remembered, to recognise those that come again: Slack retries for an hour.
REMEMBERED = 5000
#: Seconds between checks whether another bot has ended, and whether a deployment answers again.
POLL_SECONDS = 5.0
_GOES_ON = "I am being stopped. The run continues, and I follow it again when I am back."
_ASK = "I am being stopped. What was started continues; ask `status` when I am back"
_ENDS = "I am being stopped, and what you asked for ends with me; ask again when I am back."


class BotStoppedError(Exception):
    """The bot ends while a command is running; none of seuron's own errors, which commands may catch."""


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


class _SeenMessages:
    """The last messages, to recognise those that come again."""

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


#: What is done for a message, with callbacks for progress and followed runs, and the folder for pictures.
Work = Callable[[Progress, Follow, Path], Answer]


@dataclass
class _Job:
    """A message that is being answered: where the answer goes, the run that is followed, and whether it has ended."""

    channel: str
    asked: str
    user: str
    thread: Thread
    subscription: Subscription | None = None
    ended: bool = False


class SlackBot:
    """The bot of one workspace. `base_url` is that of Slack's Web API; `subscriptions` outlive the bot."""

    def __init__(
        self,
        conversation: Conversation,
        tokens: SlackTokens,
        *,
        subscriptions: Subscriptions | None = None,
        base_url: str = SLACK,
        edit_seconds: float = EDIT_SECONDS,
        ping_seconds: float = 10.0,
    ) -> None:
        self.conversation = conversation
        self.subscriptions = subscriptions or Subscriptions()
        self._tokens, self._base_url, self._edit_seconds = tokens, base_url, edit_seconds
        self._client = _client(tokens.bot, base_url)
        self._seen, self._names = _SeenMessages(), dict[str, str]()
        self._stopping = threading.Event()
        self._jobs: dict[threading.Thread, _Job] = {}
        try:
            app = App(client=self._client, logger=log)
            self.user = str(self._client.auth_test()["user_id"])
        except (BoltError, SlackApiError) as error:
            raise RefusedError(
                f"Slack does not take {BOT_TOKEN}: {self._clean(str(error))}; install the app again"
            ) from None
        except (URLError, OSError) as error:
            raise UnreachableError(f"Slack does not answer at {base_url}: {error}") from error
        app.event("app_mention")(self._on_event)
        app.event("message")(self._on_event)
        self._handler = SocketModeHandler(
            app, tokens.app, web_client=_client(tokens.app, base_url), ping_interval=ping_seconds
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Connect, and answer from then on; a lost connection is made again. Continue with the subscriptions."""
        left = self._adopt()
        try:
            self._handler.connect()  # type: ignore[no-untyped-call]
        except SlackApiError as error:
            reason = self._clean(str(error.response.get("error")))
            raise RefusedError(f"Slack does not take {APP_TOKEN}: {reason}; it needs `connections:write`") from None
        if left is None:
            threading.Thread(target=self._adopt_later, name="followed before", daemon=True).start()
        else:
            self._resume(left)

    def stop(self, seconds: float = 10.0) -> None:
        """Answer those who wait, and disconnect. Runs go on without the bot."""
        self._stopping.set()
        deadline = time.monotonic() + seconds
        for thread in list(self._jobs):
            thread.join(max(0.0, deadline - time.monotonic()))
        for job in list(self._jobs.values()):
            self._answer_interrupted(job)
        self.subscriptions.close()
        self._disconnect()

    def _disconnect(self) -> None:
        client = self._handler.client
        client.auto_reconnect_enabled = False
        session = client.current_session
        # The library waits up to 3 s for the next message before it closes; a socket that is shut down has none.
        if session is not None and session.sock is not None:
            with suppress(OSError):  # it is closed already
                session.sock.shutdown(socket.SHUT_RDWR)
        self._handler.close()  # type: ignore[no-untyped-call]

    def _answer_interrupted(self, job: _Job) -> None:
        """Answer who waits for work of this very process, which no other one can continue."""
        if job.subscription is not None and self.subscriptions.kept:
            return
        job.ended = True
        try:
            job.thread.finish(Answer(_ENDS), job.user)
        except (SlackApiError, OSError) as error:
            log.error("Slack did not take the last answer: %s", self._clean(str(error)))

    def _adopt(self) -> list[Subscription] | None:
        """What an earlier bot followed; None while that one is still running.

        The messages that asked for it count as seen: Slack may send one again that the earlier bot did not confirm.
        """
        try:
            found = self.subscriptions.adopt(self.conversation.deployment.given_url or "")
        except OSError as error:
            log.error("What an earlier bot followed cannot be read: %s", error)
            return []
        for subscription in found or ():
            self._seen.is_new(subscription.channel, subscription.asked)
        return found

    def _adopt_later(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            left = self._adopt()
            if left is not None:
                self._resume(left)
                return

    def _resume(self, left: list[Subscription]) -> None:
        for subscription in left:
            self._begin(self._job(subscription), self._resuming(subscription))

    def _job(self, subscription: Subscription) -> _Job:
        thread = self._thread(subscription.channel, subscription.thread, subscription.message)
        return _Job(subscription.channel, subscription.asked, subscription.user, thread, subscription)

    def _resuming(self, subscription: Subscription) -> Work:
        def work(progress: Progress, follow: Follow, pictures: Path) -> Answer:
            while not self.conversation.reaches(subscription.run):
                if self._stopping.wait(POLL_SECONDS):
                    raise BotStoppedError
            message = Message("", subscription.user, subscription.channel, subscription.name)
            return self.conversation.resume(message, subscription.run, progress, pictures, follow)

        return work

    def _thread(self, channel: str, ts: str, message: str = "") -> Thread:
        return Thread(self._client, channel, ts, clean=self._clean, edit_seconds=self._edit_seconds, message=message)

    def _on_event(self, event: dict[str, Any]) -> None:
        """Handle an event of Slack's; what is no message of a person to the bot is ignored."""
        direct = event.get("channel_type") == "im"
        if event.get("type") == "message" and (not direct or event.get("subtype") not in (None, "file_share")):
            return
        if not event.get("user") or event.get("bot_id") or event["user"] == self.user:
            return
        if not self._seen.is_new(event["channel"], event["ts"]):
            return
        thread = self._thread(event["channel"], event.get("thread_ts") or event["ts"])
        self._begin(_Job(event["channel"], event["ts"], event["user"], thread), self._answering(event))

    def _answering(self, event: Mapping[str, Any]) -> Work:
        def work(progress: Progress, follow: Follow, pictures: Path) -> Answer:
            try:
                attached = [self._file(file) for file in event.get("files") or ()]
            except SeuronError as error:
                return answer_of(error)
            text = plain(str(event.get("text") or ""), self.user)
            message = Message(text, event["user"], event["channel"], self._name(event["user"]), attached)
            return self.conversation.answer(message, progress, pictures, follow)

        return work

    def _begin(self, job: _Job, work: Work) -> None:
        # A daemon: a thread that waits for a run must not keep a stopped bot from ending.
        thread = threading.Thread(target=self._do, args=(job, work), name=f"message {job.asked}", daemon=True)
        self._jobs[thread] = job
        thread.start()

    def _do(self, job: _Job, work: Work) -> None:
        """Answer one message. An error that is not the user's ends this thread, after an answer that says so."""
        answered = False
        try:
            with tempfile.TemporaryDirectory(prefix="seuron-bot-") as folder:
                answer = self._done(job, work, Path(folder))
                if answer is not None and not job.ended:
                    job.thread.finish(answer, job.user)
                    self._forget(job)  # now, so that it is not answered again if something fails below
                    job.thread.attach(answer)
            answered = True
        except SlackApiError as error:
            self._forget(job)
            answered = True
            log.error("Slack refused an answer: %s", self._clean(str(error.response.get("error"))))
        finally:
            if not answered:
                fault = Answer("This is a fault of mine, not of yours; the reason is in my log.")
                job.thread.finish(fault, job.user)
                self._forget(job)
            self._jobs.pop(threading.current_thread(), None)

    def _done(self, job: _Job, work: Work, pictures: Path) -> Answer | None:
        """The answer of a job; None where the bot is stopped and the next one continues with it."""

        def progress(answer: Answer) -> None:
            if self._stopping.is_set():
                raise BotStoppedError
            job.thread.progress(answer)

        def follow(run: FollowedRun) -> None:
            self._follow(job, run)

        try:
            return work(progress, follow, pictures)
        except BotStoppedError:
            if job.subscription is None or not self.subscriptions.kept:
                return Answer(_ASK)
            job.thread.interrupt(_GOES_ON)
            return None

    def _follow(self, job: _Job, run: FollowedRun) -> None:
        """Store which run is followed from now on; where that fails, it is followed all the same."""
        address = self.conversation.deployment.given_url or ""
        name = self._names.get(job.user) or (job.subscription.name if job.subscription is not None else "")
        thread = job.thread
        subscription = Subscription(job.channel, job.asked, thread.ts, thread.message, job.user, name, run, address)
        try:
            self.subscriptions.keep(subscription)
            job.subscription = subscription
        except OSError as error:
            log.error("That %s is followed cannot be stored: %s", run.output, error)

    def _forget(self, job: _Job) -> None:
        if job.subscription is not None:
            self.subscriptions.drop(job.subscription)

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
    """A client that waits where Slack's rate limit says so."""
    handlers = [ConnectionErrorRetryHandler(max_retry_count=2), RateLimitErrorRetryHandler(max_retry_count=PATIENCE)]
    return WebClient(token, base_url=base_url, retry_handlers=handlers)


def _is_slacks(url: str, base_url: str) -> bool:
    found, api = urlsplit(url), urlsplit(base_url)
    host = found.hostname or ""
    if (found.scheme, found.netloc) == (api.scheme, api.netloc):
        return True
    return found.scheme == "https" and (host == "slack.com" or host.endswith(".slack.com"))

"""One answer in Slack: a message in a thread that is edited while the command runs, and a last one with the answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from seuron.commands import Answer
from seuron.notifications.slack_text import cut, escaped, links_line
from seuron.printable import printable

log = logging.getLogger(__name__)

#: Slack allows some fifty edits a minute in all of a workspace's channels together.
EDIT_SECONDS = 3.0


class Thread:
    """What the bot writes below one message of a user. `clean` removes secrets from all of it.

    `message` is the one that is edited, where an earlier process has written it.
    """

    def __init__(
        self,
        client: WebClient,
        channel: str,
        ts: str,
        *,
        clean: Callable[[str], str],
        edit_seconds: float = EDIT_SECONDS,
        message: str = "",
    ) -> None:
        self._client, self._channel, self._ts = client, channel, ts
        self._clean = clean
        self._edit_seconds = edit_seconds
        self._message = message
        self._written, self._shown, self._waiting = 0.0, "", ""

    @property
    def ts(self) -> str:
        """The message below which all of it is written."""
        return self._ts

    @property
    def message(self) -> str:
        """The message that is edited while the command runs; empty while there is none."""
        return self._message

    def progress(self, answer: Answer) -> None:
        """Show the progress. There is at most one edit in `edit_seconds`, with the last text."""
        self._waiting = self._text(answer)
        if not self._message:
            self._message = self._post(self._waiting)
        elif self._waiting == self._shown or time.monotonic() - self._written < self._edit_seconds:
            return
        else:
            self._edit()
        self._written, self._shown = time.monotonic(), self._waiting

    def interrupt(self, words: str) -> None:
        """Add to what was shown last that it is interrupted for now."""
        if not self._shown:
            return
        self._waiting = cut(f"{self._shown}\n{escaped(words)}")
        self._edit()

    def finish(self, answer: Answer, user: str) -> None:
        """Write the answer. Who asked is mentioned where it took a while: edits alone notify nobody."""
        if self._message and self._waiting != self._shown:
            self._edit()
        text = self._text(answer)
        self._post(f"<@{user}> {text}" if self._message else text)

    def attach(self, answer: Answer) -> None:
        """Add what is no text: pictures, and the whole of an answer that is too long for a message."""
        whole = printable(self._clean(answer.text))
        uploads = [{"file": str(picture), "title": picture.stem} for picture in answer.pictures]
        if len(escaped(whole)) > len(cut(escaped(whole))):
            uploads.append({"content": whole, "filename": "answer.txt", "title": "the whole answer"})
        if uploads:
            self._client.files_upload_v2(file_uploads=uploads, channel=self._channel, thread_ts=self._ts)

    def _text(self, answer: Answer) -> str:
        text = cut(escaped(self._clean(answer.text)))
        links = {name: url for name, url in answer.links.items() if url not in answer.text}
        return "\n".join(filter(None, [text, self._clean(links_line(links))])) or "done"

    def _post(self, text: str) -> str:
        posted = self._client.chat_postMessage(
            channel=self._channel, thread_ts=self._ts, text=text, unfurl_links=False, unfurl_media=False
        )
        return str(posted["ts"])

    def _edit(self) -> None:
        """An edit that Slack refuses, or does not get, must not end the command that it is about."""
        try:
            self._client.chat_update(channel=self._channel, ts=self._message, text=self._waiting)
        except SlackApiError as error:
            log.warning("Slack refused an edit: %s", error.response.get("error"))
        except OSError as error:
            log.warning("Slack did not get an edit: %s", error)

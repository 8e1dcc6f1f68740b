"""The same conversation in a notebook: `seuron.chat("status")` in a cell."""

from __future__ import annotations

import base64
import getpass
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from seuron.bot.conversation import Conversation, Message
from seuron.bot.message_parser import Attachment
from seuron.bot.terminal import EVERYTHING
from seuron.client import DeploymentClient, connect
from seuron.commands import Answer
from seuron.commands.formatting import plain_text
from seuron.printable import printable

CHANNEL = "notebook"


@dataclass(frozen=True)
class Reply:
    """An answer that a notebook shows as Markdown, with its pictures; `data` is the same for programs."""

    answer: Answer
    pictures: tuple[bytes, ...] = ()

    @property
    def data(self) -> Any:
        return self.answer.data

    def __repr__(self) -> str:
        return printable(plain_text(self.answer))

    def _repr_markdown_(self) -> str:
        return markdown(self.answer, self.pictures)


def chat(text: str, values: Mapping[str, Any] | None = None, *, deployment: DeploymentClient | None = None) -> Reply:
    """Say something to the bot, and get its answer; `values` are parameters, as a file attached to a message is.

    What `params set` keeps lasts as long as the notebook's kernel. Progress is shown in the cell.
    """
    import json

    user = getpass.getuser()
    attached = [] if values is None else [Attachment("values", json.dumps(dict(values)).encode())]
    message = Message(text, user, CHANNEL, user, attached)
    with tempfile.TemporaryDirectory(prefix="seuron-chat-") as folder:
        answer = _conversation(deployment).answer(message, _cell_progress(), Path(folder))
        return Reply(answer, tuple(picture.read_bytes() for picture in answer.pictures))


@lru_cache(maxsize=8)
def _conversation(deployment: DeploymentClient | None) -> Conversation:
    return Conversation(deployment or connect(), EVERYTHING)


def markdown(answer: Answer, pictures: tuple[bytes, ...] = ()) -> str:
    """An answer as Markdown. What it says comes from data too, so it is shown as text and not as markup."""
    lines, fenced = [], False
    for line in printable(answer.text).splitlines():
        fenced = fenced != (line.strip() == "```")
        lines.append(line if fenced or line.strip() == "```" else _literal(line) + "  ")
    links = [
        f"[{_literal(name)}](<{url}>)"
        if url.startswith(("http://", "https://")) and ">" not in url
        else f"{_literal(name)}: {_literal(url)}"
        for name, url in answer.links.items()
    ]
    shown = [f"![](data:image/png;base64,{base64.b64encode(picture).decode()})" for picture in pictures]
    return "\n".join([*lines, *(["", " · ".join(links)] if links else []), *shown])


def _literal(text: str) -> str:
    """Text in which Markdown and HTML read nothing."""
    escaped = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for sign in "\\`*_[]#|!":
        escaped = escaped.replace(sign, f"\\{sign}")
    return escaped


def _cell_progress() -> Callable[[Answer], None] | None:
    """Shows answers on the way in one place of the cell's output; nothing where no notebook is."""
    if "IPython" not in sys.modules:
        return None
    import IPython.display as notebook  # there is a notebook, so it is installed

    place: Any = None

    def show(answer: Answer) -> None:
        nonlocal place
        words = {"text/markdown": markdown(answer), "text/plain": plain_text(answer)}
        if place is None:
            place = notebook.display(words, raw=True, display_id=True)  # type: ignore[no-untyped-call,unused-ignore]
        else:
            place.update(words, raw=True)

    return show

"""The chat: a conversation in the terminal, and the bot in Slack."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from seuron.cli.output import echo
from seuron.cli.shell_commands import connection

PROMPT = "seuron> "


def chat(
    context: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(help="one message; without any, a line each is read")] = None,
) -> None:
    """Talk to the bot here: the same words as in Slack. `@FILE` attaches a file of parameters.

    Without words it reads lines, from the keyboard or a pipe. The exit code is that of the last answer that failed.
    """
    from rich.console import Console

    from seuron.bot.terminal import TerminalChat
    from seuron.cli.progress import TerminalProgress

    with TerminalProgress(Console(stderr=True)) as progress:
        talk = TerminalChat(connection(context), progress)
        lines = iter([" ".join(words)]) if words else _lines()
        code = talk.talk(lines, echo)
    if code:
        raise typer.Exit(code)


def _lines() -> Iterator[str]:
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    echo("`help` lists what I understand; `exit` leaves.", err=True)
    while True:
        try:
            yield input(PROMPT)
        except EOFError:
            return


def bot(
    context: typer.Context,
    permissions: Annotated[
        Path | None, typer.Option(help="who may do what; else $SEURON_BOT, or bot.toml in the state folder")
    ] = None,
) -> None:
    """Answer in Slack until it is stopped, and continue with what an earlier bot followed.

    Tokens come from $SLACK_BOT_TOKEN and $SLACK_APP_TOKEN, or files.
    """
    from seuron.bot import Conversation, read_permissions
    from seuron.bot.session_store import SessionStore
    from seuron.bot.slack import SlackBot, slack_tokens
    from seuron.bot.subscriptions import Subscriptions
    from seuron.deployment import Home
    from seuron.printable import PrintableFormatter

    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    folder = Home.default().folder / "bot"
    talk = Conversation(connection(context), read_permissions(permissions), SessionStore(folder))
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with SlackBot(talk, slack_tokens(), subscriptions=Subscriptions(folder / "subscriptions")) as made:
        echo(f"answering in Slack as {made.user}")
        ended.wait()

"""The conversation on the bot's page is what the bot says."""

from __future__ import annotations

from pathlib import Path

from seuron.bot.terminal import TerminalChat
from seuron.client import DeploymentClient
from seuron.commands.formatting import plain_text

PAGE = Path(__file__).parents[2] / "docs" / "chat.md"


def test_the_conversation_is_what_the_bot_says() -> None:
    """Who types what stands on the page reads what stands there."""
    written = PAGE.read_text().split("```\n> ", 1)[1].split("\n```", 1)[0]
    chat, said = TerminalChat(DeploymentClient("http://127.0.0.1:9")), []
    for part in f"> {written}".split("\n> "):
        line = part.removeprefix("> ").partition("\n")[0]
        said.append(f"{line}\n{plain_text(chat.answer(line))}")
    assert "\n> ".join(said) == written

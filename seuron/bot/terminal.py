"""The same conversation in a terminal: `seuron chat`, a line a message, or words from a pipe.

Who has a terminal on the deployment's machine has its commands as well, so everything is allowed here.
`@FILE` among the words attaches a file.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterable
from pathlib import Path

from seuron.bot.conversation import Conversation, Message
from seuron.bot.message_parser import Attachment
from seuron.bot.permissions import ALL, Permissions
from seuron.client import DeploymentClient
from seuron.commands import OK, Answer, answer_of
from seuron.commands.formatting import plain_text
from seuron.errors import ParameterErrors

CHANNEL = "terminal"
LEAVE = ("exit", "quit", "bye")
#: What may be done by whoever is logged in on the machine.
EVERYTHING = Permissions(everybody=tuple(sorted(ALL)))  # type: ignore[arg-type]


class TerminalChat:
    """One person's conversation; what `params set` keeps lasts as long as it does."""

    def __init__(self, deployment: DeploymentClient, on_progress: Callable[[Answer], None] | None = None) -> None:
        self._conversation = Conversation(deployment, EVERYTHING)
        self._on_progress = on_progress

    def answer(self, line: str, pictures: Path | None = None) -> Answer:
        """What the bot says to a line."""
        user = getpass.getuser()
        try:
            text, attached = attachments(line)
        except ParameterErrors as error:
            return answer_of(error)
        return self._conversation.answer(Message(text, user, CHANNEL, user, attached), self._on_progress, pictures)

    def talk(self, lines: Iterable[str], write: Callable[[str], None]) -> int:
        """Answer lines until there is none or one says goodbye; the exit code of the last answer that failed."""
        code = OK
        for line in lines:
            if line.strip().lower() in LEAVE:
                break
            if line.strip():
                answer = self.answer(line)
                write(plain_text(answer))
                code = answer.code or code
        return code


def attachments(line: str) -> tuple[str, list[Attachment]]:
    """A line without its `@FILE` words, and the files; raises ParameterErrors for those that cannot be read."""
    words, files, problems = [], list[Attachment](), list[str]()
    for word in line.strip().split(" "):
        if not word.startswith("@") or len(word) == 1:
            words.append(word)
            continue
        path = Path(word[1:]).expanduser()
        try:
            files.append(Attachment(path.name, path.read_bytes()))
        except OSError as error:
            problems.append(f"cannot read {path}: {error.strerror}")
    if problems:
        raise ParameterErrors(problems, "the message")
    return " ".join(words), files

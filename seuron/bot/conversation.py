"""A message in, an answer out: a thin layer over the registry of commands, wherever people speak.

A front end gives a `Message` and a function that shows how far a long command is; each call of it takes the place
of the one before. Words, did-you-mean, permissions and answers are the registry's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seuron.bot.permissions import Permissions
from seuron.bot.saying import Attachment, said
from seuron.bot.sessions import Sessions
from seuron.client import Deployment
from seuron.commands import Answer, Session, answer_of, find, obey
from seuron.commands.closing import close_run, follows_a_run
from seuron.errors import SeuronError

Progress = Callable[[Answer], None]
#: Commands that follow a run to its end; it then gets its closing words.
_FOLLOWS = ("run ", "continue", "redo")


@dataclass(frozen=True)
class Message:
    """What somebody said. `user` and `channel` are ids, `name` is what people call the user."""

    text: str
    user: str
    channel: str
    name: str = ""
    attached: Sequence[Attachment] = ()


class Conversation:
    """The bot for one deployment. Messages may come from several threads at once."""

    def __init__(self, deployment: Deployment, permissions: Permissions, sessions: Sessions | None = None) -> None:
        self.deployment = deployment
        self.permissions = permissions
        self.sessions = sessions or Sessions()

    def answer(self, message: Message, on_progress: Progress | None = None, pictures: Path | None = None) -> Answer:
        """Do what a message says. Pictures are written into `pictures`; without a folder there are none."""
        before = self.sessions.parameters(message.user, message.channel)
        session = Session(
            self.deployment,
            message.name or message.user,
            parameters=dict(before),
            on_progress=on_progress,
            pictures=pictures,
            may=self.permissions.of(message.user, message.channel),
        )
        try:
            return self._obeyed(session, message)
        except SeuronError as error:
            return answer_of(error)
        finally:
            self.sessions.change(message.user, message.channel, before, session.parameters)

    def _obeyed(self, session: Session, message: Message) -> Answer:
        heard = said(message.text, message.attached)
        words = list(heard.words) or ["help"]
        made, _ = find(words)
        answer = obey(session, words, heard.values if heard.batch is None else heard.batch)
        if made.name.startswith(_FOLLOWS) and follows_a_run(answer.data):
            return close_run(session, answer)
        return answer

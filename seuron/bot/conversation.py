"""A message in, an answer out: a thin layer over the registry of commands, wherever people speak.

A front end gives a `Message` and a function that shows how far a long command is; each call of it takes the place
of the one before. Words, did-you-mean, permissions and answers are the registry's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seuron.bot.permissions import Permissions
from seuron.bot.saying import Attachment, said
from seuron.bot.sessions import Sessions
from seuron.client import Deployment
from seuron.commands import Answer, Followed, Session, answer_of, find, obey
from seuron.commands.closing import close_run, follows_a_run
from seuron.commands.runs import take_up
from seuron.errors import SeuronError, UnreachableError

Progress = Callable[[Answer], None]
Follow = Callable[[Followed], None]
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

    def answer(
        self,
        message: Message,
        on_progress: Progress | None = None,
        pictures: Path | None = None,
        on_follow: Follow | None = None,
    ) -> Answer:
        """Do what a message says. Pictures are written into `pictures`; without a folder there are none.

        `on_follow` hears of runs that are followed, for `take_up`.
        """
        session = self._session(message, on_progress, pictures)
        before = dict(session.parameters)
        try:
            return self._obeyed(session, message, on_follow)
        except SeuronError as error:
            return answer_of(error)
        finally:
            self.sessions.change(message.user, message.channel, before, session.parameters)

    def take_up(
        self,
        message: Message,
        followed: Followed,
        on_progress: Progress | None = None,
        pictures: Path | None = None,
        on_follow: Follow | None = None,
    ) -> Answer:
        """Go on with a run that an earlier process followed for a message; its words are not needed any more."""
        session = self._session(message, on_progress, pictures)
        session.on_follow = on_follow
        try:
            return take_up(session, followed)
        except SeuronError as error:
            return answer_of(error)

    def reaches(self, followed: Followed) -> bool:
        """Whether the deployment answers when it is asked for a run."""
        try:
            self.deployment.client.run_state(followed.dag, followed.id)
        except UnreachableError:
            return False
        except SeuronError:
            return True  # it does not know the run: that is an answer
        return True

    def _session(self, message: Message, on_progress: Progress | None, pictures: Path | None) -> Session:
        return Session(
            self.deployment,
            message.name or message.user,
            parameters=self.sessions.parameters(message.user, message.channel),
            on_progress=on_progress,
            pictures=pictures,
            may=self.permissions.of(message.user, message.channel),
        )

    def _obeyed(self, session: Session, message: Message, on_follow: Follow | None) -> Answer:
        heard = said(message.text, message.attached)
        words = list(heard.words) or ["help"]
        made, _ = find(words)
        closes = made.name.startswith(_FOLLOWS)
        if on_follow is not None:
            session.on_follow = lambda followed: on_follow(replace(followed, closes=closes))
        answer = obey(session, words, heard.values if heard.batch is None else heard.batch)
        if closes and follows_a_run(answer.data):
            return close_run(session, answer)
        return answer

"""A message in, an answer out: a thin layer over the registry of commands, for every chat.

A front end gives a `Message` and a function that shows the progress of a long command; each call of it replaces
the one before. Words, did-you-mean, permissions and answers are the registry's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seuron.bot.message_parser import Attachment, parse_message
from seuron.bot.permissions import Permissions
from seuron.bot.session_store import SessionStore
from seuron.client import DeploymentClient
from seuron.commands import Answer, FollowedRun, Session, answer_of, execute, find
from seuron.commands.runs import resume_following
from seuron.commands.summary import with_summary
from seuron.errors import SeuronError, UnreachableError

Progress = Callable[[Answer], None]
Follow = Callable[[FollowedRun], None]
#: Commands that follow a run to its end; the answer is then its summary.
_FOLLOWS = ("run ", "continue", "redo")


@dataclass(frozen=True)
class Message:
    """What somebody wrote. `user` and `channel` are ids, `name` is what people call the user."""

    text: str
    user: str
    channel: str
    name: str = ""
    attached: Sequence[Attachment] = ()


class Conversation:
    """The bot for one deployment. Messages may come from several threads at once."""

    def __init__(
        self, deployment: DeploymentClient, permissions: Permissions, sessions: SessionStore | None = None
    ) -> None:
        self.deployment = deployment
        self.permissions = permissions
        self.sessions = sessions or SessionStore()

    def answer(
        self,
        message: Message,
        on_progress: Progress | None = None,
        pictures: Path | None = None,
        on_follow: Follow | None = None,
    ) -> Answer:
        """Execute what a message asks for. Pictures are written into `pictures`; without a folder there are none.

        `on_follow` gets the runs that are followed, for `resume`.
        """
        session = self._session(message, on_progress, pictures)
        before = dict(session.parameters)
        try:
            return self._execute(session, message, on_follow)
        except SeuronError as error:
            return answer_of(error)
        finally:
            self.sessions.change(message.user, message.channel, before, session.parameters)

    def resume(
        self,
        message: Message,
        followed: FollowedRun,
        on_progress: Progress | None = None,
        pictures: Path | None = None,
        on_follow: Follow | None = None,
    ) -> Answer:
        """Follow a run again that an earlier process followed for a message; its words are not needed any more."""
        session = self._session(message, on_progress, pictures)
        session.on_follow = on_follow
        try:
            return resume_following(session, followed)
        except SeuronError as error:
            return answer_of(error)

    def reaches(self, followed: FollowedRun) -> bool:
        """Whether the deployment answers a request for a run."""
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
            permissions=self.permissions.of(message.user, message.channel),
        )

    def _execute(self, session: Session, message: Message, on_follow: Follow | None) -> Answer:
        parsed = parse_message(message.text, message.attached)
        words = list(parsed.words) or ["help"]
        made, _ = find(words)
        closes = made.name.startswith(_FOLLOWS)
        if on_follow is not None:
            session.on_follow = lambda followed: on_follow(replace(followed, closes=closes))
        answer = execute(session, words, parsed.values if parsed.batch is None else parsed.batch)
        return with_summary(session, answer) if closes else answer

"""Answers and sessions: plain data between commands and front ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seuron.engine.states import RunState
from seuron.errors import NotFoundError, ParameterErrors, RefusedError, SeuronError, UnreachableError

if TYPE_CHECKING:
    from seuron.client import DeploymentClient, RunHandle

#: Exit codes of the command line; every answer has one.
OK, FAILED, BAD_PARAMETERS, CANCELLED, NOT_FOUND = 0, 1, 2, 3, 4
EXIT_CODES: dict[int, str] = {
    OK: "done; of a run that was waited for: it succeeded",
    FAILED: "a run failed, or the command did",
    BAD_PARAMETERS: "parameters or words were wrong; nothing was started",
    CANCELLED: "the run that was waited for was cancelled or paused by a person",
    NOT_FOUND: "nothing of that name, no deployment that answers, or it does not let this user do that",
}


@dataclass(frozen=True)
class Answer:
    """What a command has to say.

    `text` is for people: plain words, a table between lines of three backquotes. `data` is the same for programs,
    ready for JSON. `links` are pages by their name, `pictures` files on this machine, `code` an exit code.
    """

    text: str
    data: Any = None
    links: Mapping[str, str] = field(default_factory=dict)
    pictures: Sequence[Path] = ()
    code: int = OK

    @property
    def failed(self) -> bool:
        return self.code != OK


@dataclass(frozen=True)
class FollowedRun:
    """A run that a command follows to its end: its DAG, the id of its start, its folder; and its place in a batch.

    With `closes` it gets a summary at its end. In a batch `before` are the texts and exit codes of the answers for
    earlier runs, `later` the parameters of those that begin after it.
    """

    dag: str
    id: str
    output: str
    closes: bool = False
    before: tuple[tuple[str, int], ...] = ()
    later: tuple[dict[str, Any], ...] = ()


@dataclass
class Session:
    """Who asks, of which deployment, and where progress goes while the answer is made.

    `parameters` are the values that `params set` keeps for the next runs of whoever asks; a front end that
    lives for one command only has none. `is_local` says that paths and files are those of the user's machine;
    `pictures` is a folder that pictures are written to, and without one none are made. `permissions` are
    those of who asks (`seuron.commands.registry.Permission`). `on_follow` gets each run that is followed, so that
    another process can continue with it.
    """

    deployment: DeploymentClient
    who: str
    parameters: dict[str, Any] = field(default_factory=dict)
    on_progress: Callable[[Answer], None] | None = None
    on_follow: Callable[[FollowedRun], None] | None = None
    is_local: bool = False
    pictures: Path | None = None
    permissions: frozenset[str] = frozenset({"look", "run", "machines", "admin"})

    @property
    def may_run(self) -> bool:
        """Whether who asks has the right to run, and so may have folders and volumes opened."""
        return "run" in self.permissions

    def find(self, run: str) -> RunHandle:
        """The run of a name; folders that the deployment knows no run of are for those who may run."""
        return self.deployment.find(run, folders=self.may_run)

    def progress(self, answer: Answer) -> None:
        """Show the progress of a long command; each call replaces the one before it."""
        if self.on_progress is not None:
            self.on_progress(answer)

    def follows(self, followed: FollowedRun) -> None:
        """Report the run that is followed from now on, in place of the one before it."""
        if self.on_follow is not None:
            self.on_follow(followed)


def answer_of(error: SeuronError) -> Answer:
    """An error as an answer: its message, its problems one by one for programs, and its exit code."""
    data: dict[str, Any] = {"error": str(error), "kind": type(error).__name__}
    if isinstance(error, ParameterErrors):
        return Answer(str(error), data | {"problems": list(error.problems)}, code=BAD_PARAMETERS)
    return Answer(str(error), data, code=code_of(error))


def code_of(error: SeuronError) -> int:
    """The exit code of an error."""
    if isinstance(error, ParameterErrors):
        return BAD_PARAMETERS
    return NOT_FOUND if isinstance(error, (NotFoundError, UnreachableError, RefusedError)) else FAILED


def code_of_state(state: RunState) -> int:
    """The exit code of a run that was waited for."""
    if state in (RunState.CANCELLED, RunState.HELD):
        return CANCELLED
    return FAILED if state is RunState.FAILED else OK

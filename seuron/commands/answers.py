"""What a command answers, and in whose name it is asked: plain data between commands and front ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seuron.client import Deployment
from seuron.engine.states import RunState
from seuron.errors import NotFoundError, ParameterErrors, RefusedError, SeuronError, UnreachableError

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
class Followed:
    """A run that a command follows to its end: its DAG, the id of its start, its folder; and what is told around it.

    `closes` says that it is summed up at its end. In a batch `before` are the words and exit codes that earlier
    runs came to, `later` the parameters of those that begin after it.
    """

    dag: str
    id: str
    output: str
    closes: bool = False
    before: tuple[tuple[str, int], ...] = ()
    later: tuple[dict[str, Any], ...] = ()


@dataclass
class Session:
    """Who asks, of which deployment, and how the answer goes on while it is made.

    `parameters` are the values that `params set` keeps for the next runs of whoever asks; a front end that
    lives for one command only has none. `here` says that paths and files are those of the user's machine;
    `pictures` is a folder that pictures are written to, and without one none are made. `may` are the rights
    of who asks (`seuron.commands.registry.Permission`). `on_follow` hears of each run that is followed, so that
    another process can go on with it.
    """

    deployment: Deployment
    who: str
    parameters: dict[str, Any] = field(default_factory=dict)
    on_progress: Callable[[Answer], None] | None = None
    on_follow: Callable[[Followed], None] | None = None
    here: bool = False
    pictures: Path | None = None
    may: frozenset[str] = frozenset({"look", "run", "machines", "admin"})

    def progress(self, answer: Answer) -> None:
        """Show how far a long command is; each takes the place of the one before it."""
        if self.on_progress is not None:
            self.on_progress(answer)

    def follows(self, followed: Followed) -> None:
        """Say that a run is followed from now on, in place of the one before it."""
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

"""One registry of commands for every front end: the command line, the chat bot, notebooks.

A front end makes a `Session`, finds a `Command` by words, binds the other words to its parameters, calls it, and
shows the `Answer`:

    session = Session(seuron.connect(), who="ada")
    answer = execute(session, ["cancel", "first", "why=wrong threshold"])

`execute` turns what users may do wrong into answers too. Nothing here imports Airflow, a terminal or a chat library.
"""

from __future__ import annotations

from collections.abc import Sequence

from seuron.commands.answers import (
    BAD_PARAMETERS,
    CANCELLED,
    EXIT_CODES,
    FAILED,
    NOT_FOUND,
    OK,
    Answer,
    FollowedRun,
    Session,
    answer_of,
)
from seuron.commands.argument_parser import Attached, parse_arguments
from seuron.commands.registry import (
    Argument,
    Command,
    CommandParameter,
    Permission,
    UnknownCommandError,
    Values,
    call,
    command,
    command_named,
    commands,
    find,
    suggestions,
)
from seuron.errors import RefusedError, SeuronError

__all__ = [
    "BAD_PARAMETERS",
    "CANCELLED",
    "EXIT_CODES",
    "FAILED",
    "NOT_FOUND",
    "OK",
    "Answer",
    "Argument",
    "Attached",
    "Command",
    "CommandParameter",
    "FollowedRun",
    "Permission",
    "Session",
    "UnknownCommandError",
    "Values",
    "answer_of",
    "call",
    "command",
    "command_named",
    "commands",
    "execute",
    "find",
    "parse_arguments",
    "suggestions",
]


def execute(session: Session, words: Sequence[str], attached: Attached | None = None) -> Answer:
    """Find the command that words name, check that it is allowed, and run it.

    `attached` are parameters of a pipeline from a file, one set or a list of them. What seuron's own errors say
    is the answer; other exceptions are bugs and go through.
    """
    try:
        made, rest = find(words)
        if made.permission not in session.permissions:
            raise RefusedError(
                f"{session.who} may not give the command `{made.name}`: it takes the right to {made.permission!r}"
            )
        return call(made, session, parse_arguments(made, rest, attached))
    except SeuronError as error:
        return answer_of(error)

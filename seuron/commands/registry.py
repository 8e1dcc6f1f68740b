"""The registry: every command once, as a plain function with a typed signature.

    @command("cancel", aliases=("cancel run",), permission="run")
    def cancel(session: Session, run: Annotated[str, RUN], *, why: Annotated[str, Argument("...")] = "") -> Answer:
        \"\"\"What it does, in one line.\"\"\"

The command line makes its options out of the signature, and a bot its words. Parameters before the `*` are
given by their place, those behind it by name; one of type `Values` takes parameters of a pipeline.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from seuron.commands.answers import Answer
from seuron.errors import NotFoundError

#: The rights of users: look at things, make and end runs, change machines, run the deployment.
Permission = Literal["look", "run", "machines", "admin"]
#: The modules that hold commands, in the order in which help lists them.
MODULES = (
    "runs",
    "inspection",
    "plan",
    "history",
    "summary",
    "results",
    "proofreading",
    "garbage",
    "parameters",
    "machines",
    "datasets",
    "models",
    "general",
)

Function = TypeVar("Function", bound=Callable[..., Answer])


class Values(dict[str, Any]):
    """Parameters of a pipeline as they were given; the command puts a preset's and the session's below them.

    `batch` are several sets of them, as a file may hold: each is a run of its own, and the values given beside
    it are those of all.
    """

    def __init__(self, values: Mapping[str, Any] | None = None, batch: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(values or {})
        self.batch = tuple(batch)

    def with_values(self, values: Mapping[str, Any]) -> Values:
        """These, with others that go before them."""
        return Values({**self, **values}, self.batch)


@dataclass(frozen=True)
class Argument:
    """What front ends say of a parameter; one that is `local_only` makes no sense in a chat."""

    help: str
    metavar: str = ""
    local_only: bool = False


@dataclass(frozen=True)
class CommandParameter:
    """A parameter of a command. `kind` is its type without annotations, `default` None where required."""

    name: str
    kind: Any
    default: Any
    required: bool
    by_place: bool
    argument: Argument

    @property
    def takes_values(self) -> bool:
        return self.kind is Values

    @property
    def is_flag(self) -> bool:
        return self.kind is bool

    @property
    def is_list(self) -> bool:
        """Whether it may be given several times: a list of words."""
        return list[str] in (self.kind, *get_args(self.kind))


@dataclass(frozen=True)
class Command:
    """A command: its phrase, other phrases for it, who may give it, its group in help, and its function."""

    name: str
    aliases: tuple[str, ...]
    permission: Permission
    group: str
    function: Callable[..., Answer]

    @property
    def doc(self) -> str:
        return inspect.cleandoc(self.function.__doc__ or "")

    @property
    def summary(self) -> str:
        """The first sentence of what it does."""
        return " ".join(self.doc.partition("\n\n")[0].split())

    @cached_property
    def parameters(self) -> tuple[CommandParameter, ...]:
        hints = get_type_hints(self.function, include_extras=True)
        found = list(inspect.signature(self.function).parameters.values())[1:]
        return tuple(_parameter(parameter, hints[parameter.name]) for parameter in found)

    @property
    def takes_values(self) -> bool:
        return any(parameter.takes_values for parameter in self.parameters)

    @property
    def usage(self) -> str:
        """How it is written, such as `cancel RUN [why=...]`."""
        words = [self.name]
        for parameter in sorted(self.parameters, key=lambda found: not found.by_place):
            name = parameter.argument.metavar or parameter.name.upper()
            if parameter.argument.local_only:
                continue
            if parameter.takes_values:
                words.append("[preset=NAME] [KEY=VALUE]...")
            elif parameter.by_place:
                words.append(name if parameter.required else f"[{name}]")
            else:
                value = "=no" if parameter.default is True else "" if parameter.is_flag else "=..."
                words.append(f"[{parameter.name}{value}]")
        return " ".join(words)


_COMMANDS: dict[str, Command] = {}


def command(
    name: str, *, permission: Permission, aliases: Sequence[str] = (), group: str = ""
) -> Callable[[Function], Function]:
    """Register a function as the command of a phrase."""

    def register(function: Function) -> Function:
        add(Command(name, tuple(aliases), permission, group, function))
        return function

    return register


def add(made: Command) -> None:
    """Register a command; raises ValueError for a phrase that another one has."""
    for phrase in (made.name, *made.aliases):
        owner = phrases(loaded=True).get(phrase)
        if owner is not None:
            raise ValueError(f"the phrase {phrase!r} of {made.name!r} is that of {owner.name!r} already")
    _COMMANDS[made.name] = made


def commands() -> list[Command]:
    """All commands, in the order of their modules, whichever was imported first."""
    ranks = {import_module(f"seuron.commands.{module}").__name__: rank for rank, module in enumerate(MODULES)}
    return sorted(_COMMANDS.values(), key=lambda made: ranks.get(made.function.__module__, len(ranks)))


def phrases(*, loaded: bool = False) -> dict[str, Command]:
    """Every phrase with its command; `loaded` asks only for those that are registered by now."""
    found = list(_COMMANDS.values()) if loaded else commands()
    return {phrase: made for made in found for phrase in (made.name, *made.aliases)}


class UnknownCommandError(NotFoundError):
    """No command begins like that; `suggestions` are phrases that are near."""

    def __init__(self, words: str, suggestions: Sequence[str]) -> None:
        self.suggestions = tuple(suggestions)
        hint = f"did you mean {' or '.join(map(repr, suggestions))}?" if suggestions else "`help` lists the commands"
        super().__init__(f"no command is called {words!r}; {hint}")


def find(words: Sequence[str]) -> tuple[Command, list[str]]:
    """The command that words begin with, and the words behind its phrase.

    The longest phrase counts; a `please` before it does not. Raises UnknownCommandError with suggestions.
    """
    left = list(words)
    while left and left[0].lower().rstrip(",") == "please":
        left.pop(0)
    known = phrases()
    longest = max((len(phrase.split()) for phrase in known), default=0)
    for number in range(min(longest, len(left)), 0, -1):
        made = known.get(" ".join(left[:number]).lower())
        if made is not None:
            return made, left[number:]
    raise UnknownCommandError(" ".join(left), suggestions(left))


def suggestions(words: Sequence[str]) -> list[str]:
    """Phrases that are near to what words begin with, the nearest first."""
    known, found = list(phrases()), dict[str, None]()
    for number in range(min(len(words), 4), 0, -1):
        phrase = " ".join(words[:number]).lower()
        longer = [other for other in known if other.startswith(f"{phrase} ")]
        found |= dict.fromkeys([*get_close_matches(phrase, known, n=2, cutoff=0.7), *longer])
    return list(found)[:4]


def command_named(phrase: str) -> Command:
    """The command of a phrase; raises UnknownCommandError."""
    made, rest = find(phrase.split())
    if rest:
        raise UnknownCommandError(phrase, suggestions(phrase.split()))
    return made


def call(made: Command, session: Any, given: Mapping[str, Any]) -> Answer:
    """Run a command with parameters by their names; raises what it raises."""
    return made.function(session, **{p.name: given[p.name] for p in made.parameters if p.name in given})


def _parameter(found: inspect.Parameter, hint: Any) -> CommandParameter:
    kind, argument = hint, Argument("")
    if get_origin(hint) is Annotated:
        kind, *notes = get_args(hint)
        argument = next((item for item in notes if isinstance(item, Argument)), argument)
    required = found.default is inspect.Parameter.empty
    return CommandParameter(
        name=found.name,
        kind=kind,
        default=None if required else found.default,
        required=required,
        by_place=found.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and kind is not Values,
        argument=argument,
    )

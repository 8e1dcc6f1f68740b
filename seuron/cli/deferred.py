"""Commands whose parameters are worked out when they are called: help and completion list a hundred of them.

An option for each of a pipeline's parameters takes pydantic and the pipeline's model, which `seuron --help` does
not need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class DeferredCommand(TyperCommand):
    """A command by its name and what it does; `function` gives the function that typer makes its options from."""

    def __init__(self, name: str, doc: str, panel: str | None, function: Callable[[], Callable[..., None]]) -> None:
        self._function = function
        super().__init__(name=name, help=doc, rich_help_panel=panel)

    @cached_property
    def _whole(self) -> Any:
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(self.name)(self._function())
        return typer.main.get_command(alone)

    @property
    def params(self) -> list[Any]:
        """The whole command's options and arguments."""
        found: list[Any] = self._whole.params
        return found

    @params.setter
    def params(self, none: list[Any]) -> None:
        """What typer gives a command that it takes for whole: nothing."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the whole command, which parses, completes, shows help and runs in place of this one."""
        return self._whole.make_context(info_name, args, parent=parent, **extra)


def group_of(commands: Mapping[str, DeferredCommand], order: Sequence[str] = ()) -> type[TyperGroup]:
    """A group's class, for typer, with these commands beside its own; those in `order` first."""

    class Group(TyperGroup):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            found = {**self.commands, **commands}
            self.commands = {name: found[name] for name in dict.fromkeys([*order, *found])}

    return Group

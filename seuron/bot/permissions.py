"""Who may do what, by user and channel, from a TOML file:

    everybody = ["look"]           # what anybody may, anywhere; the default

    [[allow]]
    who = ["U024BE7LH"]            # ids of users; everybody, when left out
    where = ["C061EG9SL"]          # ids of channels; everywhere, when left out
    may = ["run", "machines"]

Rights add up: nothing takes one away. Without a file everybody may look, and nobody may do anything else.
Users and channels are given by Slack's ids, as users can change their names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

from pydantic import Field, field_validator, model_validator

from seuron.commands.registry import Permission
from seuron.params.model import Parameters
from seuron.params.typed_file import read_typed

#: The environment variable that names the file, else `bot.toml` in the deployment's state folder.
FILE_VARIABLE = "SEURON_BOT"
FILE_NAME = "bot.toml"
ALL: frozenset[str] = frozenset(get_args(Permission))


class Rule(Parameters):
    """Rights for some users in some channels."""

    who: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    may: tuple[Permission, ...] = Field(min_length=1)

    @field_validator("who", "where")
    @classmethod
    def _are_ids(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [name for name in ids if not name.isalnum() or not name.isupper()]
        if wrong:
            raise ValueError(
                f"got {', '.join(wrong)}; give Slack's ids, such as U024BE7LH (in a profile: copy member ID)"
            )
        return ids

    @model_validator(mode="after")
    def _is_for_somebody(self) -> Rule:
        if not self.who and not self.where:
            raise ValueError("a rule needs `who` or `where`; what everybody may do everywhere belongs in `everybody`")
        return self

    def holds(self, user: str, channel: str) -> bool:
        """Whether it applies to this user in this channel."""
        return (not self.who or user in self.who) and (not self.where or channel in self.where)


class Permissions(Parameters):
    """The whole file."""

    everybody: tuple[Permission, ...] = ("look",)
    allow: tuple[Rule, ...] = ()

    def of(self, user: str, channel: str) -> frozenset[str]:
        """The rights of a user in a channel."""
        found = {right for rule in self.allow if rule.holds(user, channel) for right in rule.may}
        return frozenset(found | set(self.everybody))


def read_permissions(path: Path | None = None) -> Permissions:
    """The permissions in a file; by default that of $SEURON_BOT or the state folder, which need not be there.

    Raises ParameterErrors with everything that is wrong with the file.
    """
    named = path or (Path(os.environ[FILE_VARIABLE]) if os.environ.get(FILE_VARIABLE) else None)
    if named is not None:
        return read_typed(Permissions, named, "the bot's file")
    from seuron.deployment import Home

    default = Home.default().folder / FILE_NAME
    return read_typed(Permissions, default, "the bot's file") if default.exists() else Permissions()

"""Who is notified of what, from a TOML file that $SEURON_NOTIFICATIONS names (docs/notifications.example.toml).

Secrets are never written into it: `env:NAME` and `file:PATH` say where they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from seuron.errors import SeuronError
from seuron.notifications.notices import Event, Notice
from seuron.params.model import Parameters
from seuron.params.typed_file import read_typed

FILE_VARIABLE = "SEURON_NOTIFICATIONS"

How = Literal["slack", "email", "webhook", "log"]
#: The events of a recipient that names none: all but tries that failed.
DEFAULT_EVENTS: tuple[Event, ...] = ("failed", "succeeded", "cancelled", "held", "paused", "continued")


class NotifyError(SeuronError):
    """A recipient could not be notified."""


def _is_reference(value: str) -> str:
    """The value itself must not come into a message."""
    kind, _, name = value.partition(":")
    if kind not in ("env", "file") or not name:
        raise ValueError("say where the secret is, not what it is: `env:NAME` or `file:PATH`")
    return value


Secret = Annotated[str, AfterValidator(_is_reference)]

#: What each way needs, and what it takes besides.
_NEEDS: dict[How, tuple[tuple[str, ...], ...]] = {
    "slack": (("token", "webhook"),),
    "email": (("to",), ("sender",), ("server",)),
    "webhook": (("address", "address_secret"),),
    "log": (),
}
_TAKES: dict[How, tuple[str, ...]] = {
    "slack": ("token", "channel", "webhook", "address"),
    "email": ("to", "sender", "server", "starttls", "user", "password"),
    "webhook": ("address", "address_secret", "token"),
    "log": (),
}


class Recipient(Parameters):
    """A recipient: by which channel, of which runs, of which events. Datasets name their recipients by `name`.

    `address` is the webhook's or, with Slack's `token`, that of a Web API other than Slack's own.
    """

    how: How
    name: str = ""
    events: tuple[Event, ...] = Field(default=DEFAULT_EVENTS, min_length=1)
    runs: tuple[str, ...] = ("*",)
    channel: str = ""
    token: Secret | None = None
    webhook: Secret | None = None
    to: tuple[str, ...] = ()
    sender: str = ""
    server: str = ""
    starttls: bool = True
    user: str = ""
    password: Secret | None = None
    address: str = ""
    address_secret: Secret | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Recipient:
        given = self.model_fields_set - {"how", "name", "events", "runs"}
        problems = [
            f"`how = {self.how}` needs {' or '.join(f'`{name}`' for name in choice)}"
            for choice in _NEEDS[self.how]
            if not any(getattr(self, name) for name in choice)
        ]
        problems += [f"`how = {self.how}` takes no `{name}`" for name in sorted(given - set(_TAKES[self.how]))]
        if self.how == "slack" and self.token and not self.channel:
            problems.append("`token` needs the `channel` to write to")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def wants(self, notice: Notice) -> bool:
        """Whether this one gets the notice; `runs` are patterns for a run's name or its whole folder.

        A folder of this machine may be given with or without `file://`.
        """
        if notice.to:
            return notice.event in self.events and self.name in notice.to
        names = (notice.run, notice.output, notice.output.removeprefix("file://"))
        return notice.event in self.events and any(fnmatchcase(name, run) for run in self.runs for name in names)


class NotificationSettings(Parameters):
    """The whole file. The same cause within `fold_minutes` is counted, and the count sent with the next."""

    fold_minutes: float = Field(default=60.0, ge=0)
    notify: tuple[Recipient, ...] = ()


def read_notifications(path: Path | None = None) -> NotificationSettings:
    """The settings in a file, by default that of $SEURON_NOTIFICATIONS; without one nobody is notified.

    Raises ParameterErrors with everything that is wrong with the file.
    """
    named = path or (Path(os.environ[FILE_VARIABLE]) if os.environ.get(FILE_VARIABLE) else None)
    return (
        NotificationSettings() if named is None else read_typed(NotificationSettings, named, "the notifications' file")
    )


def unknown_names(names: Iterable[str]) -> list[str]:
    """What is wrong with names of recipients: that the notifications' file has none called so."""
    known = {recipient.name for recipient in read_notifications().notify if recipient.name}
    where = os.environ.get(FILE_VARIABLE) or f"there is none, as {FILE_VARIABLE} is not set"
    allowed = f"the names in the notifications' file ({where}): {', '.join(sorted(known)) or 'none'}"
    return [f"`tell`: got {name!r}; allowed are {allowed}" for name in names if name not in known]


def secret(reference: str, environment: Mapping[str, str] = os.environ) -> str:
    """The value that a reference leads to; raises NotifyError where there is none."""
    kind, _, name = reference.partition(":")
    try:
        value = environment.get(name, "") if kind == "env" else Path(name).expanduser().read_text()
    except OSError as error:
        raise NotifyError(f"{reference}: cannot be read: {error.strerror}") from error
    if not value.strip():
        raise NotifyError(f"{reference}: there is nothing")
    return value.strip()

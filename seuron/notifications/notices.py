"""What people are notified of: not that something failed, but what, why, where the log is, and what happens next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from seuron.printable import printable
from seuron.storage.digests import digest_of_data

#: `retry`: a task failed and is retried. `held`: a budget holds the run. `paused`: a person does. `continued`: it
#: runs on after either. The others are ends of runs.
Event = Literal["succeeded", "failed", "cancelled", "held", "paused", "continued", "retry"]
EVENTS: tuple[Event, ...] = get_args(Event)
#: Events whose name does not say what happens.
TITLES: dict[Event, str] = {"retry": "a task failed and is retried", "continued": "continues"}
#: Characters of a reason: one line that can be read.
REASON_LENGTH = 300


@dataclass(frozen=True)
class Cause:
    """Why a task failed: what people call it, the error's one line, and the page with its log."""

    task: str
    reason: str
    log: str = ""

    @property
    def kind(self) -> str:
        """The reason without what differs from task to task: places, sizes, process ids."""
        return re.sub(r"0x[0-9a-f]+|\d+", "#", self.reason)


@dataclass(frozen=True)
class Notice:
    """One notification. `run` is the run's name, `output` its folder, `words` are sentences.

    `start` is the start of the run that has ended, as Airflow calls it: each has notices of its own. `to` are the
    names of the recipients; without any, those whose patterns match.

    `repeats` is how often the same was not sent since the last time.
    """

    event: Event
    run: str
    output: str
    words: str = ""
    causes: tuple[Cause, ...] = ()
    next: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    repeats: int = 0
    start: str = ""
    to: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The same for what has the same cause in the same run."""
        return digest_of_data([self.event, self.output, self.start, sorted({cause.kind for cause in self.causes})])

    @property
    def title(self) -> str:
        """One line, with nothing in it that would end a line."""
        what = TITLES.get(self.event, self.event)
        first = f": {self.causes[0].reason}" if self.causes else ""
        more = f" ({self.repeats} more like it)" if self.repeats else ""
        return printable(" ".join(f"{self.run}: {what}{first}"[:REASON_LENGTH].split()) + more)

    @property
    def text(self) -> str:
        """All of it in plain words."""
        lines = [self.title]
        lines += [self.words] if self.words else []
        for cause in self.causes:
            lines.append(f"{cause.task}: {cause.reason}" + (f"\n  log: {cause.log}" if cause.log else ""))
        lines += [f"Next: {self.next}"] if self.next else []
        return printable("\n".join([*lines, *(f"{name}: {url}" for name, url in self.links.items())]))

    def to_json(self) -> dict[str, Any]:
        """All of it for programs."""
        return {**asdict(self), "links": dict(self.links), "title": self.title, "text": self.text}


def one_line(reason: str) -> str:
    """An error in one line; of a list of problems the first two, as the first is often only a title."""
    lines = [" ".join(line.split()) for line in reason.splitlines() if line.strip()]
    text = " ".join(lines[:2]) if lines and lines[0].endswith(":") else "".join(lines[:1])
    return text if len(text) <= REASON_LENGTH else text[: REASON_LENGTH - 1] + "…"

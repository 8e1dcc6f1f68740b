"""A command of the registry that takes its time, for tests of what front ends do meanwhile."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from seuron.commands import Answer, Argument, Session


@dataclass
class Counting:
    """The command `count`: it tells each number up to a limit, and waits for a word before it goes on."""

    go_on: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    says: str = ""
    calls: list[tuple[str, int]] = field(default_factory=list)

    def count(
        self,
        session: Session,
        limit: Annotated[int, Argument("how far")] = 3,
        *,
        picture: Annotated[str, Argument("a file")] = "",
    ) -> Answer:
        """Count, slowly."""
        self.calls.append((session.who, limit))
        for number in range(1, limit + 1):
            session.progress(Answer(f"counted to {number} of {limit}"))
            assert self.go_on.acquire(timeout=30)
        return Answer(self.says or f"{limit} is all", {"limit": limit}, pictures=[Path(picture)] if picture else ())

"""Events of functions that numba compiles; one whose machine code was kept is loaded, which is no event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba.core.event import Event, Listener, install_listener


class _Compilations(Listener):
    """Calls a function with the name of each compiled function and its seconds, those of functions that it calls
    included.
    """

    def __init__(self, compiled: Callable[[str, float], None]) -> None:
        self._compiled = compiled
        self._began: list[float] = []

    def on_start(self, event: Event) -> None:
        self._began.append(time.monotonic())

    def on_end(self, event: Event) -> None:
        function: Any = event.data["dispatcher"].py_func
        self._compiled(f"{function.__module__}.{function.__qualname__}", time.monotonic() - self._began.pop())


@contextmanager
def on_compiled(compiled: Callable[[str, float], None]) -> Iterator[None]:
    """Call `compiled(name, seconds)` for each function that is compiled within the block."""
    with install_listener("numba:compile", _Compilations(compiled)):
        yield

"""Turns of a dataset's runs, in every order in which their looks at the storage may follow each other."""

from __future__ import annotations

from itertools import chain, cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from greenlet import getcurrent, greenlet
from hypothesis import given
from hypothesis import strategies as st

from seuron.datasets.run_mutex import try_acquire
from seuron.storage import Storage

RUNS = ("a", "b", "c")


class Stepping(Storage):
    """A storage before each of whose calls others may go on."""

    def put(self, name: str, content: bytes, *, compress: bool = False) -> int:
        pass_on()
        return super().put(name, content, compress=compress)

    def get(self, name: str) -> bytes | None:
        pass_on()
        return super().get(name)

    def names(self, folder: str = "") -> list[str]:
        pass_on()
        return super().names(folder)

    def delete(self, names: Any, *, blocks: bool = False) -> None:
        pass_on()
        super().delete(names, blocks=blocks)


def pass_on() -> None:
    """Let the test decide who is next."""
    parent = getcurrent().parent
    assert parent is not None
    parent.switch()


@given(st.lists(st.sampled_from(RUNS), max_size=80))
def test_never_two_at_once_and_each_in_the_end(order: list[str]) -> None:
    """Whatever the order of steps, no two runs are active at once; where all continue, each gets the mutex."""
    with TemporaryDirectory() as folder:
        active, at_work, had = set(RUNS), set[str](), list[str]()

        def live(run: str) -> None:
            storage = Stepping(folder)
            while not try_acquire(storage, run, active.__contains__):
                pass_on()
            at_work.add(run)
            assert len(at_work) == 1, f"{sorted(at_work)} are active at once"
            pass_on()
            at_work.remove(run)
            had.append(run)
            active.remove(run)

        lives = {run: greenlet(lambda run=run: live(run)) for run in RUNS}
        for number, run in enumerate(chain(order, cycle(RUNS))):
            if not active:
                break
            assert number < len(order) + 1000, f"only {had} had a turn"
            if not lives[run].dead:
                lives[run].switch()
        assert sorted(had) == sorted(RUNS)


def test_one_after_the_other(tmp_path: Path) -> None:
    """A run that asks while another is active waits, and goes once that has ended."""
    storage, active = Storage(tmp_path), {"first", "second"}
    assert try_acquire(storage, "first", active.__contains__)
    assert try_acquire(storage, "first", active.__contains__), "asking again is no harm"
    assert not try_acquire(storage, "second", active.__contains__)
    active.remove("first")
    assert try_acquire(storage, "second", active.__contains__)

"""Which run a person means by a few letters."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.client.run_names import find_run, short_name
from seuron.errors import NotFoundError


@dataclass(frozen=True)
class Named:
    """A run with an id and a folder."""

    id: str
    output: str


def run(output: str, number: int = 0) -> Named:
    return Named(f"manual__2026-11-21T18:00:0{number}", f"file://{output}")


FIRST, SECOND = run("/data/runs/first", 1), run("/data/other/second", 2)
NAMES = st.text("abc", min_size=1, max_size=4)


@pytest.mark.parametrize(
    "name",
    ["first", "fir", "runs/first", "/data/runs/first", "file:///data/runs/first/", FIRST.id, FIRST.id[:-1] + "1"],
)
def test_a_run_has_many_names(name: str) -> None:
    """The last part of the folder, more of it, all of it, Airflow's id, and a beginning name the same run."""
    assert find_run(name, [SECOND, FIRST]) is FIRST


def test_the_latest_is_the_first_of_the_list() -> None:
    """`latest` is whatever was started last."""
    assert find_run("latest", [SECOND, FIRST]) is SECOND


def test_a_wrong_letter_gets_a_suggestion() -> None:
    """A mistyped name gets the nearest known one; another name gets the list."""
    with pytest.raises(NotFoundError, match="did you mean second"):
        find_run("secnd", [SECOND, FIRST])
    with pytest.raises(NotFoundError, match="the last ones are second, first"):
        find_run("xyz", [SECOND, FIRST])
    with pytest.raises(NotFoundError, match="there is none yet"):
        find_run("xyz", [])


def test_two_runs_of_one_name_are_both_named() -> None:
    """An ambiguous name is never resolved to either; more of the folder decides."""
    twin = run("/elsewhere/first", 3)
    with pytest.raises(NotFoundError, match=r"/data/runs/first, file:///elsewhere/first; give more"):
        find_run("first", [FIRST, twin])
    assert find_run("elsewhere/first", [FIRST, twin]) is twin


@given(st.lists(st.tuples(NAMES, NAMES), unique=True, min_size=1, max_size=8), NAMES)
def test_what_is_found_is_the_only_one_that_fits(folders: list[tuple[str, str]], wanted: str) -> None:
    """A name finds a run only if it is that run's name or its beginning, and no other run has it as well."""
    runs = [Named(f"id-{a}-{b}", f"file:///{a}/{b}") for a, b in folders]
    whole = [named for named in runs if short_name(named.output) == wanted]
    begin = [named for named in runs if short_name(named.output).startswith(wanted)]
    fitting = whole or begin
    if len(fitting) == 1:
        assert find_run(wanted, runs) is fitting[0]
    else:
        with pytest.raises(NotFoundError):
            find_run(wanted, runs)


@given(st.lists(st.tuples(NAMES, NAMES), unique=True, min_size=1, max_size=8))
def test_every_run_can_be_named(folders: list[tuple[str, str]]) -> None:
    """The whole folder always finds its run, whatever the others are called."""
    runs = [Named(f"id-{a}-{b}", f"file:///{a}/{b}") for a, b in folders]
    assert [find_run(named.output, runs) for named in runs] == runs

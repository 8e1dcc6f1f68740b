"""Commands that do little cost little: which libraries they load, and their processor time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A volume to check; no deployment runs in it."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from start_up import write_volume

    made = tmp_path_factory.mktemp("start-up")
    write_volume(made)
    yield made
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.mark.parametrize("number", range(6))
def test_a_command_loads_what_it_needs_and_takes_little_time(folder: Path, number: int) -> None:
    """The libraries are exact; the time has room for a machine whose hardware threads share their cores."""
    from start_up import measure, starts

    start = starts(folder)[number]
    seconds, loaded = measure(start, folder, 3)
    assert not set(loaded) & set(start.without), start.name
    assert seconds < 2.5 * start.most_seconds, f"{start.name} took {seconds:.2f} CPU-s"


def test_every_start_is_tested(folder: Path) -> None:
    """The numbers above are those of the benchmark's list."""
    from start_up import starts

    assert len(starts(folder)) == 6

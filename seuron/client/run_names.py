"""Finding the run that a person means by a few letters of its name.

A run goes by the last part of its folder, by more parts of it, by the whole folder, or by the id that Airflow
gave a start of it. Any beginning that fits one run only is enough, and `latest` is the one started last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from seuron.errors import NotFoundError, did_you_mean
from seuron.storage import cloud_path

LATEST = "latest"
#: Names that a message lists.
LISTED = 8


class Named(Protocol):
    """What can be searched: `id` is Airflow's, `output` the folder; either may be empty."""

    @property
    def id(self) -> str: ...

    @property
    def output(self) -> str: ...


Candidate = TypeVar("Candidate", bound=Named)


def short_name(output: str, run_id: str = "") -> str:
    """What people call a run: the last part of its folder, or its id where it has no folder."""
    return output.rstrip("/").rsplit("/", 1)[-1] or run_id


def find_run(name: str, runs: Sequence[Candidate]) -> Candidate:
    """The run of that name; `runs` has the newest first, and one entry for each folder or start.

    Raises NotFoundError when no run fits, with names that are near, or when several do, with all of them.
    """
    wanted = name.strip().rstrip("/")
    if wanted == LATEST and runs:
        return runs[0]
    for fits in (_whole, _ending, _beginning):
        found = [run for run in runs if wanted and fits(wanted, run)]
        if len(found) > 1:
            raise NotFoundError(f"{name!r} may be any of {_list(found)}; give more of its folder or id")
        if found:
            return found[0]
    raise NotFoundError(_unknown(name, runs))


def _whole(wanted: str, run: Named) -> bool:
    return wanted == run.id or (bool(run.output) and cloud_path(wanted) == cloud_path(run.output))


def _ending(wanted: str, run: Named) -> bool:
    return bool(run.output) and f"/{run.output.rstrip('/')}".endswith(f"/{wanted}")


def _beginning(wanted: str, run: Named) -> bool:
    return short_name(run.output, run.id).startswith(wanted) or run.id.startswith(wanted)


def _list(runs: Sequence[Named]) -> str:
    names = [run.output or run.id for run in runs]
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def _unknown(name: str, runs: Sequence[Named]) -> str:
    names = list(dict.fromkeys(short_name(run.output, run.id) for run in runs))
    if not names:
        return f"no run is called {name!r}, as there is none yet; start one with `seuron run segmentation`"
    hint = did_you_mean(name, names, f"the last ones are {', '.join(names[:LISTED])}", most=3)
    return f"no run is called {name!r}; {hint}"

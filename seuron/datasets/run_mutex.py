"""A mutex for the runs of a dataset: at most one is active, whoever started it.

Airflow's `max_active_runs` does not count the runs of a backfill together with others. So each run writes a
ticket first and checks for those of others second: two that do so cannot both miss each other. One that sees
others waits with its ticket if it is the first of them by name, and without one otherwise, so that the first gets it.
A ticket counts while its run is active; nobody has to release it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from typing_extensions import TypedDict

from seuron.storage import Storage
from seuron.storage.documents import read_if_whole

FOLDER = "run_mutex/"


class _Ticket(TypedDict):
    """What a ticket's file holds."""

    run_id: str


def try_acquire(storage: Storage, run_id: str, active: Callable[[str], bool]) -> bool:
    """Whether the run `run_id` may proceed; if not, try again later. `active` says whether another run is."""
    mine = _file(run_id)
    if _is_first(run_id, _others(storage, mine, active)):
        storage.put(mine, json.dumps({"run_id": run_id}).encode())
        others = _others(storage, mine, active)
        if _is_first(run_id, others):
            return not others
    storage.delete([mine])
    return False


def _is_first(run_id: str, others: list[str]) -> bool:
    return all(run_id < other for other in others)


def _others(storage: Storage, mine: str, active: Callable[[str], bool]) -> list[str]:
    """The active runs that have another ticket; tickets of others are removed."""
    found = []
    for name in storage.names(FOLDER):
        if name == mine:
            continue
        ticket = read_if_whole(storage, name, _Ticket)
        if ticket is not None and active(ticket["run_id"]):
            found.append(ticket["run_id"])
        else:
            storage.delete([name])
    return found


def _file(run_id: str) -> str:
    return f"{FOLDER}{re.sub(r'[^A-Za-z0-9_.-]', '_', run_id)}.json"

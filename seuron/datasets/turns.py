"""Turns: at most one run of a dataset is at work, whoever started it.

Airflow's `max_active_runs` does not count the runs of a backfill together with others. So each run writes a
ticket and looks for others' second: two that do so cannot both miss each other. One that sees others waits with
its ticket if it is the first of them by name, and without one otherwise, so that the first comes through.
A ticket counts while its run is active; nobody has to take it away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from seuron.storage import Storage

FOLDER = "turns/"


def take_turn(storage: Storage, run_id: str, active: Callable[[str], bool]) -> bool:
    """Whether the run `run_id` may go to work; if not, ask again later. `active` tells whether another run is."""
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
        content = storage.get(name) if name != mine else None
        if content is None:
            continue
        other = str(json.loads(content)["run_id"])
        if active(other):
            found.append(other)
        else:
            storage.delete([name])
    return found


def _file(run_id: str) -> str:
    return f"{FOLDER}{re.sub(r'[^A-Za-z0-9_.-]', '_', run_id)}.json"

"""This machine's deployment in words: its processes, its cluster, and what holds it back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seuron.cluster.costs.ledger import Ledger
    from seuron.cluster.records import ClusterSnapshot, Records
    from seuron.deployment import Deployment, DeploymentStatus

#: Steps of the cluster that are listed.
_EVENTS_SHOWN = 5


def deployment_lines(deployment: Deployment, found: DeploymentStatus) -> list[str]:
    """What runs, where, and what memory it takes; with a cluster its groups, what was spent, and what is held."""
    if not found.running:
        return [f"nothing runs in {found.folder}; `seuron up` starts it"]
    lines = [
        f"{'healthy' if found.healthy else 'not healthy'}: {found.url}, state in {found.folder}",
        f"memory: {found.memory_bytes / 1e6:.0f} MB",
    ]
    lines += [f"  {name}: {count} process{'es' if count != 1 else ''}" for name, count in found.services.items()]
    if deployment.cluster_file:
        records = _records(deployment)
        lines += cluster_lines(deployment.cluster_file, records.snapshot(), records.ledger())
        for event in records.events()[-_EVENTS_SHOWN:]:
            at = time.strftime("%H:%M:%S", time.localtime(event.time))
            lines += [f"  {at} {line}" for line in event.lines]
    return lines


def cluster_data(deployment: Deployment) -> dict[str, Any] | None:
    """The last look at the cluster, and dollars by run; None where there is none."""
    look = _records(deployment).snapshot() if deployment.cluster_file else None
    return asdict(look) | {"runs": dict(_records(deployment).ledger().runs)} if look else None


def cluster_lines(file: str, look: ClusterSnapshot | None, ledger: Ledger) -> Iterator[str]:
    """What the last step of the cluster saw, and what there is to do about it."""
    if look is None:
        yield f"cluster {file}: no step has checked it yet"
        return
    budget = f" of a budget of ${look.budget:.2f}" if look.budget is not None else ""
    yield f"cluster {file}, seen {time.time() - look.time:.0f} s ago: ${look.spent:.2f} spent{budget}"
    for group in look.groups:
        yield f"  {group.group.name} ({group.group.queue}): {len(group.live)} of {group.group.max_size} instances"
    for queue, depth in look.queues.items():
        yield f"  queue {queue}: {depth.ready} tasks wait, {depth.running} run"
    for run, dollars in ledger.runs.items():
        yield f"  run {run}: ${dollars:.2f}"
    if look.held:
        yield (
            f"  the budget is used up: what waits in {', '.join(look.held)} waits on, and nothing is lost; "
            f"to go on, raise `budget_dollars` in {file}, or cancel the run"
        )
    for problem in look.problems:
        yield f"  {problem}"


def _records(deployment: Deployment) -> Records:
    from seuron.cluster.records import Records
    from seuron.deployment.cluster import records_folder

    return Records(records_folder(deployment.home))

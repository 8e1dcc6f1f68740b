"""Commands for a cluster's machines: how many there are, and setting how many."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from seuron.cluster.names import CLUSTER_VARIABLE
from seuron.commands.answers import Answer, Session
from seuron.commands.formatting import table
from seuron.commands.registry import Argument, command
from seuron.errors import NotFoundError

if TYPE_CHECKING:
    from seuron.cluster.config import Cluster
    from seuron.cluster.group_status import GroupStatus

GROUP = "Machines"
FILE = Argument(
    "the cluster's file; else $SEURON_CLUSTER, the deployment's, or cluster.toml", metavar="FILE", local_only=True
)


@command("cluster status", aliases=("cluster sizes", "show cluster", "cluster size"), permission="look", group=GROUP)
def status(session: Session, file: Annotated[str, FILE] = "") -> Answer:
    """Show the groups: how many machines there are and should be, what keeps them from growing, what they cost."""
    from seuron.cluster.drivers import driver
    from seuron.cluster.group_status import cluster_status

    cluster = _cluster(session, file)
    with driver(cluster) as machines:
        groups = cluster_status(cluster, machines)
    manager = cluster.manager_price()
    total = manager + sum(group.dollars_an_hour for group in groups)
    lines = [_groups_table(groups)] if groups else []
    lines += [f"{group.name}: {shortage.kind}: {shortage.message}" for group in groups for shortage in group.shortages]
    lines.append(f"{cluster.name}: ${total:.2f} an hour now, of which the manager ${manager:.2f}")
    rows = [asdict(group) for group in groups]
    data = {"cluster": cluster.name, "groups": rows, "manager": manager, "dollars_an_hour": total}
    return Answer("\n".join(lines), data)


@command("cluster scale", aliases=("scale cluster", "set cluster size"), permission="machines", group=GROUP)
def scale(
    session: Session,
    name: Annotated[str, Argument("a queue, whose cheapest groups are filled first, or a group")],
    size: Annotated[int, Argument("how many machines")],
    file: Annotated[str, FILE] = "",
) -> Answer:
    """Set the size of a queue or a group by hand. Machines that are removed lose the tasks that they do."""
    from seuron.cluster.drivers import driver
    from seuron.cluster.group_status import scale as set_size

    cluster = _cluster(session, file)
    with driver(cluster) as machines:
        resizes = set_size(cluster, machines, name, size)
    text = "\n".join(f"{resize.group}: {resize.before} -> {resize.after}" for resize in resizes)
    return Answer(text, {"cluster": cluster.name, "groups": [asdict(resize) for resize in resizes]})


def _cluster(session: Session, given: str) -> Cluster:
    from seuron.cluster.config import read_cluster

    file = given or os.environ.get(CLUSTER_VARIABLE, "")
    if not file and session.deployment.is_local:
        file = session.deployment.embedded.cluster_file
    if not file and not session.is_local:
        raise NotFoundError("the deployment has no cluster; `seuron up --cluster FILE` gives it one")
    return read_cluster(file or "cluster.toml")


def _groups_table(groups: Sequence[GroupStatus]) -> str:
    head = ("group", "queue", "zone", "spot", "target", "starting", "running", "stopping", "most", "$/h")
    rows = [
        (
            group.name,
            group.queue,
            group.zone,
            "yes" if group.spot else "no",
            *(str(number) for number in (group.target, group.starting, group.running, group.stopping, group.max_size)),
            f"{group.dollars_an_hour:.2f}",
        )
        for group in groups
    ]
    return table(head, rows)

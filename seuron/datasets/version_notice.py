"""The notice of a dataset: a new version, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seuron.datasets.files import Dataset
from seuron.notifications.notices import Cause, Notice, one_line

#: Nodes whose failure is notified, in their order, with what each does.
NODES = {
    "acquire": "waiting for another run of the dataset",
    "detect": "detecting changes",
    "draft": "preparing a version",
    "run": "starting the run",
    "wait": "the run",
    "publish": "publishing",
    "prune": "removing old versions",
}
#: Reasons that a notice lists.
LISTED = 5


def version_notice(
    dataset: Dataset, states: Mapping[str, str], number: int | None, why: Sequence[str], problem: str, start: str
) -> Notice:
    """The notice of one pass through a dataset's nodes, by the states in which Airflow left them.

    `number` is that of the version, None where none was detected; `start` is Airflow's id of the pass.
    """
    table, place = dataset.table, dataset.published.path
    reasons = "\n".join([f"- {reason}" for reason in why[:LISTED]] + ["- ..."] * (len(why) > LISTED))
    failed = [node for node in NODES if states.get(node) == "failed"]
    if not failed:
        words = f"version {number} is published, readers see it in {place}/current\n{reasons}"
        return Notice("succeeded", table.name, place, words.strip(), start=start, to=table.notify)
    version = f"version {number}: " if number is not None else ""
    seen = "" if states.get("publish") == "success" else "readers see the version before; "
    return Notice(
        "failed",
        table.name,
        place,
        reasons,
        (Cause(f"{version}{NODES[failed[0]]}", one_line(problem)),),
        f"{seen}what is finished stays, and the next start resumes there",
        start=start,
        to=table.notify,
    )

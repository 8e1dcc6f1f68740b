"""What is told of a dataset: a new version, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seuron.datasets.files import Dataset

#: Nodes whose failure is told of, in their order, with what each does.
NODES = {
    "turn": "waiting for its turn",
    "look": "looking for changes",
    "draft": "preparing a version",
    "run": "starting the run",
    "wait": "the run",
    "publish": "publishing",
    "forget": "removing old versions",
}
#: Reasons that a message lists.
LISTED = 5


@dataclass(frozen=True)
class News:
    """A message: a line, what more there is to say, and whom to tell. `failed` says that somebody has to act."""

    dataset: str
    title: str
    text: str
    tell: tuple[str, ...]
    failed: bool


def news_of(dataset: Dataset, states: Mapping[str, str], number: int | None, why: Sequence[str], problem: str) -> News:
    """The news of one pass through a dataset's nodes, by the states in which Airflow left them.

    `number` is that of the version, None where the look did not come so far.
    """
    table = dataset.table
    reasons = "\n".join([f"- {reason}" for reason in why[:LISTED]] + ["- ..."] * (len(why) > LISTED))
    failed = [node for node in NODES if states.get(node) == "failed"]
    if failed:
        version = f" version {number}" if number is not None else ""
        title = f"{table.name}:{version} failed at {NODES[failed[0]]}"
        seen = "readers see the version before" if "publish" not in states or states["publish"] != "success" else ""
        lines = [problem, reasons, seen, "what is finished stays; the next start goes on from there"]
        return News(table.name, title, "\n".join(filter(None, lines)), table.tell, failed=True)
    place = f"readers see it in {dataset.published.path}/current"
    return News(table.name, f"{table.name}: version {number} is published", f"{reasons}\n{place}", table.tell, False)

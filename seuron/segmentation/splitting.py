"""Deciding what a root has no room for: its graph goes through rounds (`rounds.py`).

Where the plan foresees it, other tasks take part, before the root: in each round one *split* task
sorts the graph into bins, and each *bin* task agglomerates one of them. The root finishes: it does what
rounds are left, one bin after the other in scratch files, and puts the results together.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, count

import numpy as np

from abiss_py import Clusters, Contacts, Mapping, Vetoes, affinity_type
from seuron.planning import Task
from seuron.planning.estimates import bytes_of_nodes, contacts_that_fit
from seuron.runs import Counts, Run
from seuron.segmentation.columns import contact_columns, contacts_from, read_clusters, veto_columns
from seuron.segmentation.graph_on_disk import GraphOnDisk
from seuron.segmentation.rounds import (
    Joining,
    Split,
    agglomerate_bin,
    final_mapping,
    finish_rounds,
    gather_round,
    number_graph,
    split_graph,
)
from seuron.storage import Storage
from seuron.tables import count_rows, read_groups, read_table, write_groups

#: A table of contacts: the task that left it, and its name.
Source = tuple[str, str]


@dataclass(frozen=True)
class Round:
    """A round that is done: its split, and where the tables of each bin are."""

    split: Split
    bins: list[Storage]


def joining_of(run: Run) -> Joining:
    """What decides which contacts of a run are joined."""
    scale = affinity_type(run.affinity_dtype).scale
    return Joining(run.params.agglomeration_threshold, scale, run.params.rules, run.params.class_names)


def split_task(run: Run, task: Task, sources: list[Source], children: tuple[str, ...]) -> Counts:
    """Sort the root's graph, or what the round before left of it, into bins.

    `sources` are the tables of contacts that the root has to decide, `children` the tasks that it merges.
    """
    number, target = task.index[0], run.tables(task.id)
    if number == 0:
        graph, fit = _graph(run, sources, children, target)
    else:
        before = planned_round(run, number - 1)
        if before is None or before.split.last:
            return {"bins": 0}
        fit = _fit_beside(run, before.split.nodes)
        graph = gather_round(before.split, before.bins, joining_of(run), target, fit)
    planned = run.plan.round_of(number)
    assert planned is not None
    split = split_graph(graph, joining_of(run), fit, most_bins=len(planned[1]))
    return {"bins": split.bins, "contacts": split.rows}


def bin_task(run: Run, task: Task) -> Counts:
    """Agglomerate one bin of a round; nothing where the round has fewer bins."""
    number, bin_number, _ = task.index
    planned = run.plan.round_of(number)
    assert planned is not None
    split = _opened(run, planned[0])
    if split is None or bin_number >= split.bins:
        return {"contacts": 0}
    return {"contacts": agglomerate_bin(split, bin_number, joining_of(run), run.tables(task.id))}


def finish(run: Run, task: Task, sources: list[Source]) -> tuple[Mapping, Counts]:
    """Do the rounds that are left, and write `joins` and `vetoes` of all; returns the names, and counts."""
    done: list[Round] = []
    while (planned := planned_round(run, len(done))) is not None:
        done.append(planned)
    with scratch_folders() as folders:
        if not done or not done[-1].split.last:
            if done:
                fit = _fit_beside(run, done[-1].split.nodes)
                graph = gather_round(done[-1].split, done[-1].bins, joining_of(run), next(folders), fit)
            else:
                graph, fit = _graph(run, sources, task.children, next(folders))
            rounds = finish_rounds(graph, joining_of(run), fit, folders)
            done += [Round(split, [split.storage] * split.bins) for split in rounds]
        return _put_together(run, task, done)


def planned_round(run: Run, number: int) -> Round | None:
    """A round that the plan's tasks have done; None where they had nothing to do, or there is none."""
    planned = run.plan.round_of(number)
    split = None if planned is None else _opened(run, planned[0])
    if planned is None or split is None:
        return None
    return Round(split, [run.tables(task) for task in planned[1][: split.bins]])


def _fit_beside(run: Run, nodes: int) -> int:
    """How many contacts fit into a task's memory beside so many nodes."""
    columns = 3 + len(run.params.class_names) if run.params.rules else 0
    return contacts_that_fit(run.params.task_memory, bytes_of_nodes(nodes, columns))


def _opened(run: Run, split_task_id: str) -> Split | None:
    return Split.open(run.tables(split_task_id)) if run.has_tables(split_task_id) else None


def _graph(run: Run, sources: list[Source], children: tuple[str, ...], target: Storage) -> tuple[GraphOnDisk, int]:
    """The contacts of `sources` as a graph on disk, and how many of them fit beside its nodes."""
    sent = [read_table(run.tables(child), "open-clusters")["id"] for child in children]
    ids = np.unique(np.concatenate(sent))
    clusters = Clusters.empty()
    if run.params.rules:
        clusters = Clusters.join([read_clusters(run.tables(child)) for child in children])
    rows = sum(count_rows(run.tables(task), name) for task, name in sources)
    fit = _fit_beside(run, ids.size)
    groups = (group for task, name in sources for group in read_groups(run.tables(task), name))
    return number_graph(target, ids, map(contacts_from, groups), clusters, joining_of(run).scale, rows, fit), fit


def _put_together(run: Run, task: Task, rounds: list[Round]) -> tuple[Mapping, Counts]:
    tables = run.tables(task.id)
    counts: Counts = {"rounds": len(rounds), "bins": sum(done.split.bins for done in rounds)}
    for kind in ("joins", "vetoes") if run.params.rules else ("joins",):
        parts = (part for done in rounds for n, at in enumerate(done.bins) for part in read_groups(at, f"{kind}-{n}"))
        empty = contact_columns(Contacts.empty()) if kind == "joins" else veto_columns(Vetoes.join([]))
        write_groups(tables, kind, chain([empty], parts))
        counts[kind] = count_rows(tables, kind)
    return final_mapping(rounds[-1].split, rounds[-1].bins), counts


@contextmanager
def scratch_folders() -> Iterator[Iterator[Storage]]:
    """Empty folders on this machine's disk, which are gone afterwards."""
    with ExitStack() as stack:
        yield (Storage(stack.enter_context(tempfile.TemporaryDirectory(prefix="seuron-round-"))) for _ in count())

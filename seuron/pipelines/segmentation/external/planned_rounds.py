"""Deciding what a root has no room for: its graph goes through rounds (`rounds.py`).

Where the plan foresees it, other tasks take part, before the root: in each round one *split* task
sorts the graph into bins, and each *bin* task agglomerates one of them. The root finishes: it does what
rounds are left, one bin after the other in scratch files, and puts the results together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from abiss_py import Clusters, Contacts, Vetoes, affinity_type
from seuron.engine.pipeline import Counts
from seuron.engine.plan import Task
from seuron.pipelines.segmentation.estimates import contacts_that_fit
from seuron.pipelines.segmentation.external.graph_on_disk import GraphOnDisk
from seuron.pipelines.segmentation.external.rounds import (
    Joining,
    Split,
    agglomerate_bin,
    final_names,
    finish_rounds,
    gather_round,
    number_graph,
    split_graph,
)
from seuron.pipelines.segmentation.facts import SegmentationRun, affinity_dtype
from seuron.pipelines.segmentation.octree import round_of
from seuron.pipelines.segmentation.predicates import with_predicates
from seuron.pipelines.segmentation.table_schemas import (
    cluster_columns,
    contact_columns,
    contacts_from,
    veto_columns,
    write_names_in_pieces,
)
from seuron.storage import Storage
from seuron.storage.scratch import scratch_folders
from seuron.storage.table_merge import merged
from seuron.storage.tables import Table, count_rows, read_groups, read_pieces, write_groups

#: A table of contacts: the task that left it, and its name.
Source = tuple[str, str]


@dataclass(frozen=True)
class Round:
    """A round that is done: its split, and where the tables of each bin are."""

    split: Split
    bins: list[Storage]


def joining_of(run: SegmentationRun) -> Joining:
    """What decides which contacts of a run are joined."""
    scale = affinity_type(affinity_dtype(run.params, run.facts)).scale
    rules = with_predicates(run.params.rules)
    return Joining(run.params.agglomeration_threshold, scale, rules, run.params.class_names)


def split_task(run: SegmentationRun, task: Task, sources: list[Source], children: list[Task]) -> Counts:
    """Sort the root's graph, or what the round before left of it, into bins.

    `sources` are the tables of contacts that the root has to decide, `children` the tasks that it merges.
    """
    number, target = task.index[0], run.tables(task.id)
    if number == 0:
        graph = _graph(run, sources, children, target)
    else:
        before = planned_round(run, number - 1)
        if before is None or before.split.last:
            return {"bins": 0}
        graph = gather_round(before.split, before.bins, joining_of(run), target, _fit(run))
    planned = round_of(run.plan, number)
    assert planned is not None
    split = split_graph(graph, joining_of(run), _fit(run), most_bins=len(planned[1]))
    return {"bins": split.bins, "contacts": split.rows}


def bin_task(run: SegmentationRun, task: Task) -> Counts:
    """Agglomerate one bin of a round; nothing where the round has fewer bins."""
    number, bin_number, _ = task.index
    planned = round_of(run.plan, number)
    assert planned is not None
    split = _opened(run, planned[0])
    if split is None or bin_number >= split.bins:
        return {"contacts": 0}
    return {"contacts": agglomerate_bin(split, bin_number, joining_of(run), run.tables(task.id))}


def finish(run: SegmentationRun, task: Task, children: list[Task], sources: list[Source]) -> Counts:
    """Do the rounds that are left, and write the root's `joins` and `vetoes`, those of all rounds, and `names`."""
    done: list[Round] = []
    while (planned := planned_round(run, len(done))) is not None:
        done.append(planned)
    with scratch_folders() as folders:
        if not done or not done[-1].split.last:
            if done:
                graph = gather_round(done[-1].split, done[-1].bins, joining_of(run), next(folders), _fit(run))
            else:
                graph = _graph(run, sources, children, next(folders))
            rounds = finish_rounds(graph, joining_of(run), _fit(run), folders)
            done += [Round(split, [split.storage] * split.bins) for split in rounds]
        return _put_together(run, task, done)


def planned_round(run: SegmentationRun, number: int) -> Round | None:
    """A round that the plan's tasks have done; None where they had nothing to do, or there is none."""
    planned = round_of(run.plan, number)
    split = None if planned is None else _opened(run, planned[0])
    if planned is None or split is None:
        return None
    return Round(split, [run.tables(planned[1][number].id) for number in range(split.bins)])


def _fit(run: SegmentationRun) -> int:
    """How many contacts, and what rules look at, fit into a task's memory."""
    return contacts_that_fit(run.params.task_memory, run.params.rule_columns)


def _opened(run: SegmentationRun, split: Task) -> Split | None:
    return Split.open(run.tables(split.id)) if run.has_tables(split.id) else None


def _graph(run: SegmentationRun, sources: list[Source], children: list[Task], target: Storage) -> GraphOnDisk:
    """The contacts of `sources` as a graph on disk, whose nodes are what `children` sent up."""
    rows = sum(count_rows(run.tables(task), name) for task, name in sources)
    most = sum(count_rows(run.tables(child.id), "open-clusters") for child in children)
    groups = (group for task, name in sources for group in read_groups(run.tables(task), name))
    contacts = map(contacts_from, groups)
    return number_graph(target, _nodes(run, children), most, contacts, joining_of(run).scale, rows, _fit(run))


def _nodes(run: SegmentationRun, children: list[Task]) -> Iterator[Table]:
    """What tasks sent up: `id`, and the columns that rules look at, where the run has rules."""
    ids = [read_pieces(run.tables(child.id), "open-clusters") for child in children]
    if not run.params.rules:
        return merged(ids)
    names = set(cluster_columns(Clusters.empty(len(run.params.class_names)))) - {"id"}
    blank = (_with_zeros(pieces, names) for pieces in ids)
    return merged(chain(blank, (read_pieces(run.tables(child.id), "clusters") for child in children)))


def _with_zeros(pieces: Iterable[Table], names: Iterable[str]) -> Iterator[Table]:
    for piece in pieces:
        yield piece | {name: np.zeros(piece["id"].size, np.int64) for name in names}


def _put_together(run: SegmentationRun, task: Task, rounds: list[Round]) -> Counts:
    tables = run.tables(task.id)
    counts: Counts = {"rounds": len(rounds), "bins": sum(done.split.bins for done in rounds)}
    for kind in ("joins", "vetoes") if run.params.rules else ("joins",):
        parts = (part for done in rounds for n, at in enumerate(done.bins) for part in read_groups(at, f"{kind}-{n}"))
        empty = contact_columns(Contacts.empty()) if kind == "joins" else veto_columns(Vetoes.join([]))
        write_groups(tables, kind, chain([empty], parts))
        counts[kind] = count_rows(tables, kind)
    write_names_in_pieces(tables, final_names(rounds[-1].split, rounds[-1].bins))
    return counts

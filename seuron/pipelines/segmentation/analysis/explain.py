"""Why two pieces of tissue are one segment, or not: answered from a run's region graph and merge tree.

Every join and every contact has a place, the voxel of its first voxel edge. That edge lies between
two supervoxels, so the joins of the merge tree are also links between supervoxels. They form a
forest: between two supervoxels of a segment there is one chain of links, and the weakest of them is
the last join that made the two one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from abiss_py import Contacts, Mapping, MergeTree, best_first
from seuron.box import Box, Triple
from seuron.errors import DataError
from seuron.pipelines.segmentation.analysis.stored_graph import Int64s, Veto, merge_tree, region_graph, vetoes
from seuron.pipelines.segmentation.chunks import voxel_at
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.volumes import open_volume

#: What a question may be about: the id of a supervoxel or segment, or a voxel (x, y, z) of the volume.
Piece = int | Triple
Relation = Literal["same supervoxel", "joined", "forbidden", "weak contact", "no contact", "unconnected"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Place(_Model):
    """The voxel of a voxel edge: its index in the volume at the run's scale, and where it begins."""

    voxel: Triple
    nm: tuple[float, float, float]


class Link(_Model):
    """Two supervoxels or segments that touch, and how strongly."""

    a: int
    b: int
    mean: float = Field(description="mean affinity, 0 to 1")
    voxel_edges: int = Field(description="how many affinities it is the mean of")
    place: Place


class Forbidden(_Model):
    """A contact above the threshold that a rule forbade, by the names its clusters had then."""

    rule: str = Field(description="the rule's name")
    contact: Link


class Explanation(_Model):
    """The answer; which fields are filled depends on `relation`."""

    relation: Relation
    threshold: float = Field(description="the agglomeration threshold")
    lowest: float = Field(description="lower thresholds than this were not looked at: there rules decide anew")
    supervoxels: tuple[int, int]
    segments: tuple[int, int]
    contact: Link | None = Field(default=None, description="of two segments: all voxel edges between them, pooled")
    forbidden: tuple[Forbidden, ...] = Field(
        default=(),
        description="of two segments: what rules forbade between them, or on the path, the highest mean first",
    )
    chain: tuple[Link, ...] = Field(
        default=(),
        description="the joins between the two supervoxels, from the first to the second; "
        "of two segments: those that a low enough threshold would make",
    )
    path: tuple[Link, ...] = Field(
        default=(),
        description="of two segments that do not touch: the way between them whose weakest contact is strongest",
    )

    @property
    def weakest(self) -> Link | None:
        """The weakest link of the chain: the two are one at every threshold below its mean."""
        return min(self.chain, key=lambda link: link.mean, default=None)

    @property
    def bottleneck(self) -> Link | None:
        """The weakest contact of the path."""
        return min(self.path, key=lambda link: link.mean, default=None)

    @property
    def focus(self) -> Link | None:
        """The contact to look at first."""
        if self.relation == "joined":
            return self.weakest
        return self.forbidden[0].contact if self.relation == "forbidden" else self.contact or self.bottleneck


def explain_run(run: SegmentationRun, first: Piece, second: Piece) -> Explanation:
    """Why two pieces of a finished run are one segment or not.

    Raises DataError for an id that the run does not have, and for a voxel outside its box or in background.
    """
    ids = _supervoxel(run, first), _supervoxel(run, second)

    def place(edge: int) -> Place:
        voxel = voxel_at(run, edge // 3)
        x, y, z = (v * r for v, r in zip(voxel, run.facts.resolution_nm, strict=True))
        return Place(voxel=voxel, nm=(x, y, z))

    threshold = run.params.agglomeration_threshold
    lowest = threshold if any(rule.depends_on_threshold for rule in run.params.rules) else 0.0
    return explain(region_graph(run), merge_tree(run, lowest), threshold, ids, place, vetoes(run))


def explain(
    graph: Contacts,
    tree: MergeTree,
    threshold: float,
    pair: tuple[int, int],
    place: Callable[[int], Place],
    forbidden: Sequence[Veto] = (),
) -> Explanation:
    """The same on tables: `pair` are supervoxels, `place` says where a voxel edge is.

    `tree` goes down to 0; to the threshold, where rules depend on it.
    """
    names = tree.names(0, tree.above(threshold))
    a, b = (int(name) for name in names.follow(np.array(pair)))
    links = _Links(tree.scale, place)
    found = Explanation(
        relation="joined",
        threshold=threshold,
        lowest=tree.lowest,
        supervoxels=pair,
        segments=(a, b),
        chain=() if pair[0] == pair[1] else links.along(_between_supervoxels(graph, tree.joins), pair),
    )
    if pair[0] == pair[1]:
        return found.model_copy(update={"relation": "same supervoxel"})
    if a == b:
        return found
    left = graph.renamed(names.follow(graph.a), names.follow(graph.b))
    contact = links.between(left, a, b)
    path = () if contact else links.along(left.take(_spanning(left)), (a, b))
    between = [(a, b)] if contact else [(link.a, link.b) for link in path]
    refused = tuple(map(links.forbidden, _between(between, forbidden, names)))
    relation: Relation = "no contact" if path else "unconnected"
    if contact:
        relation = "forbidden" if refused else "weak contact"
    return found.model_copy(update={"relation": relation, "contact": contact, "forbidden": refused, "path": path})


class _Links:
    """Makes links of contacts."""

    def __init__(self, scale: int, place: Callable[[int], Place]) -> None:
        self._scale, self._place = scale, place

    def link(self, a: int, b: int, total: int, count: int, first: int) -> Link:
        return Link(a=a, b=b, mean=total / (count * self._scale), voxel_edges=count, place=self._place(first))

    def forbidden(self, veto: Veto) -> Forbidden:
        return Forbidden(rule=veto.rule, contact=self.link(veto.a, veto.b, veto.total, veto.count, veto.first))

    def between(self, contacts: Contacts, a: int, b: int) -> Link | None:
        """The contact of a pair, where it has one."""
        rows = np.flatnonzero((contacts.a == min(a, b)) & (contacts.b == max(a, b)))
        return self._row(contacts, int(rows[0]), a) if rows.size else None

    def along(self, forest: Contacts, ends: tuple[int, int]) -> tuple[Link, ...]:
        """The contacts on the way from one end to the other in a forest; none where there is no way."""
        links, at = [], ends[0]
        for row in _way(forest, *ends):
            links.append(self._row(forest, row, at))
            at = links[-1].b
        return tuple(links)

    def _row(self, contacts: Contacts, row: int, a: int) -> Link:
        """A row as a link that begins at `a`."""
        low, high = int(contacts.a[row]), int(contacts.b[row])
        b = high if a == low else low
        return self.link(a, b, int(contacts.total[row]), int(contacts.count[row]), int(contacts.first[row]))


def _between_supervoxels(graph: Contacts, joins: Contacts) -> Contacts:
    """Joins as links between the supervoxels on both sides of their first voxel edge."""
    order = np.argsort(graph.first)
    rows = order[np.searchsorted(graph.first, joins.first, sorter=order)]
    return Contacts(graph.a[rows], graph.b[rows], joins.total, joins.count, joins.first)


def _spanning(contacts: Contacts) -> Int64s:
    """The rows of the maximum spanning forest: on it lies the best way between any two."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    ids, ends = _nodes(contacts)
    order = best_first(contacts)
    rank = np.empty(len(contacts))
    rank[order] = np.arange(1, len(contacts) + 1)
    forest = minimum_spanning_tree(csr_array((rank, ends), shape=(ids.size, ids.size)))
    rows: Int64s = order[forest.data.astype(np.int64) - 1]
    return rows


def _way(forest: Contacts, start: int, end: int) -> list[int]:
    """The rows of a forest from one id to another, in order; none where there is no way."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order

    ids, ends = _nodes(forest)
    if not np.isin((start, end), ids).all():
        return []
    numbers = csr_array((np.arange(1, len(forest) + 1), ends), shape=(ids.size, ids.size))
    source, at = (int(i) for i in np.searchsorted(ids, (start, end)))
    _, before = breadth_first_order(numbers, source, directed=False)
    rows: list[int] = []
    while at != source:
        if before[at] < 0:
            return []
        low, high = sorted((at, int(before[at])))
        rows.append(int(numbers[low, high]) - 1)
        at = int(before[at])
    return rows[::-1]


def _nodes(contacts: Contacts) -> tuple[Int64s, tuple[Int64s, Int64s]]:
    """The ids that touch, and the contacts' two ends as numbers of these."""
    ids, numbers = np.unique(np.stack([contacts.a, contacts.b]), return_inverse=True)
    a, b = numbers.reshape(2, -1)
    return ids, (a, b)


def _between(pairs: Sequence[tuple[int, int]], vetoes: Sequence[Veto], names: Mapping) -> list[Veto]:
    """The vetoes between pairs of segments, the highest mean first; `names` says what segments clusters are in."""
    wanted = {(min(pair), max(pair)) for pair in pairs}
    ends = names.follow(np.array([(veto.a, veto.b) for veto in vetoes], np.int64).reshape(-1, 2))
    ends.sort(axis=1)
    found = [veto for veto, (a, b) in zip(vetoes, ends.tolist(), strict=True) if (a, b) in wanted]
    return sorted(found, key=lambda veto: (-Fraction(veto.total, veto.count), veto.first))


def _supervoxel(run: SegmentationRun, piece: Piece) -> int:
    """The supervoxel that a question is about; a segment stands for the supervoxel that names it."""
    if isinstance(piece, tuple):
        found = _label(run, piece)
        if found == 0:
            raise DataError(f"the voxel {piece} is background: it is in no supervoxel; give a voxel inside a cell")
        return found
    box = run.facts.box
    voxel = voxel_at(run, piece - 1)
    if piece < 1 or not box.contains(Box.from_shape(voxel, (1, 1, 1))) or _label(run, voxel) != piece:
        raise DataError(
            f"{run.output} has no supervoxel or segment {piece}; give an id that its layers hold, or a voxel x,y,z"
        )
    return piece


def _label(run: SegmentationRun, voxel: Triple) -> int:
    """The supervoxel of a voxel, 0 for background; raises DataError outside the run's box."""
    one = Box.from_shape(voxel, (1, 1, 1))
    if not run.facts.box.contains(one):
        raise DataError(f"the voxel {voxel} is outside the run's box {run.facts.box}; give one inside")
    return int(open_volume(run.layer("supervoxels")).read(one).item())

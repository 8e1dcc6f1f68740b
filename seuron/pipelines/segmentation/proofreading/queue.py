"""The proofreading queue: the decisions of a run that are most worth a look, from its tables.

Decisions are the joins of the merge tree, the contacts between segments that were left (below the threshold), and
those that a rule forbade. Each is ranked by what fixing it is expected to change:

    expected bits = chance that it is wrong x bits of VOI between its two possible outcomes

*Bits.* Two pieces of s and t voxels as one object or as two differ by h(s + t) - h(s) - h(t) over all labelled
voxels, with h(n) = n log2 n: that is the change of VOI when both pieces are pure. The pieces of a join are what would
fall apart if it alone were undone, those of a contact are whole segments.

*Chance.* Whoever chose the threshold t said that at a mean of t both answers are as likely; a mean m then speaks for
one object with the odds m / (1 - m) over t / (1 - t). A segment that touches no face of the box goes on somewhere,
unless it is a whole cell: its contacts share the odds among them (an *orphan*).

Everything is exact or in the order of ids, so the queue does not depend on how a run was cut into chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from abiss_py import Contacts, Mapping, MergeTree
from seuron.pipelines.segmentation.analysis.stored_graph import (
    Supervoxels,
    Veto,
    merge_tree,
    region_graph,
    supervoxels,
    vetoes,
)
from seuron.pipelines.segmentation.chunks import voxel_at
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.pipelines.segmentation.stages.edits import stored_edits
from seuron.pipelines.segmentation.stages.remap import segments_of
from seuron.volumes import open_volume

Int64s = NDArray[np.int64]
Floats = NDArray[np.float64]

#: What a row asks about: a join, a contact below the threshold, that of an orphan, one that a rule forbade.
KINDS = ("join", "contact", "orphan", "veto")
#: Means are held this far from 0 and 1, half a step of uint8, where odds are endless.
CLOSEST = 1 / 510
#: Voxels of a face of the box that are read at once.
FACE_CELL = 1024


@dataclass(frozen=True)
class Queue:
    """Decisions, those with most expected bits first; columns of equal length.

    `a` and `b` are the supervoxels at the place, `segment_a` and `segment_b` their segments (equal for a join) and
    `voxels_a`, `voxels_b` the sizes of the two pieces. `first` is the voxel edge that says where, `rule` the number of
    the rule that forbade it (-1: none).
    """

    kind: NDArray[np.str_]
    a: Int64s
    b: Int64s
    segment_a: Int64s
    segment_b: Int64s
    voxels_a: Int64s
    voxels_b: Int64s
    mean: Floats
    voxel_edges: Int64s
    chance: Floats
    bits: Floats
    first: Int64s
    rule: Int64s

    def __len__(self) -> int:
        return int(self.a.size)

    @property
    def expected_bits(self) -> Floats:
        return self.chance * self.bits

    def take(self, rows: NDArray[np.intp]) -> Queue:
        return Queue(*(getattr(self, column.name)[rows] for column in fields(self)))

    @classmethod
    def ranked(cls, parts: Sequence[Queue]) -> Queue:
        """Several queues as one, ranked; of equal rows that with the earlier place comes first."""
        joined = cls(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls)))
        return joined.take(np.lexsort((joined.first, -joined.expected_bits)))


@dataclass(frozen=True)
class Evidence:
    """What a queue is made from: the region graph, the merge tree down to the threshold, sizes, vetoes, faces.

    `at_faces` are the supervoxels that touch a face of the run's box.
    """

    graph: Contacts
    tree: MergeTree
    threshold: float
    sizes: Supervoxels
    vetoes: Sequence[Veto] = ()
    rules: Sequence[str] = ()
    at_faces: Int64s | None = None


def proofreading_queue(run: SegmentationRun, most: int) -> Queue:
    """The first `most` decisions of a finished run that its edits leave open; the six faces of its box are read."""
    threshold = run.params.agglomeration_threshold
    evidence = Evidence(
        region_graph(run),
        merge_tree(run, threshold),
        threshold,
        supervoxels(run),
        vetoes(run),
        [rule.name for rule in run.params.rules],
        supervoxels_at_faces(run),
    )
    queue = queue_of(evidence)
    if run.params.edits is not None:
        queue = _open(run, queue)
    return queue.take(np.arange(min(most, len(queue))))


def _open(run: SegmentationRun, queue: Queue) -> Queue:
    """The decisions that the run's edits did not turn round, nor answer, under the names that edits gave."""
    of_a, of_b = segments_of(run, queue.a), segments_of(run, queue.b)
    edits = stored_edits(run)
    asked = {frozenset(merge.pieces) for merge in edits.merges}
    asked |= {frozenset((one, other)) for split in edits.splits for one in split.one for other in split.other}
    pairs = zip(queue.a.tolist(), queue.b.tolist(), strict=True)
    answered = np.array([frozenset(pair) in asked for pair in pairs], bool)
    left = ((queue.kind == "join") == (of_a == of_b)) & ~answered
    return replace(queue, segment_a=of_a, segment_b=of_b).take(np.flatnonzero(left))


def queue_of(found: Evidence) -> Queue:
    """All decisions of a segmentation, ranked."""
    names = found.tree.names(0, found.tree.above(found.threshold))
    return Queue.ranked([_joins(found, names), _left(found, names), _vetoes(found, names)])


def supervoxels_at_faces(run: SegmentationRun) -> Int64s:
    """The supervoxels that touch a face of the run's box, read from its layer."""
    volume, box = open_volume(run.layer("supervoxels")), run.facts.box
    found = [np.zeros(0, np.int64)]
    for axis in range(3):
        for side in (0, 1):
            low, high = list(box.minimum), list(box.maximum)
            low[axis], high[axis] = (low[axis], low[axis] + 1) if side == 0 else (high[axis] - 1, high[axis])
            face = type(box).from_corners((*low, *high))
            cells = (cell for _, cell in face.cells((FACE_CELL,) * 3))
            found += [np.unique(volume.read(cell)).astype(np.int64) for cell in cells]
    return np.unique(np.concatenate(found))


def places(run: SegmentationRun, queue: Queue) -> Int64s:
    """The voxel of each row, (n, 3), in x, y, z of the run's scale."""
    return np.array([voxel_at(run, first // 3) for first in queue.first.tolist()], np.int64).reshape(-1, 3)


def _joins(found: Evidence, names: Mapping) -> Queue:
    joins = found.tree.joins.take(np.arange(found.tree.above(found.threshold)))
    a, b = _at_place(found.graph, joins.first)
    segments = names.follow(a)
    voxels = _sides(a, b, found.sizes)
    chance = 1 - _same(joins.total / (joins.count * found.tree.scale), found.threshold)
    return _rows("join", found, joins, (a, b), (segments, segments), voxels, chance)


def _left(found: Evidence, names: Mapping) -> Queue:
    """The contacts between segments; rules have a say in those above the threshold, which `_vetoes` lists."""
    left = found.graph.renamed(names.follow(found.graph.a), names.follow(found.graph.b))
    mean = left.total / (left.count * found.tree.scale)
    same = _same(mean, found.threshold)
    ids, sizes = _segment_sizes(found.sizes, names)
    voxels = sizes[np.searchsorted(ids, left.a)], sizes[np.searchsorted(ids, left.b)]
    chance, orphans = _with_orphans(found, names, left, same)
    queue = _rows("contact", found, left, _at_place(found.graph, left.first), (left.a, left.b), voxels, chance)
    queue.kind[orphans] = "orphan"
    return queue.take(np.flatnonzero(mean <= found.threshold))


def _with_orphans(found: Evidence, names: Mapping, left: Contacts, same: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """The chance that contacts are wrong, more where a side is an orphan; and which are an orphan's."""
    if found.at_faces is None or not len(left):
        return same, np.zeros(len(left), bool)
    at_faces = names.follow(found.at_faces)
    odds = same / (1 - same)
    chance, orphans = same.copy(), np.zeros(len(left), bool)
    ids, number = np.unique(np.concatenate([left.a, left.b]), return_inverse=True)
    sums = np.bincount(number, weights=np.concatenate([odds, odds]), minlength=ids.size)
    for side in (left.a, left.b):
        inside = ~np.isin(side, at_faces)
        share = odds / sums[np.searchsorted(ids, side)]
        chance = np.where(inside, np.maximum(chance, share), chance)
        orphans |= inside
    return chance, orphans


def _vetoes(found: Evidence, names: Mapping) -> Queue:
    rows = found.vetoes
    columns = [
        np.array([getattr(veto, name) for veto in rows], np.int64) for name in ("a", "b", "total", "count", "first")
    ]
    contacts = Contacts(*columns)
    ids, sizes = _segment_sizes(found.sizes, names)
    segments = names.follow(contacts.a), names.follow(contacts.b)
    voxels = sizes[np.searchsorted(ids, segments[0])], sizes[np.searchsorted(ids, segments[1])]
    apart = segments[0] != segments[1]  # another contact may have joined them since
    chance = _same(contacts.total / (np.maximum(contacts.count, 1) * found.tree.scale), found.threshold) * apart
    made = _rows("veto", found, contacts, _at_place(found.graph, contacts.first), segments, voxels, chance)
    numbers = np.array([list(found.rules).index(veto.rule) for veto in rows], np.int64)
    return replace(made, rule=numbers).take(np.flatnonzero(apart))


def _rows(
    kind: str,
    found: Evidence,
    contacts: Contacts,
    at: tuple[Int64s, Int64s],
    segments: tuple[Int64s, Int64s],
    voxels: tuple[Int64s, Int64s],
    chance: Floats,
) -> Queue:
    labelled = max(1, int(found.sizes.voxels[found.sizes.ids != 0].sum()))
    mean = contacts.total / (np.maximum(contacts.count, 1) * found.tree.scale)
    bits = (_entropy(voxels[0] + voxels[1]) - _entropy(voxels[0]) - _entropy(voxels[1])) / labelled
    none = np.full(len(contacts), -1, np.int64)
    kinds = np.full(len(contacts), kind, f"<U{max(map(len, KINDS))}")
    return Queue(kinds, *at, *segments, *voxels, mean, contacts.count, chance, bits, contacts.first, none)


def _same(mean: Floats, threshold: float) -> Floats:
    """The chance that two pieces with this mean between them are one object."""
    odds = [value / (1 - value) for value in (np.clip(v, CLOSEST, 1 - CLOSEST) for v in (mean, threshold))]
    found: Floats = odds[0] / (odds[0] + odds[1])
    return found


def _entropy(voxels: Int64s) -> Floats:
    found: Floats = voxels.astype(np.float64) * np.log2(np.maximum(voxels, 1).astype(np.float64))
    return found


def _at_place(graph: Contacts, first: Int64s) -> tuple[Int64s, Int64s]:
    """The supervoxels on both sides of voxel edges that are the first of contacts."""
    order = np.argsort(graph.first)
    rows = order[np.searchsorted(graph.first, first, sorter=order)] if len(graph) else np.zeros(0, np.int64)
    return graph.a[rows], graph.b[rows]


def _segment_sizes(sizes: Supervoxels, names: Mapping) -> tuple[Int64s, Int64s]:
    """Segments, ascending, and their voxels."""
    ids, number = np.unique(names.follow(sizes.ids), return_inverse=True)
    found = np.zeros(ids.size, np.int64)
    np.add.at(found, number, sizes.voxels)
    return ids, found


def _sides(a: Int64s, b: Int64s, sizes: Supervoxels) -> tuple[Int64s, Int64s]:
    """The voxels on both sides of each link of a forest between supervoxels: what would fall apart without it."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    count = sizes.ids.size
    ends = np.searchsorted(sizes.ids, np.stack([a, b]))
    forest = csr_array((np.ones(a.size, np.int8), (ends[0], ends[1])), shape=(count, count))
    trees = connected_components(forest, directed=False)[1]
    roots = np.unique(trees, return_index=True)[1]
    above = np.concatenate([ends, [np.full(roots.size, count), roots]], axis=1)  # one more node over all roots
    whole = csr_array((np.ones(above.shape[1], np.int8), (above[0], above[1])), shape=(count + 1, count + 1))
    order, parents = breadth_first_order(whole, count, directed=False)
    below, parent = [*sizes.voxels.tolist(), 0], parents.tolist()
    for node in order[:0:-1].tolist():
        below[parent[node]] += below[node]
    under = np.array(below, np.int64)
    of_tree = under[roots][trees[ends[0]]]
    a_is_child = parents[ends[0]] == ends[1]
    child = np.where(a_is_child, under[ends[0]], under[ends[1]])
    return np.where(a_is_child, child, of_tree - child), np.where(a_is_child, of_tree - child, child)

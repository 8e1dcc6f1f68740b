"""Edits on a region graph: which supervoxels are one segment when merges and splits are to hold.

A segment is a set of supervoxels that contacts connect. A merge adds a link that is never cut. A split cuts the
contacts of least affinity that keep its two sides connected: the minimum cut, a contact costing the sum of its
affinities. What no edit names keeps its segment, and the result is that of any order of the edits.
"""

from __future__ import annotations

from collections.abc import Mapping as Named
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from abiss_py import Contacts, Mapping
from seuron.errors import DataError

Int64s = NDArray[np.int64]
Numbers = NDArray[np.int32]

#: The flow is computed in 32 bits, so all contacts of a segment together must be less.
MOST_FLOW = 2**31 - 1


@dataclass(frozen=True)
class Cut:
    """A split among supervoxels: ids of both sides, and what it is called in messages."""

    one: tuple[int, ...]
    other: tuple[int, ...]
    place: str = ""


@dataclass(frozen=True)
class EditedSegments:
    """What edits make of segments: the new name of each supervoxel whose name changes, and what was there already."""

    names: Mapping
    joined_already: int
    apart_already: int


def edited_segments(
    graph: Contacts, segments: Named[int, int], links: Sequence[tuple[int, int]], cuts: Sequence[Cut]
) -> EditedSegments:
    """Names of supervoxels under edits; a segment is called by its smallest supervoxel.

    Args:
        graph: contacts between supervoxels, each pair once; those of the edited segments suffice.
        segments: the segment, without edits, of each supervoxel that `graph`, `links` or `cuts` name.
        links: pairs of supervoxels that are one object.
        cuts: supervoxels that are not.

    Raises DataError that names each cut that the links contradict.
    """
    members = _Members(graph, segments, links)
    problems = members.contradictions(cuts)
    if problems:
        raise DataError("\n".join(problems))
    before = members.connected()
    joined = sum(segments[a] == segments[b] for a, b in links)
    ordered = sorted(cuts, key=lambda cut: sorted((sorted(cut.one), sorted(cut.other))))
    apart, by_component = 0, dict[int, list[Cut]]()
    for cut in ordered:
        shared = members.shared(before, cut)
        apart += not shared
        for component in shared:
            by_component.setdefault(component, []).append(cut)
    for component, wanted in by_component.items():
        members.cut(np.flatnonzero(before == component).astype(np.int32), wanted)
    return EditedSegments(members.renamed(), int(joined), apart)


class _Members:
    """The supervoxels of the edited segments, numbered from 0 by their ids, and the contacts that connect them."""

    def __init__(self, graph: Contacts, segments: Named[int, int], links: Sequence[tuple[int, int]]) -> None:
        self.ids = np.array(sorted(segments), np.int64)
        self._old = np.array([segments[int(i)] for i in self.ids], np.int64)
        a, b = (np.searchsorted(self.ids, side) for side in (graph.a, graph.b))
        inside = self._old[a] == self._old[b]
        self._ends = np.stack([a[inside], b[inside]], axis=1).astype(np.int32)
        self._costs = graph.total[inside]
        self._alive = np.ones(len(self._ends), bool)
        self._links = np.searchsorted(self.ids, np.array(links, np.int64).reshape(-1, 2)).astype(np.int32)
        #: Supervoxels that links hold together have one number.
        self._held = _components(self.ids.size, self._links)

    def numbers(self, ids: Sequence[int]) -> Numbers:
        return np.searchsorted(self.ids, np.array(ids, np.int64)).astype(np.int32)

    def contradictions(self, cuts: Sequence[Cut]) -> list[str]:
        found = []
        for cut in cuts:
            if set(self._held[self.numbers(cut.one)]) & set(self._held[self.numbers(cut.other)]):
                found.append(
                    f"{cut.place or 'a split'} sets apart supervoxels {list(cut.one)} and {list(cut.other)}, which "
                    "merges of the same list join; take out one or the other"
                )
        return found

    def connected(self) -> Numbers:
        """The number of the component of each supervoxel, as far as contacts are cut by now."""
        return _components(self.ids.size, np.concatenate([self._ends[self._alive], self._links]))

    def shared(self, components: Numbers, cut: Cut) -> list[int]:
        """The components that hold supervoxels of both sides."""
        one, other = (set(components[self.numbers(side)].tolist()) for side in (cut.one, cut.other))
        return sorted(one & other)

    def cut(self, members: Numbers, cuts: Sequence[Cut]) -> None:
        """Carry out all cuts inside one component, given by its members, one after the other."""
        rows = np.flatnonzero(np.isin(self._ends[:, 0], members))
        linked = self._links[np.isin(self._links[:, 0], members)]
        place = np.full(self.ids.size, -1, np.int32)
        place[members] = np.arange(members.size)
        for cut in cuts:
            alive = rows[self._alive[rows]]
            ends = place[np.concatenate([self._ends[alive], linked])]
            parts = _components(members.size, ends)
            sides = [place[self.numbers(side)] for side in (cut.one, cut.other)]
            one, other = (side[side >= 0] for side in sides)
            for part in sorted(set(parts[one]) & set(parts[other])):
                inside = alive[parts[place[self._ends[alive, 0]]] == part]
                near = (self._held[members[side[parts[side] == part]]] for side in (one, other))
                self._cut_between(inside, *near)

    def _cut_between(self, rows: NDArray[np.intp], one: Numbers, other: Numbers) -> None:
        """Cut the rows of the minimum cut between two sets of held groups; that with the lower number is the source."""
        if one.min() > other.min():
            one, other = other, one
        groups, ends = np.unique(self._held[self._ends[rows]], return_inverse=True)
        ends = ends.reshape(-1, 2)
        source, sink = groups.size, groups.size + 1
        node = np.arange(groups.size)
        node[np.isin(groups, one)] = source
        node[np.isin(groups, other)] = sink
        ends = node[ends]
        behind = _source_side(ends, self._costs[rows], source, sink)
        self._alive[rows[behind[ends[:, 0]] != behind[ends[:, 1]]]] = False

    def renamed(self) -> Mapping:
        components = self.connected()
        smallest = np.full(self.ids.size, np.iinfo(np.int64).max)
        np.minimum.at(smallest, components, self.ids)
        names = smallest[components]
        changed = names != self._old
        return Mapping(self.ids[changed], names[changed])


def _components(size: int, ends: Numbers) -> Numbers:
    """The component of each of `size` nodes, numbered from 0, by edges (n, 2)."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    graph = csr_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(size, size))
    found: Numbers = connected_components(graph, directed=False)[1]
    return found


def _source_side(ends: NDArray[np.intp], costs: Int64s, source: int, sink: int) -> NDArray[np.bool_]:
    """Which nodes stay with the source when the edges of least cost are cut; of several such sets, the smallest.

    That set does not depend on which maximum flow was found, nor on the order of the edges.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    between = ends[:, 0] != ends[:, 1]
    ends, costs = ends[between], np.maximum(costs[between], 1)
    scale = max(1, -(-int(costs.sum()) // (MOST_FLOW - len(costs))))
    capacity = np.maximum(costs // scale, 1)
    size = sink + 1
    a, b = np.concatenate([ends, ends[:, ::-1]]).T
    graph = csr_array((np.concatenate([capacity, capacity]), (a, b)), shape=(size, size)).astype(np.int32)
    graph.sum_duplicates()
    residual = graph - maximum_flow(graph, source, sink).flow
    residual.eliminate_zeros()
    reached = np.zeros(size, bool)
    reached[breadth_first_order(residual, source, return_predecessors=False)] = True
    return reached

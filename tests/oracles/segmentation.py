"""The contract of the segmentation, written down as slowly and plainly as possible.

Straight from the definitions: sorted lists, dictionaries, fractions. No chunks, no shortcuts.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Voxel = int


@dataclass(frozen=True)
class Edge:
    weight: float
    index: int
    here: Voxel
    there: Voxel
    amount: int


def voxel_edges(affinities: NDArray[Any]) -> list[Edge]:
    """All edges in the total order: affinity descending, index ascending."""
    nx, ny, nz, _ = affinities.shape
    steps = (1, nx, nx * ny)
    edges = []
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                voxel = x + nx * (y + ny * z)
                for c, position in enumerate((x, y, z)):
                    if position == 0:
                        continue
                    value = affinities[x, y, z, c]
                    if affinities.dtype == np.uint8:
                        weight, amount = int(value) / 255.0, int(value)
                    else:
                        weight, amount = float(value), int(np.rint(float(value) * 2.0**24))
                    edges.append(Edge(weight, 3 * voxel + c, voxel, voxel - steps[c], amount))
    return sorted(edges, key=lambda edge: (-edge.weight, edge.index))


class Sets:
    """Disjoint sets named by their smallest member."""

    def __init__(self, count: int) -> None:
        self.members = {i: {i} for i in range(count)}
        self.name = list(range(count))

    def join(self, a: int, b: int) -> None:
        keep, gone = sorted((self.name[a], self.name[b]))
        if keep == gone:
            return
        for member in self.members[gone]:
            self.name[member] = keep
        self.members[keep] |= self.members.pop(gone)


def watershed(affinities: NDArray[Any], high: float, low: float, size: int, dust: int) -> list[int]:
    """The supervoxel id of every voxel, by linear index."""
    voxels = int(np.prod(affinities.shape[:3]))
    edges = voxel_edges(affinities)
    sets, steepest = Sets(voxels), {}
    for edge in edges:
        if edge.weight > low:
            steepest.setdefault(edge.here, edge)
            steepest.setdefault(edge.there, edge)
        if edge.weight >= high:
            sets.join(edge.here, edge.there)
    for edge in steepest.values():
        sets.join(edge.here, edge.there)
    for edge in edges:
        if edge.weight > low:
            a, b = sets.name[edge.here], sets.name[edge.there]
            if a != b and (len(sets.members[a]) < size or len(sets.members[b]) < size):
                sets.join(a, b)
    return [1 + sets.name[v] if v in steepest and len(sets.members[sets.name[v]]) >= dust else 0 for v in range(voxels)]


def region_graph(affinities: NDArray[Any], ids: list[int]) -> dict[tuple[int, int], list[int]]:
    """(a, b) -> [total, count, first] for every two ids that touch, a < b."""
    graph: dict[tuple[int, int], list[int]] = {}
    for edge in voxel_edges(affinities):
        a, b = sorted((ids[edge.here], ids[edge.there]))
        if a == b or a == 0:
            continue
        row = graph.setdefault((a, b), [0, 0, edge.index])
        row[0] += edge.amount
        row[1] += 1
        row[2] = min(row[2], edge.index)
    return graph


def agglomerate(graph: dict[tuple[int, int], list[int]], threshold: float, scale: int) -> dict[int, int]:
    """The segment id of every supervoxel in the graph."""
    graph = {pair: list(row) for pair, row in graph.items()}
    name = {i: i for pair in graph for i in pair}
    while graph:
        pair = min(graph, key=lambda p: (-Fraction(graph[p][0], graph[p][1]), graph[p][2]))
        total, count, _ = graph.pop(pair)
        if Fraction(total, count * scale) <= Fraction(threshold):
            break
        keep, gone = pair
        name = {i: keep if n == gone else n for i, n in name.items()}
        for old in [p for p in graph if gone in p]:
            row = graph.pop(old)
            other = old[0] if old[1] == gone else old[1]
            into = graph.setdefault((min(keep, other), max(keep, other)), [0, 0, row[2]])
            into[0] += row[0]
            into[1] += row[1]
            into[2] = min(into[2], row[2])
    return name


def segment(
    affinities: NDArray[Any], high: float, low: float, size: int, dust: int, threshold: float
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Supervoxels and segments, (X, Y, Z)."""
    ids = watershed(affinities, high, low, size, dust)
    scale = 255 if affinities.dtype == np.uint8 else 2**24
    name = agglomerate(region_graph(affinities, ids), threshold, scale)
    shape = affinities.shape[:3]
    supervoxels = np.array(ids, np.uint64).reshape(shape, order="F")
    segments = np.array([name.get(i, i) for i in ids], np.uint64).reshape(shape, order="F")
    return supervoxels, segments

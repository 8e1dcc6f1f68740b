"""The contract of the segmentation, written down as slowly and plainly as possible.

Straight from the definitions: sorted lists, dictionaries, fractions. No chunks, no shortcuts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py import Constraint, SemanticRule, SizeRule, TwigRule

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


def strongest_edges(affinities: NDArray[Any], labels: list[int]) -> dict[tuple[int, int], int | float]:
    """(a, b) -> the largest affinity, as it is stored, of the voxel edges between them, a < b."""
    found: dict[tuple[int, int], int | float] = {}
    values = affinities.reshape(-1, order="F")
    for edge in voxel_edges(affinities):
        a, b = sorted((labels[edge.here], labels[edge.there]))
        if a != b and a != 0:
            stored = values[edge.index % 3 * len(labels) + edge.here].item()
            found[a, b] = max(stored, found.get((a, b), 0))
    return found


def boxes(labels: NDArray[Any], count: int) -> NDArray[np.int64]:
    """The first voxel of each label 1..count along x, y, z, and the one after its last; (count + 1, 2, 3)."""
    found = np.zeros((count + 1, 2, 3), np.int64)
    for label in range(1, count + 1):
        where = np.argwhere(labels == label)
        found[label] = where.min(axis=0), where.max(axis=0) + 1
    return found


@dataclass(frozen=True)
class Row:
    """What rules look at: a cluster's voxels, supervoxels, and voxels of each class."""

    voxels: int
    supervoxels: int
    classes: tuple[int, ...]

    def __add__(self, other: Row) -> Row:
        classes = tuple(map(sum, zip(self.classes, other.classes, strict=True)))
        return Row(self.voxels + other.voxels, self.supervoxels + other.supervoxels, classes)


def cluster_rows(ids: list[int], semantic: list[int], classes: int) -> dict[int, Row]:
    """The row of every supervoxel, from the voxels one by one."""
    rows: dict[int, Row] = {}
    for supervoxel, kind in zip(ids, semantic, strict=True):
        counted = tuple(int(kind == k + 1) for k in range(classes))
        row = Row(1, int(supervoxel not in rows), counted)
        rows[supervoxel] = rows[supervoxel] + row if supervoxel in rows else row
    return rows


def shown_classes(row: Row, rule: SemanticRule, class_names: tuple[str, ...]) -> set[str]:
    """The classes and groups that a cluster shows."""
    labelled = dict(zip(class_names, row.classes, strict=True))
    if sum(row.classes) < rule.evidence or not any(row.classes):
        return set()
    groups = {name: (name,) for name in class_names} | dict(rule.groups)
    least = Fraction(str(rule.dominance)) * sum(row.classes)
    return {name for name, members in groups.items() if sum(labelled[member] for member in members) >= least}


def is_vetoed(
    rule: Constraint, total: int, count: int, a: Row, b: Row, threshold: float, scale: int, class_names: tuple[str, ...]
) -> bool:
    """Whether a rule forbids to join clusters a and b."""
    mean = Fraction(total, count * scale)
    if rule.below is not None and mean >= Fraction(rule.below):
        return False
    if rule.above is not None and mean <= Fraction(rule.above):
        return False
    if isinstance(rule, SizeRule):
        smaller, larger = sorted((getattr(a, rule.measure), getattr(b, rule.measure)))
        return smaller > rule.smaller_over and larger > rule.larger_over and smaller + larger > rule.sum_over
    if isinstance(rule, SemanticRule):
        if not class_names:
            return False
        of_a, of_b = shown_classes(a, rule, class_names), shown_classes(b, rule, class_names)
        if rule.forbidden == "different":
            of_a, of_b = of_a & set(class_names), of_b & set(class_names)
            return bool(of_a and of_b and of_a != of_b)
        return any((g in of_a and h in of_b) or (h in of_a and g in of_b) for g, h in rule.forbidden)
    if isinstance(rule, TwigRule):
        small = min(a.voxels, b.voxels) <= rule.voxels
        return mean < Fraction(threshold - rule.delta) and small and count <= rule.edges
    rows = (np.array([row.voxels, row.supervoxels, *row.classes]) for row in (a, b))
    return bool(rule.function()(total, count, *rows))


Veto = tuple[int, int, int, int, int, int]


def agglomerate(
    graph: dict[tuple[int, int], list[int]],
    threshold: float,
    scale: int,
    rules: Sequence[Constraint] = (),
    rows: dict[int, Row] | None = None,
    class_names: tuple[str, ...] = (),
) -> tuple[dict[int, int], list[Veto]]:
    """The segment id of every supervoxel in the graph, and (a, b, rule, total, count, first) of every veto."""
    graph = {pair: list(row) for pair, row in graph.items()}
    name = {i: i for pair in graph for i in pair}
    rows = dict(rows or {})
    vetoes: list[Veto] = []
    while graph:
        pair = min(graph, key=lambda p: (-Fraction(graph[p][0], graph[p][1]), graph[p][2]))
        total, count, first = graph.pop(pair)
        if Fraction(total, count * scale) <= Fraction(threshold):
            break
        keep, gone = pair
        forbidding = [
            number
            for number, rule in enumerate(rules)
            if is_vetoed(rule, total, count, rows[keep], rows[gone], threshold, scale, class_names)
        ]
        if forbidding:
            vetoes.append((keep, gone, forbidding[0], total, count, first))
            continue
        if rules:
            rows[keep] = rows[keep] + rows[gone]
        name = {i: keep if n == gone else n for i, n in name.items()}
        for old in [p for p in graph if gone in p]:
            row = graph.pop(old)
            other = old[0] if old[1] == gone else old[1]
            into = graph.setdefault((min(keep, other), max(keep, other)), [0, 0, row[2]])
            into[0] += row[0]
            into[1] += row[1]
            into[2] = min(into[2], row[2])
    return name, vetoes


def segment(
    affinities: NDArray[Any],
    high: float,
    low: float,
    size: int,
    dust: int,
    threshold: float,
    constraints: Sequence[Constraint] = (),
    semantic: NDArray[Any] | None = None,
    class_names: tuple[str, ...] = (),
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], list[Veto]]:
    """Supervoxels and segments, (X, Y, Z), and the vetoes."""
    ids = watershed(affinities, high, low, size, dust)
    scale = 255 if affinities.dtype == np.uint8 else 2**24
    kinds = [0] * len(ids) if semantic is None else semantic.ravel(order="F").tolist()
    rows = cluster_rows(ids, kinds, len(class_names))
    name, vetoes = agglomerate(region_graph(affinities, ids), threshold, scale, constraints, rows, class_names)
    shape = affinities.shape[:3]
    supervoxels = np.array(ids, np.uint64).reshape(shape, order="F")
    segments = np.array([name.get(i, i) for i in ids], np.uint64).reshape(shape, order="F")
    return supervoxels, segments, vetoes


def best_way(means: dict[tuple[int, int], Fraction], start: int, end: int) -> Fraction | None:
    """The highest value at which contacts of at least that mean lead from start to end; None where none do."""
    for limit in sorted(set(means.values()), reverse=True):
        reached, grown = set(), {start}
        while reached != grown:
            reached = set(grown)
            for (a, b), mean in means.items():
                if mean >= limit and {a, b} & reached:
                    grown |= {a, b}
        if end in reached:
            return limit
    return None

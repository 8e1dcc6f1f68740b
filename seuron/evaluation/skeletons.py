"""Expected run length: how far one can follow a true skeleton before a segmentation errs.

As in Januszewski et al., Nature Methods 15 (2018). A skeleton's edge is *right* when both of its nodes lie in one
segment that is neither background nor *merged*. A segment is merged when at least `merge_tolerance` nodes of two
skeletons or more lie in it, each; few nodes beside the middle of a neurite may lie in a neighbour, which is what the
tolerance is for. The runs of a skeleton are the lengths of right edges by segment; a place drawn by length lies in a
run of expected length

    ERL = sum of the squares of all runs / length of all skeletons

and NERL is ERL over that of a perfect segmentation, in which each skeleton is one run.

What is added up are nodes and edges of pairs of a skeleton and a segment; lengths are sums of 64-bit floats in the
order of the skeletons, so the figures do not depend on how voxels were read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from seuron.errors import DataError
from seuron.evaluation.scores import RESERVED_IDS, WORST

Points = NDArray[np.float64]
Ids = NDArray[np.uint64]
#: Nodes of a second skeleton in a segment from which on it counts as merged.
MERGE_TOLERANCE = 2
#: Columns of a line of an SWC file: number, type, x, y, z, radius, parent.
SWC_COLUMNS = 7


@dataclass(frozen=True)
class TrueSkeleton:
    """A true object as nodes (n, 3) in nm, and edges (m, 2) between them."""

    id: int
    nodes: Points
    edges: NDArray[np.int64]

    def lengths(self) -> Points:
        """The length of each edge in nm."""
        steps = self.nodes[self.edges[:, 0]] - self.nodes[self.edges[:, 1]]
        found: Points = np.sqrt((steps * steps).sum(axis=1))
        return found


class MergedSegment(BaseModel):
    """A segment that holds nodes of several skeletons, and the length of right edges that it costs."""

    model_config = ConfigDict(frozen=True)

    id: int
    skeletons: list[int]
    nm: float


class RunLengths(BaseModel):
    """How far skeletons can be followed."""

    model_config = ConfigDict(frozen=True)

    erl_nm: float = Field(description="expected run length in nm")
    nerl: float = Field(description="expected run length over that of a perfect segmentation, 0 to 1")
    length_nm: float = Field(description="length of all skeletons")
    right_nm: float = Field(description="length of edges whose nodes are both in one segment that is not merged")
    split_nm: float = Field(description="length of edges between two segments")
    omitted_nm: float = Field(description="length of edges with a node in background")
    merged_nm: float = Field(description="length of edges inside merged segments")
    skeletons: int
    merge_tolerance: int = Field(description="nodes of a second skeleton from which on a segment counts as merged")
    worst_merges: list[MergedSegment] = Field(description="merged segments that cost most length")


def run_lengths(
    skeletons: Sequence[TrueSkeleton], segments: Sequence[Ids], merge_tolerance: int = MERGE_TOLERANCE
) -> RunLengths:
    """Expected run length of skeletons, given the segment of each of their nodes (0: background).

    Raises DataError when no skeleton has an edge, or where ids and nodes do not match.
    """
    if merge_tolerance < 1:
        raise DataError(f"merge_tolerance is {merge_tolerance}; allowed are numbers of nodes from 1")
    for skeleton, ids in zip(skeletons, segments, strict=True):
        if len(ids) != len(skeleton.nodes):
            raise DataError(f"skeleton {skeleton.id} has {len(skeleton.nodes)} nodes, got segments of {len(ids)}")
    segments = [np.where(np.isin(ids, RESERVED_IDS), np.uint64(0), ids) for ids in segments]
    merged = _merged(skeletons, segments, merge_tolerance)
    sums = dict.fromkeys(("right", "split", "omitted", "merged"), 0.0)
    squares, best, lost = 0.0, 0.0, dict[int, float]()
    for skeleton, ids in zip(skeletons, segments, strict=True):
        lengths, (a, b) = skeleton.lengths(), ids[skeleton.edges].reshape(-1, 2).T
        omitted, split = (a == 0) | (b == 0), a != b
        bad = np.isin(a, np.array(sorted(merged), np.uint64))
        kinds = np.select([omitted, split, bad], ["omitted", "split", "merged"], "right")
        for kind in sums:
            sums[kind] += float(lengths[kinds == kind].sum())
        squares += float((_by_segment(a, lengths, kinds == "right") ** 2).sum())
        best += float(lengths.sum()) ** 2
        for segment in np.unique(a[kinds == "merged"]).tolist():
            lost[segment] = lost.get(segment, 0.0) + float(lengths[(kinds == "merged") & (a == segment)].sum())
    total = sum(sums.values())
    if total == 0:
        raise DataError("no skeleton has an edge of any length; give skeletons, or labels that are large enough")
    order = sorted(lost, key=lambda segment: (-lost[segment], segment))[:WORST]
    return RunLengths(
        erl_nm=squares / total,
        nerl=squares / best,
        length_nm=total,
        **{f"{kind}_nm": value for kind, value in sums.items()},
        skeletons=len(skeletons),
        merge_tolerance=merge_tolerance,
        worst_merges=[MergedSegment(id=i, skeletons=sorted(merged[i]), nm=lost[i]) for i in order],
    )


def _merged(skeletons: Sequence[TrueSkeleton], segments: Sequence[Ids], tolerance: int) -> dict[int, set[int]]:
    """The segments with nodes enough of two skeletons or more, and which these are."""
    holders: dict[int, set[int]] = {}
    for skeleton, ids in zip(skeletons, segments, strict=True):
        found, counts = np.unique(ids, return_counts=True)
        for segment in found[(counts >= tolerance) & (found != 0)].tolist():
            holders.setdefault(segment, set()).add(skeleton.id)
    return {segment: held for segment, held in holders.items() if len(held) > 1}


def _by_segment(segments: Ids, lengths: Points, counted: NDArray[np.bool_]) -> Points:
    _, number = np.unique(segments[counted], return_inverse=True)
    found: Points = np.bincount(number, weights=lengths[counted]).astype(np.float64)
    return found


def parse_swc(text: str, id: int, name: str) -> TrueSkeleton:
    """A skeleton from the text of an SWC file, in nm; raises DataError with each line that is none."""
    rows: list[tuple[int, Points, int]] = []
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        row = _swc_row(line)
        if row is None:
            problems.append(f"line {number} is {line.strip()[:60]!r}; expected {SWC_COLUMNS} numbers")
        else:
            rows.append(row)
    place = {row[0]: at for at, row in enumerate(rows)}
    problems += [f"node {n} has the parent {p}, which is no node" for n, _, p in rows if p >= 0 and p not in place]
    if len(place) < len(rows):
        problems.append("two nodes have one number")
    if not rows:
        problems.append("it has no node")
    if problems:
        raise DataError(f"{name} is no SWC skeleton: {'; '.join(problems[:10])}")
    edges = [(at, place[parent]) for at, (_, _, parent) in enumerate(rows) if parent >= 0]
    return TrueSkeleton(id, np.array([row[1] for row in rows]), np.array(edges, np.int64).reshape(-1, 2))


def _swc_row(line: str) -> tuple[int, Points, int] | None:
    try:
        values: list[Any] = [float(word) for word in line.split()]
    except ValueError:
        return None
    if len(values) != SWC_COLUMNS or not np.isfinite(values).all():
        return None
    return int(values[0]), np.array(values[2:5]), int(values[6])

"""Union-find on arrays. The root of a set is its smallest member."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from abiss_py.kernels import compiled


@compiled
def find(parent: NDArray[Any], member: Any) -> Any:
    """The root of a member's set, halving the path on the way."""
    while parent[member] != member:
        parent[member] = parent[parent[member]]
        member = parent[member]
    return member


@compiled
def union(parent: NDArray[Any], a: Any, b: Any) -> Any:
    """Join two sets; returns the root, which is the smaller of both roots."""
    a, b = find(parent, a), find(parent, b)
    if a < b:
        parent[b] = a
        return a
    parent[a] = b
    return b


@compiled
def point_to_roots(parent: NDArray[Any]) -> None:
    """Make every member's parent its root."""
    for member in range(parent.size):
        parent[member] = find(parent, member)

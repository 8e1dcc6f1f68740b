"""Predicates for tests of custom rules, where rules that name a module can find them."""

from __future__ import annotations

from typing import Any


def tiny(total: int, count: int, a: Any, b: Any) -> bool:
    """Forbids to join where either cluster has fewer than three voxels."""
    return bool(min(a[0], b[0]) < 3)


def many_edges(total: int, count: int, a: Any, b: Any) -> bool:
    """Forbids to join by a contact of more than four voxel edges."""
    return count > 4


def not_for_numba(total: int, count: int, a: Any, b: Any) -> bool:
    """Reads a file, which compiled code cannot."""
    with open("rules.txt") as lines:  # noqa: PTH123
        return len(lines.readlines()) > count

"""Whether a rule forbids to join two clusters.

A rule is a row of integers; `abiss_py/constraints.py` writes it. A cluster is a row of its table:
voxels, supervoxels, voxels of class 1, 2, ... No rule looks at anything else, so that what it says
about two clusters is the same wherever they are met.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from abiss_py.errors import ArgumentError
from abiss_py.kernels import compiled
from abiss_py.kernels.exact import compare_products, mean_below, mean_exceeds

Int64s = NDArray[np.int64]

#: Columns of a rule: its kind, the means between which it is active as `numerator / 2^shift` (a shift
#: of -1 leaves that side open), and up to four numbers of its kind.
KIND, BELOW, BELOW_SHIFT, ABOVE, ABOVE_SHIFT, NUMBERS, COLUMNS = 0, 1, 2, 3, 4, 5, 10
#: size: measure (0 voxels, 1 supervoxels), smaller over, larger over, sum over.
SIZE = 0
#: semantic: evidence in voxels, dominance as numerator and denominator, first and last row of masks.
#: Without rows of masks any two different dominant classes are forbidden.
SEMANTIC = 1
#: twig: voxels of the smaller one, voxel edges of the contact.
TWIG = 2
#: custom: the number that the predicate is asked by.
CUSTOM = 3

#: What a predicate is called with: its number, the contact's sum and count, and both clusters' rows.
_ROW = numba.types.int64[::1]
PREDICATE = numba.types.boolean(numba.types.int64, numba.types.int64, numba.types.int64, _ROW, _ROW)


@compiled
def _too_large(rule: Int64s, a: Int64s, b: Int64s) -> Any:
    measure = rule[NUMBERS]
    smaller, larger = min(a[measure], b[measure]), max(a[measure], b[measure])
    return smaller > rule[NUMBERS + 1] and larger > rule[NUMBERS + 2] and smaller + larger > rule[NUMBERS + 3]


@compiled
def _dominant(voxels: Any, labelled: Any, rule: Int64s) -> Any:
    """Whether these voxels are the rule's share of the labelled ones."""
    return compare_products(voxels, rule[NUMBERS + 2], labelled, rule[NUMBERS + 1]) >= 0


@compiled
def _masked(cluster: Int64s, mask: NDArray[np.bool_]) -> Any:
    """The voxels of the classes in a mask."""
    voxels = np.int64(0)
    for k in range(mask.size):
        if mask[k]:
            voxels += cluster[2 + k]
    return voxels


@compiled
def _classes_clash(rule: Int64s, masks: NDArray[np.bool_], a: Int64s, b: Int64s) -> Any:
    labelled_a, labelled_b = np.int64(0), np.int64(0)
    for k in range(2, a.size):
        labelled_a += a[k]
        labelled_b += b[k]
    if labelled_a < rule[NUMBERS] or labelled_b < rule[NUMBERS]:
        return False
    if rule[NUMBERS + 3] == rule[NUMBERS + 4]:  # more than half of the voxels: at most one class of each
        of_a, of_b = -1, -1
        for k in range(2, a.size):
            if _dominant(a[k], labelled_a, rule):
                of_a = k
            if _dominant(b[k], labelled_b, rule):
                of_b = k
        return of_a >= 0 and of_b >= 0 and of_a != of_b
    for row in range(rule[NUMBERS + 3], rule[NUMBERS + 4]):
        for side in range(2):
            if _dominant(_masked(a, masks[row, side]), labelled_a, rule) and _dominant(
                _masked(b, masks[row, 1 - side]), labelled_b, rule
            ):
                return True
    return False


@compiled
def first_veto(
    rules: Int64s,
    masks: NDArray[np.bool_],
    predicate: Any,
    total: Any,
    count: Any,
    a: Int64s,
    b: Int64s,
) -> Any:
    """The number of the first rule that forbids the join, or -1.

    `a` and `b` are the clusters' rows, that with the smaller id first. `masks` (rows, 2, classes) are
    pairs of sets of classes. `predicate` is None, and costs nothing, where no rule is custom.
    """
    for number in range(rules.shape[0]):
        rule = rules[number]
        if rule[BELOW_SHIFT] >= 0 and not mean_below(total, count, rule[BELOW], rule[BELOW_SHIFT]):
            continue
        if rule[ABOVE_SHIFT] >= 0 and not mean_exceeds(total, count, rule[ABOVE], rule[ABOVE_SHIFT]):
            continue
        if rule[KIND] == SIZE:
            vetoed = _too_large(rule, a, b)
        elif rule[KIND] == SEMANTIC:
            vetoed = _classes_clash(rule, masks, a, b)
        elif rule[KIND] == TWIG:
            vetoed = min(a[0], b[0]) <= rule[NUMBERS] and count <= rule[NUMBERS + 1]
        else:
            vetoed = False
            if predicate is not None:
                vetoed = predicate(rule[NUMBERS], total, count, a, b)
        if vetoed:
            return number
    return -1


@lru_cache(maxsize=64)
def compile_predicates(functions: tuple[Callable[..., bool], ...]) -> Any:
    """Python functions of (total, count, a, b) as one predicate that is asked by number; None for none.

    It is handed to kernels as a function pointer, of one type whatever the functions are: kernels
    that take it come out of the disk cache as others do. It is compiled once in a process, in 0.1 to 0.8 s.
    Raises ArgumentError with numba's reason where one of the functions cannot be compiled.
    """
    combined: Any = None
    try:
        for function in reversed(functions):
            combined = _either(numba.njit(nogil=True)(function), combined)
        return None if combined is None else numba.cfunc(PREDICATE)(combined)
    except Exception as error:  # numba raises what the types of a function's own values raise, too
        names = ", ".join(function.__qualname__ for function in functions)
        raise ArgumentError(
            f"numba cannot compile {names} for (total, count, a, b): {error}. "
            "Use numbers, loops and numpy only, and return whether the join is forbidden"
        ) from error


def _either(one: Any, others: Any) -> Any:
    """A function that asks `one` by the number 0 and the others by the numbers above."""
    if others is None:
        return numba.njit(nogil=True)(lambda number, total, count, a, b: one(total, count, a, b))

    def ask(number: int, total: int, count: int, a: Int64s, b: Int64s) -> bool:
        if number == 0:
            return bool(one(total, count, a, b))
        return bool(others(number - 1, total, count, a, b))

    return numba.njit(nogil=True)(ask)

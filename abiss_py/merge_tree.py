"""The merge tree: all joins of an agglomeration, from which every higher threshold can be read off.

Joining never raises a contact in the order (mean descending, first voxel edge ascending), so the
joins of one agglomeration come in that order. Those above a threshold t are all that agglomeration
at t makes: the joins at a lower threshold only follow them. No two joins have the same first edge,
so the order of joins that were decided in different boxes is the order of their rows.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from abiss_py.contacts import Contacts
from abiss_py.errors import ArgumentError
from abiss_py.relabel import Mapping

Int64s = NDArray[np.int64]

#: Bits of a digit of the long division of means: a remainder below 2^39, times 2^24, still fits in int64.
DIGIT = 24


@dataclass(frozen=True)
class MergeTree:
    """The joins down to the threshold `lowest`, best first.

    Each row holds the smallest ids, a < b, that the two clusters had when they were joined; from then
    on the cluster is called a. `scale` is the integer that an affinity of 1 is summed as.
    """

    joins: Contacts
    scale: int
    lowest: float

    @classmethod
    def of(cls, joins: Contacts, scale: int, lowest: float) -> MergeTree:
        """A tree from joins in any order, such as those of several boxes one after the other."""
        return cls(joins.take(best_first(joins)), scale, lowest)

    def above(self, threshold: float) -> int:
        """How many joins agglomeration at `threshold` makes: those with a mean above it, compared exactly."""
        if threshold < self.lowest:
            raise ArgumentError(
                f"the merge tree goes down to the threshold {self.lowest}, got {threshold}; agglomerate to that one"
            )
        limit, joins = Fraction(threshold) * self.scale, self.joins

        def is_below(row: int) -> bool:
            return Fraction(int(joins.total[row]), int(joins.count[row])) <= limit

        return bisect_left(range(len(joins)), True, key=is_below)

    def names(self, start: int, stop: int) -> Mapping:
        """What clusters that exist after `start` joins are called after `stop` of them."""
        mapping = Mapping.of(self.joins.b[start:stop], self.joins.a[start:stop])
        while True:
            above = mapping.follow(mapping.values)
            if np.array_equal(above, mapping.values):
                return mapping
            mapping = Mapping(mapping.keys, above)


def best_first(contacts: Contacts) -> Int64s:
    """The rows in the order of agglomeration: mean descending, `first` ascending, means compared exactly.

    Means are divided out to 96 bits behind the point. Two different means of fewer than 2^39 voxel
    edges each differ by more than 2^-78, so these bits order as the fractions do.
    """
    whole, rest = np.divmod(contacts.total, contacts.count)
    digits = []
    for _ in range(4):
        digit, rest = np.divmod(rest << DIGIT, contacts.count)
        digits.append(digit)
    high, middle, low = whole << DIGIT | digits[0], digits[1] << DIGIT | digits[2], digits[3]
    return np.lexsort((contacts.first, -low, -middle, -high))

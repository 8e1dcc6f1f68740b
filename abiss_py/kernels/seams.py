"""Rows of a seam that follow each other and are of one pair, as one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled

Int64s = NDArray[np.int64]


@compiled
def fold(
    a: Int64s,
    b: Int64s,
    joined: NDArray[np.bool_],
    weight: NDArray[np.uint32],
    index: Int64s,
    total: Int64s,
    count: Int64s,
    first: Int64s,
) -> int:
    """Fold a table's rows in place, without those of background (0); returns how many there are then.

    A row is joined if one of its rows is; it has the strongest one's weight and index, the smallest index
    of several; totals and counts are added, the first edge is the smallest.
    """
    last = -1
    for i in range(a.size):
        if a[i] == 0 or b[i] == 0:
            continue
        if last < 0 or a[i] != a[last] or b[i] != b[last]:
            last += 1
            a[last], b[last], joined[last], weight[last] = a[i], b[i], joined[i], weight[i]
            index[last], total[last], count[last], first[last] = index[i], total[i], count[i], first[i]
            continue
        joined[last] |= joined[i]
        if weight[i] > weight[last] or (weight[i] == weight[last] and index[i] < index[last]):
            weight[last], index[last] = weight[i], index[i]
        total[last] += total[i]
        count[last] += count[i]
        first[last] = min(first[last], first[i])
    return last + 1

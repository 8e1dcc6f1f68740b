"""Where clusters that wait for others go when a region is split: where those are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled


@compiled
def follow_open(
    a: NDArray[np.uint32], b: NDArray[np.uint32], is_open: NDArray[np.bool_], parts: NDArray[np.uint8]
) -> None:
    """Give every cluster that waits the parts, as bits, of what it is joined to by edges, as far as these agree.

    `parts` is that of the open ones, and 0 for the others; these get what reaches them first along the
    edges, which are in order, and then what they have in common with what reaches them later.
    """
    changed = True
    while changed:
        changed = False
        for i in range(a.size):
            for one, other in ((a[i], b[i]), (b[i], a[i])):
                if is_open[one] or parts[other] == 0:
                    continue
                found = parts[other] if parts[one] == 0 else parts[one] & parts[other]
                if found != 0 and found != parts[one]:
                    parts[one] = found
                    changed = True

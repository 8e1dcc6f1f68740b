"""The only compiled code: loops over flat arrays, no checks. Each has a checked door in `abiss_py`.

Letters: `nx, ny, nz` sizes of a chunk without its halo, `sx, sxy, sxyz` strides of the array with it
(x fastest), `w` weights: uint8 as they are, float32 as their bits, which order as the values do since
no affinity is negative. Ids and indices are int64: numba turns a sum of int64 and uint64 into float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """numba's njit, with the machine code kept on disk: only the first process of a version compiles."""
    return cast(Function, numba.njit(cache=True, nogil=True)(function))

"""What every engine checks of a batch before it runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seuron.box import triple
from seuron.errors import PermanentError
from seuron.nets.models import ModelDescription


def check_batch(description: ModelDescription, batch: NDArray[np.float32]) -> None:
    """Raise PermanentError for a batch that the net does not take, all that is wrong with it at once."""
    expected = len(description.inputs)
    if batch.ndim != 5 or batch.dtype != np.float32:
        raise PermanentError(
            f"the net {description.name}: got {batch.dtype} of {batch.ndim} axes; give float32 (N, C, X, Y, Z)"
        )
    problems = [f"patch of {problem}" for problem in description.patch.problems(triple(batch.shape[2:]))]
    if batch.shape[1] != expected:
        inputs = ", ".join(description.inputs)
        problems.append(f"{batch.shape[1]} input channels; the net has {expected}: {inputs}")
    if problems:
        raise PermanentError(f"the net {description.name}: " + "; ".join(problems))

"""Labels in a smaller type: as they are where they fit, and else counted from 1 on, with a table of what was what."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box
from seuron.errors import VolumeError

#: Ids that are kept in memory while they are counted: 256 MiB of them, and as much while some are added.
MOST_IDS = 2**25


def new_labels(
    name: str, read: Callable[[Box], NDArray[Any]], boxes: Iterable[Box], dtype: np.dtype[Any]
) -> NDArray[Any] | None:
    """All ids in these boxes, 0 first, whose places become their new names in `dtype`; None where all fit as they are.

    Raises VolumeError where there are more than the type has names for, or than `MOST_IDS`.
    """
    largest = int(np.iinfo(dtype).max)
    ids = np.zeros(1, np.uint64)  # 0 is nothing, and stays 0
    for box in boxes:
        ids = np.union1d(ids, np.unique(read(box)))
        if ids.size > min(largest + 1, MOST_IDS):
            raise VolumeError(
                f"{name} has more than {min(largest, MOST_IDS - 1)} labels in the box, which {dtype} has no names for; "
                "give a larger --dtype, a format that has one, or a smaller --box"
            )
    return None if int(ids[-1]) <= largest else ids


def write_label_table(path: Path, ids: NDArray[Any]) -> None:
    """A table of the file's ids and those of the layer, as CSV."""
    with path.open("w") as file:
        file.write("in_file,in_layer\n")
        file.writelines(f"{place},{label}\n" for place, label in enumerate(ids))

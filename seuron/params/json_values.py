"""JSON that users wrote: parsed, or refused with a reason, however long its numbers are and however deeply it nests."""

from __future__ import annotations

import json
import reprlib
from typing import Any

#: Lists within lists: rules of the agglomeration have 4.
DEEPEST = 16
#: Characters of a value that a message repeats.
LONGEST_SHOWN = 100


def parse_json(text: str) -> Any:
    """What a JSON text holds; raises ValueError for what is none, and for values that no parameter can have."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"nested more than {DEEPEST} deep") from error
    check_depth(value)
    return value


def check_depth(value: Any) -> None:
    """Raise ValueError for lists and objects within one another that are too many levels deep to be worked with."""
    level = [value]
    for _ in range(DEEPEST + 1):
        containers = [item for item in level if isinstance(item, (list, tuple, dict))]
        if not containers:
            return
        level = [inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)]
    raise ValueError(f"nested more than {DEEPEST} deep")


class _Shortened(reprlib.Repr):
    """`repr`, cut off where it is long. Python refuses to write integers of some thousand digits."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, LONGEST_SHOWN, LONGEST_SHOWN

    def repr_int(self, value: int, level: int) -> str:
        return f"a number of {value.bit_length()} bits" if value.bit_length() > 256 else repr(value)


shown = _Shortened().repr

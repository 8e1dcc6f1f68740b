"""The examples in docs/constraints.md are code that runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "constraints.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_run(example: str) -> None:
    """Every Python block of the page runs from nothing, its assertions included."""
    exec(compile(example, "docs/constraints.md", "exec"), {"__name__": "example"})


def test_the_page_has_its_examples() -> None:
    """Rules as data and a rule of one's own are both shown."""
    assert len(EXAMPLES) == 2

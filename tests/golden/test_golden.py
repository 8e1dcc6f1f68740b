"""The bytes of three runs, as they were when the engine and the segmentation became two packages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from golden.golden_runs import GOLDEN_RUNS, digests_of

#: Written by `python tests/golden/write_digests.py`, which is for changes that mean to change results.
DIGESTS = Path(__file__).with_name("digests.json")


@pytest.mark.parametrize("name", sorted(GOLDEN_RUNS))
def test_layers_and_tables_are_what_they_were(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No redesign changes a bit of a layer or a table of a segmentation."""
    run = GOLDEN_RUNS[name](tmp_path, monkeypatch)
    assert digests_of(run) == json.loads(DIGESTS.read_text())[name]

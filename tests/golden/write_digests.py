"""Writes digests.json again: `PYTHONPATH=.:tests python tests/golden/write_digests.py`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from golden.golden_runs import GOLDEN_RUNS, digests_of

if __name__ == "__main__":
    found = {}
    for name, make in GOLDEN_RUNS.items():
        with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
            found[name] = digests_of(make(Path(folder), patch))
    Path(__file__).with_name("digests.json").write_text(json.dumps(found, indent=1) + "\n")

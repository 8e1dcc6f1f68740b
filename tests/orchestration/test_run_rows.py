"""The rows of the page Runs, each from its own folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
CONTENTS = (b"", b"{", b"\0\0", b"[1]")
FILES = ("run.json", "costs.json", "stopped/one.json", "gates/watershed.json")
#: Makes the rows of failed runs with these outputs, in a process that may load Airflow.
ROWS = """
import json, sys
from sqlalchemy.orm import Session
from seuron.engine.states import Stop
from seuron.orchestration.pages.airflow_rows import DagRunRow
from seuron.orchestration.pages.run_rows import run_row
from seuron.web.snapshot import SnapshotCache

note = Stop("one", "cancelled", "Ada", 2.0, "ended at the inspection").note
runs = (DagRunRow("segmentation", "one", "failed", output, note, 1.0, 2.0) for output in json.loads(sys.argv[1]))
print("ROWS" + json.dumps([run_row(Session(), SnapshotCache(), run, newest=True) for run in runs]))
"""


def rows_of(outputs: list[str]) -> list[dict[str, Any]]:
    command = [sys.executable, "-c", ROWS, json.dumps(outputs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout.partition("ROWS")[2])
    return found


def test_a_damaged_folder_is_a_row_with_a_problem(tmp_path: Path) -> None:
    """One damaged file of one run, or an output that is a file, made the whole page answer 500."""
    outputs, damaged = [], []
    for number, content in enumerate(CONTENTS):
        for name in FILES:
            damaged.append(tmp_path / f"{number}-{name.partition('.')[0].replace('/', '-')}" / name)
            damaged[-1].parent.mkdir(parents=True)
            damaged[-1].write_bytes(content)
            outputs.append(str(damaged[-1]).removesuffix(f"/{name}"))
    (tmp_path / "file").write_text("mine")
    rows = rows_of([*outputs, str(tmp_path / "file"), str(tmp_path / "file" / "below"), "foo://bucket/run"])
    assert {row["state"] for row in rows} == {"cancelled"}, "by the note in Airflow"
    for path, output, row in zip(damaged, outputs, rows, strict=False):
        assert str(path) in row["problem"]
        assert (row["output"], row["name"]) == (output, output.rsplit("/", 1)[-1])
    *_, file, below, unknown = rows
    assert all("a file lies where a folder has to be" in row["problem"] for row in (file, below))
    assert "foo://" in unknown["problem"]

"""The tutorial is a notebook that runs."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "docs" / "tutorial.ipynb"
#: On two cores that do nothing else it takes well under a minute, on a first start with kernels to compile longer.
SECONDS = 300


def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell runs from nothing in a real kernel, and shows what the text around it says."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("SEURON_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    book = nbformat.read(BOOK, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(book, timeout=SECONDS, kernel_name="python3", resources=place).execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "".join(output.get("text", "") for output in outputs)
    for words in (
        "did you mean `agglomeration_threshold`?",
        "agglomeration_threshold was 0.25, now 0.3",
        "watershed: 9 kept",
        "agglomeration: 5 computed",
        "the best by VOI is",
        "at the threshold 0.3.",
    ):
        assert words in text, text
    pictures = [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert [page.count("data:image/png") for page in pictures] == [3]


def test_the_tutorial_is_stored_without_results() -> None:
    """Results in the file would be of another day than its code, and no diff could be read."""
    book = nbformat.read(BOOK, as_version=4)
    assert all(not cell.outputs and cell.execution_count is None for cell in book.cells if cell.cell_type == "code")

"""The harness itself: it must see what it looks for, or no fault would ever be found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chaos.object_store import ObjectStore
from chaos.results_table import BEGIN, END, Row, put_between_markers, table
from chaos.trial import Folder, Watch
from runs_on_disk import SETTINGS, bytes_of, parameters, save, smooth_affinities

from seuron.engine.local import run_local

PROJECT = Path(__file__).resolve().parents[2]


def _record(folder: Path, name: str, **fields: Any) -> None:
    (folder / "tasks").mkdir(exist_ok=True)
    (folder / "tasks" / name).write_text(json.dumps(fields))


def test_a_task_that_is_begun_again_is_seen(tmp_path: Path) -> None:
    """A finished task that is begun later, or whose record goes, counts; one that ran twice at once does not."""
    for name in ("a.json", "b.json", "c.json", "d.json"):
        _record(tmp_path, name, started=1.0, ended=2.0)
    watch = Watch(Folder(tmp_path))
    watch.look()
    assert (watch.again, watch.at_once) == ({}, set())
    _record(tmp_path, "a.json", started=2.5, ended=3.0)
    _record(tmp_path, "b.json", started=1.5, ended=2.5)
    (tmp_path / "tasks" / "c.json").unlink()
    watch.look()
    assert watch.again.keys() == {"tasks/a.json", "tasks/c.json"}
    assert watch.at_once == {"tasks/b.json"}


def test_files_of_a_run_are_found_by_folder_and_by_name(tmp_path: Path) -> None:
    """What the trials ask for: all files, those of a folder, and the report alone."""
    _record(tmp_path, "a.json", started=1.0)
    (tmp_path / "report.html").write_text("told")
    (tmp_path / ".b.partial").write_text("half")
    output = Folder(tmp_path)
    assert output.files().keys() == {"tasks/a.json", "report.html"}
    assert output.files("tasks/").keys() == {"tasks/a.json"}
    assert output.files("report.html") == {"report.html": b"told"}
    assert output.files("tables/") == {}


def test_rows_go_between_the_markers() -> None:
    """What stands before and after the table stays, and so do rows of other faults; one of the same is replaced."""
    first = Row("workers killed", 20, 80.4, 7, "same bytes", "2026-01-02", 1.6)
    other = Row("full disk", 1, 60.0, 3, "same bytes", "2026-01-02", 2.0)
    page = f"# Title\n{BEGIN}\nold\n{END}\ntail\n"
    page = put_between_markers(page, table([first, other], page))
    page = put_between_markers(page, table([replace(first, struck=21)], page))
    assert page == put_between_markers(page, table([], page))
    assert page.startswith("# Title\n")
    assert page.endswith("\ntail\n")
    assert "old" not in page
    assert "| workers killed | 21 | 80 | 7 | same bytes | 2026-01-02 | 2 |\n" in page
    assert "| full disk | 1 | 60 | 3 | same bytes | 2026-01-02 | 2 |\n" in page
    assert "| 20 |" not in page


@pytest.mark.parametrize("spooled", [2**26, 2000])
def test_a_run_in_an_object_store_has_the_same_bytes(tmp_path: Path, spooled: int) -> None:
    """The parameters of a run on disk give the same layers in a bucket, though some of its requests are refused, and
    whether its tables are fetched whole or by parts."""
    program = (
        "import sys, seuron.storage.files\n"
        f"seuron.storage.files.SPOOLED_BYTES = {spooled}\n"
        "from seuron.cli import main\n"
        "sys.exit(main())"
    )
    source = save(tmp_path / "affinities", smooth_affinities((32, 32, 32)))
    sizes = {"chunk_size": (16, 32, 32), "batch_chunks": 1}
    run_local(parameters(source, tmp_path / "run", **sizes))
    with ObjectStore(refuse_each=100) as store:
        words = {
            **SETTINGS,
            "affinities": source,
            "output": store.url("bucket", "run"),
            "block_size": "16,16,16",
            "chunk_size": "16,32,32",
            "batch_chunks": 1,
        }
        settings = [f"--set={name}={value}" for name, value in words.items()]
        done = subprocess.run(
            [sys.executable, "-c", program, "run", "segmentation", "--local", *settings],
            env={**os.environ, **store.settings(tmp_path / "cloud-files"), "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert store.refused > 0
        assert any(name.endswith(".parquet") for name in store.parts) == (spooled == 2000)
        found = store.below("bucket", "run")
    folder = Folder(tmp_path / "run")
    layers = {name.removesuffix(".gz"): content for name, content in folder.files().items()}
    names = {name.removesuffix(".gz") for name in bytes_of(tmp_path / "run")}
    assert len(names) > 10
    assert [name for name in names if found[name] != layers[name]] == []

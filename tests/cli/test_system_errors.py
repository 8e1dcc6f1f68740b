"""What the system refuses is a line in the shell, with the path and what to do, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from runs_on_disk import save, smooth_affinities

from seuron.cli import main
from seuron.errors import StorageError
from seuron.storage import Storage

PROJECT = Path(__file__).parents[2]


def with_small_files(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command whose files may have 1 KiB, as on a disk that is nearly full."""
    command = ["bash", "-c", 'ulimit -f 1; exec "$@"', "bash", sys.executable, "-m", "seuron.cli", *words]
    environment = {**os.environ, "SEURON_HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT, env=environment)


def is_one_line(text: str, *parts: str) -> bool:
    lines = [line for line in text.splitlines() if line.startswith("seuron: ")]
    return len(lines) == 1 and "Traceback" not in text and all(part in lines[0] for part in parts)


def test_a_file_that_does_not_fit_is_a_line(tmp_path: Path) -> None:
    """A full disk ended `run` and `import` in tracebacks."""
    source = save(tmp_path / "in", smooth_affinities((32, 20, 20)))
    with h5py.File(tmp_path / "volume.h5", "w") as file:
        file["image"] = np.random.default_rng(0).integers(0, 255, (16, 32, 32)).astype(np.uint8)
    ran = with_small_files(tmp_path, "run", "segmentation", "--local", f"affinities={source}", f"output={tmp_path}/run")
    words = ("import", f"{tmp_path}/volume.h5", f"{tmp_path}/imported", "--resolution", "8,8,40")
    for done, place in ((ran, "run"), (with_small_files(tmp_path, *words), "imported")):
        assert done.returncode == 1
        assert is_one_line(done.stderr, str(tmp_path / place), "File too large", "ulimit"), done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("run", "segmentation", "--local", "affinities=SOURCE", "output=PLACE"),
        ("synth", "PLACE", "--shape", "16,16,16"),
        ("report", "PLACE"),
        ("view", "PLACE"),
        ("gc", "PLACE"),
    ],
)
@pytest.mark.parametrize("place", ["foo://bucket/run", "FILE", "FILE/below"])
def test_a_place_that_cannot_be_is_a_line(
    words: tuple[str, ...], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """An unknown scheme wrote into a folder `foo:` beside the user's files; a file as output was a traceback."""
    monkeypatch.setenv("SEURON_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SEURON_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    source = save(tmp_path / "in", smooth_affinities((16, 16, 16)))
    given = place.replace("FILE", str(tmp_path / "file"))
    monkeypatch.setattr(
        sys, "argv", ["seuron", *(word.replace("PLACE", given).replace("SOURCE", source) for word in words)]
    )
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err
    assert end.value.code in (1, 2, 4)
    assert given.partition("//")[2] in said if "//" in given else "file" in said
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == ["file", "in"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_read_only_folder_is_named() -> None:
    """Missing rights were an OSError without what to do. /sys takes no folders, whoever asks."""
    with pytest.raises(StorageError, match="/sys/kernel/run"):
        Storage("/sys/kernel/run").put("run.json", b"{}")

"""`seuron import`, `inspect` and `export` as they are typed: what is shown, exit codes, and what is not written."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from seuron.cli import app
from seuron.errors import ParameterErrors, RunError
from seuron.volumes import open_volume

SHAPE = (12, 30, 40)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """An HDF5 file in CREMI's layout: dark above, bright below, with a hole, and labels beside."""
    raw = np.full(SHAPE, 10, np.uint8)
    raw[:, 15:] = 250
    with h5py.File(tmp_path / "v.h5", "w") as file:
        dataset = file.create_dataset("volumes/raw", data=raw)
        dataset.attrs["resolution"], dataset.attrs["offset"] = (40.0, 4.0, 4.0), (200.0, 0.0, 8.0)
        file["volumes/labels/ids"] = (raw // 250).astype("int64") - 1
    return tmp_path / "v.h5"


def _run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_what_was_understood_is_shown_before_anything_is_written(volume: Path, tmp_path: Path) -> None:
    """Every number with where it comes from; --dry-run ends there."""
    out = _run("import", f"{volume}:volumes/raw", tmp_path / "layer", "--dry-run")
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert rows["format"] == "HDF5"
    assert rows["axes"].startswith("zyx, slowest first (")
    assert rows["size"].startswith("40 x 30 x 12 voxels")
    assert rows["voxel"].startswith("4, 4, 40 nm (attribute `resolution`")
    assert rows["corner"].startswith("voxel 2, 0, 5 (8, 0, 200 nm: attribute `offset`")
    assert rows["kind"].startswith("image")
    assert rows["values"] == "10 to 250, none zero (in the middle slices)"
    assert not (tmp_path / "layer").exists()


def test_an_import_shows_its_progress_and_writes_what_it_said(volume: Path, tmp_path: Path) -> None:
    """Where the output is no terminal there is a line for each tenth."""
    out = _run("import", f"{volume}:volumes/raw", tmp_path / "layer", "--workers", "1", "--offset=-1,2,3")
    assert "copy       100 %" in out
    assert "--offset is followed" in out
    found = open_volume(str(tmp_path / "layer"))
    assert (found.box.minimum, found.resolution_nm) == ((-1, 2, 3), (4.0, 4.0, 40.0))


def test_inspect_draws_the_middle_slices(volume: Path, tmp_path: Path) -> None:
    """Dark is drawn sparse and bright dense, in the terminal and in the picture."""
    out = _run("inspect", f"{volume}:volumes/raw", "--png", tmp_path / "slices.png")
    title, *lines = out.split("\n\n")[-1].splitlines()
    assert [part.strip() for part in title.split("   ") if part.strip()] == [
        "xy at z = 11",
        "xz at y = 15",
        "yz at x = 22",
    ]
    assert set(lines[0][:20]) == {" "}
    assert set(lines[8][:20]) == {"@"}
    with Image.open(tmp_path / "slices.png") as picture:
        pixels = np.asarray(picture.convert("L"))
    assert (pixels[2, 5], pixels[25, 5]) == (10, 250)


def test_inspect_as_json(volume: Path) -> None:
    """The same numbers, for programs."""
    found = json.loads(_run("inspect", f"{volume}:volumes/raw", "--json"))
    assert (found["shape"], found["box"]) == ([40, 30, 12], [2, 0, 5, 42, 30, 17])
    assert found["resolution_nm"]["value"] == [4.0, 4.0, 40.0]
    assert found["problems"] == []


def test_inspect_of_a_layer(volume: Path, tmp_path: Path) -> None:
    """A layer is understood like any file."""
    _run("import", f"{volume}:volumes/raw", tmp_path / "layer", "--workers", "1")
    found = json.loads(_run("inspect", tmp_path / "layer", "--json"))
    assert (found["format"], found["kind"]["value"], found["box"]) == ("precomputed", "image", [2, 0, 5, 42, 30, 17])


def test_inspect_tells_all_problems(volume: Path) -> None:
    """They come after all that was understood; errors with parameters are exit code 2."""
    with pytest.raises(ParameterErrors) as raised:
        _run("inspect", f"{volume}:volumes/labels/ids")
    assert len(raised.value.problems) == 2
    assert "how large its voxels are" in raised.value.problems[0]
    assert "the label -1" in raised.value.problems[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kind", "labels"), "--kind: got 'labels'; allowed are image and segmentation"),
        (("--missing-sections", "skip"), "allowed are error, blank and close"),
        (("--window", "9,3"), "the lower first"),
        (("--offset", "1,2,0.5"), "must be a whole number"),
        (("--format", "n5"), "allowed are precomputed and ome-zarr"),
    ],
)
def test_options_that_mean_nothing_are_told(volume: Path, tmp_path: Path, words: tuple[str, str], message: str) -> None:
    """With what is allowed."""
    with pytest.raises(ParameterErrors, match=message):
        _run("import", f"{volume}:volumes/raw", tmp_path / "layer", *words)


def test_there_and_back(volume: Path, tmp_path: Path) -> None:
    """An exported box of an imported layer is that box of the file; what a format has no place for is said."""
    _run("import", f"{volume}:volumes/raw", tmp_path / "layer", "--workers", "1", "--format", "ome-zarr")
    out = _run("export", tmp_path / "layer", tmp_path / "box.npy", "--box", "2,14,5,12,18,9")
    assert "no place for the voxel size: 4, 4, 40 nm" in out
    with h5py.File(volume) as file:
        np.testing.assert_array_equal(np.load(tmp_path / "box.npy"), file["volumes/raw"][0:4, 14:18, 0:10])
    with pytest.raises(ParameterErrors, match="there already"):
        _run("export", tmp_path / "layer", tmp_path / "box.npy")


def test_sixteen_bits_become_eight_in_a_window(tmp_path: Path) -> None:
    """The window is given, or chosen and shown; the layer is uint8."""
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["raw"] = np.random.default_rng(0).integers(1000, 2001, SHAPE, np.uint16)
    for window in ("1000,2000", "auto"):
        out = _run("inspect", f"{tmp_path}/v.h5:raw", "--resolution", "4,4,40", "--window", window)
        assert "type       uint8" in out
        assert "become 0 to 255" in out


def test_a_run_is_exported_whole(tmp_path: Path) -> None:
    """Options of a layer's export are refused for a run, all of them named; a folder without a run is named."""
    with pytest.raises(ParameterErrors) as error:
        _run("export", tmp_path, tmp_path / "out", "--format", "webknossos-agglomerate", "--mip", "1", "--workers", "2")
    assert [problem.split(":")[0] for problem in error.value.problems] == ["--mip", "--workers"]
    with pytest.raises(RunError, match="holds no run"):
        _run("export", tmp_path, tmp_path / "out", "--format", "pychunkedgraph", "--chunk-size", "64,64,64")

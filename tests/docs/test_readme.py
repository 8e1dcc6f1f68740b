"""The README's lines for a person's own data work as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from typer.testing import CliRunner

from seuron.cli import app
from seuron.volumes import open_volume

README = Path(__file__).parents[2] / "README.md"
SHAPE = (40, 64, 70)


def _lines() -> list[list[str]]:
    """The words of each command in *Your own data*."""
    section = README.read_text().split("## Your own data\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [words[1:] for words in lines if words[:1] == ["seuron"]]


def _own_data(folder: Path) -> None:
    """A TIFF stack, an HDF5 file with image and labels, and an OME-Zarr."""
    grey = np.random.default_rng(0).integers(60, 200, SHAPE).astype("uint8")
    tifffile.imwrite(folder / "stack.tif", grey, photometric="minisblack")
    with h5py.File(folder / "volume.h5", "w") as file:
        file["raw"], file["labels"] = grey, (grey // 10).astype("uint64")
    group = zarr.open_group(str(folder / "image.ome.zarr"), mode="w", zarr_format=3)
    group.create_array("0", data=grey, chunks=(32, 32, 32))
    axes = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    steps = [{"type": "scale", "scale": [10.0, 10.0, 10.0]}]
    image = {"name": "image", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}


def test_the_lines_for_your_own_data_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports and the export are run; of the run all is checked that is checked before it starts."""
    monkeypatch.chdir(tmp_path)
    _own_data(tmp_path)
    done = []
    for words in _lines():
        if words[0] == "import":
            _run(*words, "--workers", "1")
            assert open_volume(str(tmp_path / words[2])).box.shape == SHAPE[::-1]
        elif words[:2] == ["run", "segmentation"]:
            _run("params", "check", *(word for word in words[2:] if not word.startswith("--")))
        elif words[0] == "export":  # of the run that was not run: its layer is like that of the labels
            _run("export", "data/truth", words[2])
            assert (tmp_path / words[2]).exists()
        else:
            continue
        done.append(words[0])
    assert done == ["import", "import", "import", "import", "run", "export"]
    _run("inspect", "stack.tif", "--resolution", "8,8,40")
    _run("params", "check", "image=image.ome.zarr", "output=runs/other")


def _run(*words: str) -> None:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output

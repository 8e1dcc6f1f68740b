"""`seuron chunk` as it is typed: a line of operators does what the functions behind it do, one after the other."""

from __future__ import annotations

from pathlib import Path

import cc3d
import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from seuron.box import Box
from seuron.cli import app
from seuron.errors import ParameterErrors
from seuron.nets.engines import load_engine
from seuron.nets.predict import model_scale, predict_volume
from seuron.synth import synthesize
from seuron.volumes import create_volume, open_volume

BOX = Box((10, 20, 30), (74, 84, 62))
PART = Box((10, 20, 30), (74, 52, 62))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Synthetic tissue of 10 nm, in blocks of 32."""
    volume = create_volume(
        str(tmp_path_factory.mktemp("chunk") / "image"), BOX, (10, 10, 10), dtype="uint8", block_size=(32, 32, 32)
    )
    volume.write(BOX, synthesize(BOX.shape, 3).image)
    return volume.path


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, ["chunk", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def corners(box: Box) -> str:
    return ",".join(map(str, box.corners))


def test_a_line_from_image_to_components_in_a_layer(image: str, tmp_path: Path) -> None:
    """The layer has the whole volume's box, the chunk's blocks, and the components of what the net is sure of."""
    out = tmp_path / "cells"
    line = ("read", "--box", corners(PART), image, "infer", "--patch", "32,32,32", "--overlap", "8,8,8")
    line += ("--engine", "torch", "boundary-fib25", "channel", "0", "threshold", "0.5")
    shown = run(*line, "components", "--connectivity", "6", "--size", "20", "write", "--block", "32,32,32", out)
    assert [text.split()[0] for text in shown.splitlines()] == [
        *("read", "infer", "channel", "threshold", "components", "write")
    ]
    engine, voxels = load_engine("boundary-fib25", engine="torch"), open_volume(image).read(PART)[..., 0]
    scale = model_scale(engine.description, lambda box: voxels[box.slices], Box((0, 0, 0), PART.shape))
    sure = predict_volume(engine, voxels, scale, (32, 32, 32), (8, 8, 8))[..., 0] > 0.5
    wanted = cc3d.dust(cc3d.connected_components(sure, connectivity=6), threshold=20, connectivity=6)
    layer = open_volume(str(out))
    assert (layer.box, layer.kind) == (BOX, "segmentation")
    found = layer.read(PART)[..., 0]
    np.testing.assert_array_equal(found != 0, wanted != 0)
    pairs = np.unique(np.stack([found[found != 0], wanted[found != 0]]), axis=1)
    assert pairs.shape[1] == len(np.unique(pairs[0])) == len(np.unique(pairs[1])) > 3
    assert layer.missing_blocks(BOX), "the rest of the volume is for other chunks"


def test_stored_and_empty_chunks_are_skipped(image: str, tmp_path: Path) -> None:
    """What stands behind a skip is not done; the first time it is."""
    out = tmp_path / "copy"
    line = ("read", "--box", corners(PART), image, "skip-stored", out, "write", "--block", "32,32,32", out)
    assert "write" in run(*line)
    np.testing.assert_array_equal(open_volume(str(out)).read(PART), open_volume(image).read(PART))
    assert "nothing more is done" in run(*line)
    assert "write" not in run(*line)
    assert "nothing more is done" in run("read", image, "threshold", "255", "skip-empty", "save", tmp_path / "no.h5")
    assert not (tmp_path / "no.h5").exists()


def test_contrast_masks_margins_and_files(image: str, tmp_path: Path) -> None:
    """Each section spans 1 to 255, what a coarse mask leaves out is 0, a margin is cut, and a file knows its place."""
    mask = create_volume(str(tmp_path / "mask"), Box((5, 10, 30), (37, 42, 62)), (20, 20, 10), dtype="uint8")
    kept = np.ones(mask.box.shape, np.uint8, order="F")
    kept[:16] = 0
    mask.write(mask.box, kept)
    target = tmp_path / "part.h5"
    run("read", image, "normalize", "mask", mask.path, "crop", "2,2,0", "save", target)
    with h5py.File(target) as file:
        saved = np.asarray(file["volumes/raw"]).transpose(2, 1, 0)
        offset = tuple(file["volumes/raw"].attrs["offset"])
    assert saved.shape == (60, 60, 32)
    assert offset == (300.0, 220.0, 120.0)
    assert (saved[:30] == 0).all()
    assert saved[30:].min() >= 1
    voxels = open_volume(image).read(BOX)[..., 0]
    dark, bright = np.quantile(voxels[:, :, 5], [0.01, 0.99])
    wanted = np.clip(np.rint((voxels[:, :, 5] - dark) * (254 / (bright - dark)) + 1), 1, 255)
    np.testing.assert_array_equal(saved[30:, :, 5], wanted[32:-2, 2:-2])


def test_a_coarser_layer(image: str, tmp_path: Path) -> None:
    """Pooled cells lie where the pyramid has them."""
    run("read", image, "downsample", "2,2,2", "write", "--format", "ome-zarr", tmp_path / "coarse")
    coarse = open_volume(str(tmp_path / "coarse"))
    assert (coarse.box, coarse.resolution_nm) == (Box((5, 10, 15), (37, 42, 31)), (20, 20, 20))
    cells = open_volume(image).read(BOX)[..., 0].astype(float).reshape(32, 2, 32, 2, 16, 2).mean((1, 3, 5))
    np.testing.assert_allclose(coarse.read(coarse.box)[..., 0], cells, atol=0.5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["normalize"], "a line begins with one `read`"),
        (["read", "--box", "0,0,0,9,9,9", "IMAGE"], "is empty or outside of"),
        (["read", "IMAGE", "threshold", "1", "components", "threshold", "1"], "it is for images"),
        (["read", "IMAGE", "quantize"], "holds uint8, and float32 is needed"),
        (["read", "IMAGE", "channel", "1"], "the chunk has the channels 0 to 0"),
        (["read", "IMAGE", "channel", "x"], "give numbers from 0"),
        (["read", "IMAGE", "components", "--connectivity", "7"], "allowed are 6, 18 and 26"),
        (["read", "IMAGE", "crop", "40,0,0"], "leaves nothing of"),
        (["read", "IMAGE", "downsample", "3,1,1"], "is not made of whole cells"),
    ],
)
def test_what_cannot_be_is_one_message(image: str, words: list[str], message: str) -> None:
    """The operator's name, what it got and what it needs."""
    with pytest.raises(ParameterErrors, match=message):
        run(*(image if word == "IMAGE" else word for word in words))

"""A segmentation from an image is refused where the net is not for its voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seuron.box import Box
from seuron.pipelines.segmentation.checks import check
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.volumes import create_volume


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of 4 x 4 x 40 nm, whose second scale is 8 x 8 x 40."""
    box = Box((0, 0, 0), (128, 128, 16))
    volume = create_volume(str(tmp_path_factory.mktemp("sections") / "image"), box, (4, 4, 40), dtype="uint8")
    volume.write(box, np.random.default_rng(0).integers(1, 255, box.shape).astype(np.uint8)[..., None])
    return volume.path


def problems(sections: str, output: Path, **changes: object) -> list[str]:
    """What the pipeline's check says."""
    params = SegmentationParams(image=sections, output=str(output), **changes)  # type: ignore[arg-type]
    return check(params, None, 1)[1]


def test_the_isotropic_net_is_refused_on_sections(sections: str, tmp_path: Path) -> None:
    """Poor affinities were a warning that nobody read; the message says what the net was trained on."""
    found = problems(sections, tmp_path)
    assert len(found) == 1
    assert "boundary-fib25 was trained on voxels of 10 x 10 x 10 nm" in found[0]
    assert "`mip` 0 are 4 x 4 x 40 nm, 300% off; allowed are 25%" in found[0]


def test_who_wants_it_may_run_it(sections: str, tmp_path: Path) -> None:
    """`model_resolution_limit` allows what the check refuses."""
    assert problems(sections, tmp_path, model_resolution_limit=3) == []

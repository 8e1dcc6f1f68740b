"""A small dataset on affinities on disk, and its versions made without Airflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from runs_on_disk import CORNER

from seuron.box import Box
from seuron.datasets.change_detection import ChangeReport, detect_changes, needs_empty_folder
from seuron.datasets.drafts import discard_draft, make_draft
from seuron.datasets.files import Dataset, read_dataset
from seuron.engine.local import run_local
from seuron.volumes import create_volume, open_volume

SHAPE = (32, 32, 48)
#: Of the volume so many sections are there at first.
SECTIONS = 32

FILE = """
name = "tissue"
affinities = "input"
resolution = [8, 8, 40]
publish = "published"
keep = 1

[parameters]
block_size = [16, 16, 16]
chunk_size = [16, 16, 16]
batch_chunks = 1
watershed_high = 0.9
watershed_low = 0.1
watershed_size = 10
watershed_dust = 3
agglomeration_threshold = 0.3
"""


def make_dataset(folder: Path, voxels: np.ndarray[Any, Any]) -> Dataset:
    """A dataset whose input has its first sections, with its file and all else in `folder`."""
    write_sections(folder / "input", voxels, 0, SECTIONS)
    file = folder / "tissue.toml"
    file.write_text(FILE)
    return read_dataset(file)


def write_sections(path: Path, voxels: np.ndarray[Any, Any], first: int, end: int) -> None:
    """Write sections, in a volume that then has so many."""
    box = Box.from_shape(CORNER, (*voxels.shape[:2], end))
    volume = create_volume(
        str(path), box, (8, 8, 40), dtype="uint8", channels=3, block_size=(16, 16, 16), pyramid=False
    )
    low = (CORNER[0], CORNER[1], CORNER[2] + first)
    volume.write(Box(low, box.maximum), voxels[:, :, first:end])


def repair(path: Path, value: int = 3) -> None:
    """Change a block of the input."""
    volume = open_volume(str(path))
    box = Box.from_shape(volume.box.minimum, (16, 16, 16))
    volume.write(box, np.full((*box.shape, volume.channels), value, volume.dtype, order="F"))


def bring_up_to_date(dataset: Dataset) -> ChangeReport:
    """What the nodes of a dataset's DAG do, in their order, without Airflow."""
    published = dataset.published
    published.recover()
    found = detect_changes(dataset)
    if found.changed:
        if needs_empty_folder(dataset, found.number):
            discard_draft(published, found.number)
        folder = make_draft(published, found.number, found.base)
        run = run_local(dataset.params(folder))
        published.publish(found.number, run.key, found.reasons)
        published.prune(dataset.table.keep)
    return found

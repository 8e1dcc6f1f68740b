"""The queue as files in the run's folder: Parquet for programs, CSV for spreadsheets; both have a column `verdict`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.pipelines.segmentation.proofreading.queue import Queue, places
from seuron.storage import join
from seuron.storage.tables import write_table

#: Where a run keeps its queue, below its output folder.
FOLDER, NAME = "proofreading", "queue"
#: What a spreadsheet shows of numbers that are no integers.
DIGITS = 6


def queue_columns(run: SegmentationRun, queue: Queue, links: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """The table's columns by name; `verdict` is empty, `link` as well where there are no links.

    `x`, `y`, `z` is the voxel of the contact's first voxel edge, at the run's scale; `expected_bits` is what rows are
    ranked by.
    """
    rules = [rule.name for rule in run.params.rules]
    x, y, z = places(run, queue).T
    return {
        "rank": np.arange(1, len(queue) + 1),
        "verdict": np.full(len(queue), "", "<U5"),
        "kind": queue.kind,
        "x": x,
        "y": y,
        "z": z,
        "a": queue.a,
        "b": queue.b,
        "segment_a": queue.segment_a,
        "segment_b": queue.segment_b,
        "voxels_a": queue.voxels_a,
        "voxels_b": queue.voxels_b,
        "mean": queue.mean,
        "voxel_edges": queue.voxel_edges,
        "chance": queue.chance,
        "bits": queue.bits,
        "expected_bits": queue.expected_bits,
        "rule": np.array([rules[number] if number >= 0 else "" for number in queue.rule.tolist()], np.str_),
        "link": np.array(list(links) or [""] * len(queue), np.str_),
    }


def write_queue(run: SegmentationRun, queue: Queue, links: Sequence[str] = ()) -> str:
    """Write `proofreading/queue.parquet` and `.csv` in the run's folder; returns the path of the latter."""
    columns = queue_columns(run, queue, links)
    name = f"{FOLDER}/{NAME}"
    write_table(run.storage, name, columns)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(columns)
    rows.writerows(zip(*(map(_text, column.tolist()) for column in columns.values()), strict=True))
    run.storage.put(f"{name}.csv", text.getvalue().encode())
    return join(run.output, f"{name}.csv")


def _text(value: Any) -> str:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)

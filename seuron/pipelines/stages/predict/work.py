"""What tasks of the stage do; which parts of a cell there are is in `cells.py`.

Tier 0 goes through the layers of its patches along z. Sums of the voxels that no further layer reaches leave the
window, a row of storage blocks at a time. One thread reads the image of the next layer, and one writes the rows that
are complete, while the net runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box
from seuron.engine.inputs import filled_blocks, inputs_digest, source_read, tables_read
from seuron.engine.pipeline import Counts, Inputs, Layer
from seuron.engine.plan import Task
from seuron.engine.run import Run
from seuron.errors import RunError
from seuron.nets.engines import Engine, EngineName, Precision, load_engine
from seuron.nets.patches import FixedPoint, Floats, Sums
from seuron.nets.predict import PatchPredictor, to_uint8
from seuron.pipelines.stages.predict.cells import CellParts, Cells
from seuron.pipelines.stages.predict.facts import PredictionFacts, cells_of, grid_of, prediction_of
from seuron.pipelines.stages.predict.masks import kept_voxels
from seuron.storage import Storage
from seuron.storage.tables import read_group, write_groups
from seuron.volumes import Volume, open_volume

#: Planes along x that are turned into what is stored at once.
PLANES = 8
#: Rows that wait to be written at most: each holds its sums.
ROWS_WAITING = 2


def inputs(run: Run, task: Task) -> Inputs:
    """The blocks of the image and its masks that a task sees, and what the tasks handed on whose patches it adds."""
    sources = run.pipeline.stage(task.stage).sources(run, task)
    read: list[Any] = [source_read(run, task, name) for name in sources if name in run.sources]
    read += [tables_read(run, other.id, "rims-", "finals-") for other in run.reads(task) if run.has_tables(other.id)]
    return dict.fromkeys((layer.name for layer in _layers(run, task)), inputs_digest(run, task, read))


def run(run: Run, task: Task) -> Counts:
    """Run the net on a cell's patches, or add up what lies between cells."""
    return _add_seams(run, task) if task.tier else _run_net(run, task)


def _layers(run: Run, task: Task) -> list[Layer]:
    return [layer for layer in run.layers if layer.stage == task.stage]


@dataclass
class _Output:
    """The layers that a task writes, and how they follow from sums."""

    run: Run
    task: Task
    stored_bytes: int = 0
    volumes: dict[str, Volume] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.volumes = {layer.name: open_volume(layer.path) for layer in _layers(self.run, self.task)}

    @cached_property
    def facts(self) -> PredictionFacts:
        return prediction_of(self.run)

    def stored(self, sums: Sums, box: Box) -> dict[str, NDArray[Any]]:
        """What each layer stores of a box, `(C, X, Y, Z)`, from sums of all patches."""
        outputs = {
            name: [self.facts.channels.index(channel) for channel in channels]
            for name, channels in self.facts.outputs.items()
        }
        found = {name: np.empty((len(rows), *box.shape), self.volumes[name].dtype) for name, rows in outputs.items()}
        kept, fixed = kept_voxels(self.run, "output_mask", box), FixedPoint(*self.facts.value_range)
        for start in range(0, box.shape[0], PLANES):  # a few planes at a time stay in the cache
            planes = slice(start, start + PLANES)
            numbers = self._unmasked(fixed.numbers(sums[:, planes]), None if kept is None else kept[planes])
            for name, rows in outputs.items():
                chosen = numbers if rows == list(range(len(numbers))) else numbers[rows]
                stored = to_uint8(chosen) if found[name].dtype == np.uint8 else chosen
                found[name][:, planes] = stored
        return found

    def _unmasked(self, numbers: Floats, kept: NDArray[np.bool_] | None) -> Floats:
        """Numbers, 0 where the output mask or the masking channel says so; the masking channel itself stays."""
        if self.facts.masking is not None:
            masking = self.facts.channels.index(self.facts.masking)
            high = numbers[masking] > self.run.params.myelin_threshold
            for channel in range(len(numbers)):
                if channel != masking:
                    numbers[channel][high] = 0
        if kept is not None:
            numbers *= kept
        return numbers

    def write(self, name: str, box: Box, stored: NDArray[Any]) -> None:
        """Write whole blocks of a layer from `(C, X, Y, Z)`."""
        if box.voxels:
            self.stored_bytes += self.volumes[name].write(box, np.moveaxis(stored, 0, 3))


def _run_net(run: Run, task: Task) -> Counts:
    cells = cells_of(run.params, run.facts)
    parts = cells.parts(task.index)
    image = open_volume(run.sources["image"].path, run.sources["image"].mip)
    filled = filled_blocks(run, "image", task.box)
    if not parts.patches.voxels:
        return {"voxels": 0, "filled_blocks": filled}
    predictor = _predictor(run)
    output = _Output(run, task)
    with _Rows(output, cells, parts, run.tables(task.id)).writing() as rows:
        for layer, seen in _read_ahead(run, image, cells, parts):
            indices, region, covers, kept = seen
            sums, window = rows.window(layer)
            predictor.add(indices.places(), region, covers, sums, window, kept)
            rows.write_complete(layer)
    counts = predictor.counts
    return {
        "voxels": parts.written.voxels,
        "stored_bytes": output.stored_bytes,
        "patches": counts.run,
        "even_patches": counts.even,
        "masked_patches": counts.masked,
        "net_voxels": counts.net_voxels,
        "net_seconds": round(counts.net_seconds, 4),
        "net_cpu_seconds": round(counts.net_cpu_seconds, 4),
        "filled_blocks": filled,
    }


@lru_cache(maxsize=1)
def _engine(model: str, name: EngineName, precision: Precision, digest: str) -> Engine:
    """The net of a run, kept for the next task that this process does; `digest` is the one that is wanted."""
    return load_engine(model, engine=name, precision=precision)


def _predictor(run: Run) -> PatchPredictor:
    params, facts = run.params, prediction_of(run)
    engine = _engine(params.model, facts.engine, facts.precision, facts.net)
    if engine.description.sha256 != facts.net:
        raise RunError(
            f"the files of the net {params.model} have changed since the run in {run.output} was prepared; start it "
            "again, which computes what depends on them"
        )
    grid = grid_of(params, facts)
    return PatchPredictor(engine, grid, facts.scale, facts.channels, params.augmentation, params.batch_size)


_Seen = tuple[Box, NDArray[np.uint8], Box, NDArray[np.bool_] | None]


def _read_ahead(run: Run, image: Volume, cells: Cells, parts: CellParts) -> Iterator[tuple[int, _Seen]]:
    """The layers of a cell's patches along z: indices, and what they see; the next is read while one is used."""

    def read(z: int) -> _Seen:
        (x0, y0, _), (x1, y1, _) = parts.patches.minimum, parts.patches.maximum
        indices = Box((x0, y0, z), (x1, y1, z + 1))
        covers = cells.grid.patches(indices)
        region = image.read(covers, missing=run.sources["image"].missing)[..., 0]
        return indices, region, covers, kept_voxels(run, "image_mask", covers)

    layers = range(parts.patches.minimum[2], parts.patches.maximum[2])
    with ThreadPoolExecutor(1, "read") as reader:
        coming = reader.submit(read, layers[0])
        for z in layers:
            seen = coming.result()
            if z + 1 in layers:
                coming = reader.submit(read, z + 1)
            yield z, seen


class _Rows:
    """The sums of a window that moves along z, and the rows of blocks that leave it."""

    def __init__(self, output: _Output, cells: Cells, parts: CellParts, tables: Storage) -> None:
        self._output, self._cells, self._parts, self._tables = output, cells, parts, tables
        reach = parts.reach
        self._left = deque(cells.rows(reach))
        self._at = Box(reach.minimum, (*reach.maximum[:2], reach.minimum[2]))
        self._sums: Sums = np.zeros((len(output.facts.channels), *self._at.shape), np.int32)
        self._writing: deque[Future[None]] = deque()

    @contextmanager
    def writing(self) -> Iterator[_Rows]:
        """Write rows in a thread of their own; what goes wrong there is raised here."""
        with ThreadPoolExecutor(1, "write") as self._writer:
            yield self
            while self._writing:
                self._writing.popleft().result()

    def window(self, z: int) -> tuple[Sums, Box]:
        """The sums of all voxels that a layer of patches reaches and that have not left yet, and where they are."""
        top = min(self._cells.grid.axis_reach(2, z)[1], self._parts.reach.maximum[2])
        if top > self._at.maximum[2]:
            at = Box(self._at.minimum, (*self._at.maximum[:2], top))
            sums = np.empty((len(self._sums), *at.shape), np.int32)
            sums[..., : self._at.shape[2]] = self._sums
            sums[..., self._at.shape[2] :] = 0
            self._sums, self._at = sums, at
        return self._sums, self._at

    def write_complete(self, z: int) -> None:
        """Hand the rows to the writer that no layer behind layer `z` reaches."""
        last = z + 1 >= self._parts.patches.maximum[2]
        end = self._at.maximum[2] if last else self._cells.grid.axis_reach(2, z + 1)[0]
        while self._left and min(self._left[0][1].maximum[2], self._parts.reach.maximum[2]) <= end:
            number, row = self._left.popleft()
            while len(self._writing) >= ROWS_WAITING:
                self._writing.popleft().result()
            within = row.intersect(self._at)
            sums = self._sums[(slice(None), *within.within(self._at))]
            self._writing.append(self._writer.submit(self._write, number, row, within, sums))
            kept = Box((*self._at.minimum[:2], within.maximum[2]), self._at.maximum)
            self._sums, self._at = self._sums[..., within.shape[2] :], kept

    def _write(self, number: int, row: Box, at: Box, sums: Sums) -> None:
        own, written = self._parts.own.intersect(row), self._parts.written.intersect(row)
        if own.voxels:
            stored = self._output.stored(sums[(slice(None), *own.within(at))], own)
            for name, voxels in stored.items():
                self._output.write(name, written, voxels[(slice(None), *written.within(own))])
                _hand_on(self._tables, f"finals-{number}-{name}", voxels, own, self._parts.finals(row))
        _hand_on(self._tables, f"rims-{number}", sums, at, self._parts.rims(row))


def _hand_on(tables: Storage, name: str, voxels: NDArray[Any], at: Box, boxes: list[Box]) -> None:
    """Write boxes of `(K, X, Y, Z)` as the row groups of a table."""
    if boxes:
        parts = (voxels[(slice(None), *box.within(at))] for box in boxes)
        write_groups(tables, name, ({"voxels": part.ravel()} for part in parts), passing=True)


_Slices = tuple[slice, slice, slice]


def _handed_on(
    run: Run, task_id: str, name: str, boxes: list[Box], wanted: Box
) -> Iterator[tuple[_Slices, NDArray[Any]]]:
    """What a task handed on of a box, `(K, X, Y, Z)` each, and where in the box that is."""
    for group, box in enumerate(boxes):
        shared = box.intersect(wanted)
        if shared.voxels:
            voxels = read_group(run.tables(task_id), name, group)["voxels"].reshape((-1, *box.shape))
            yield shared.within(wanted), voxels[(slice(None), *shared.within(box))]


def _add_seams(run: Run, task: Task) -> Counts:
    """Write the blocks of a cell that patches of several cells reach."""
    cells, output = cells_of(run.params, run.facts), _Output(run, task)
    parts = cells.parts(task.index)
    near = [(other.id, cells.parts(other.index)) for other in run.reads(task)]
    for number, row in cells.rows(parts.cell):
        for box in parts.left(row):
            sums = np.zeros((len(output.facts.channels), *box.shape), np.int32)
            for task_id, other in near:
                for target, values in _handed_on(run, task_id, f"rims-{number}", other.rims(row), box):
                    sums[(slice(None), *target)] += values
            for name, voxels in output.stored(sums, box).items():
                for task_id, other in near:
                    for target, values in _handed_on(run, task_id, f"finals-{number}-{name}", other.finals(row), box):
                        voxels[(slice(None), *target)] = values
                output.write(name, box, voxels)
    return {"voxels": parts.cell.voxels - parts.written.voxels, "stored_bytes": output.stored_bytes}

"""Runs started again: what depends on a change is computed, nothing else, and the result is a full run's."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from profiles import scaled
from runs_on_disk import RULES, bytes_of, layers_of, parameters, save, smooth_affinities

import abiss_py
from seuron.box import Box
from seuron.engine.execute import run_task
from seuron.engine.local import run_local
from seuron.engine.records import TaskRecord
from seuron.engine.run import Run
from seuron.engine.setup import prepare_run
from seuron.errors import ReplacedRunError, RunError
from seuron.pipelines.segmentation.dependencies import padded
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.storage import Storage
from seuron.storage.garbage_collection import collect, find_garbage
from seuron.storage.locks import TaskLock, locked
from seuron.volumes import open_volume

CHUNKS: dict[str, Any] = {"chunk_size": (36, 23, 20), "batch_chunks": 1}
#: The corner of the volume that `save` writes, and one that blocks, chunks and frame do not share.
CORNER = (10, 20, 30)
SHAPE = (70, 45, 40)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("input") / "affinities", smooth_affinities(SHAPE))


@pytest.fixture(scope="module")
def finished(source: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a finished run, to be copied."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    run_local(parameters(source, folder, **CHUNKS))
    return folder


def started_again(params: SegmentationParams) -> tuple[Run, dict[str, TaskRecord]]:
    """Start a run in an output that has one already: the run, and the records that this start wrote."""
    try:
        before = Run.open(params.output)
        old = {record.task_id: record for record in before.records()}
    except RunError:
        old = {}
    run = run_local(params)
    return run, {record.task_id: record for record in run.records() if old.get(record.task_id) != record}


def stages_of(records: dict[str, TaskRecord], outcome: str) -> Counter[str]:
    return Counter(record.stage for record in records.values() if record.outcome == outcome)


def computed(records: dict[str, TaskRecord]) -> set[str]:
    return {name for name, record in records.items() if record.outcome == "computed"}


def assert_equal_runs(run: Run, fresh: Run) -> None:
    """The same bytes in every block and every table."""
    folders = [Path(r.output.removeprefix("file://")) for r in (run, fresh)]
    assert bytes_of(folders[0]) == bytes_of(folders[1])
    for task in (planned.id for planned in fresh.plan.tasks):
        one, other = run.record(task), fresh.record(task)
        assert one is not None
        assert other is not None
        assert (one.inputs, one.object) == (other.inputs, other.object) or one.stage == "report"
        if one.object:
            assert run.table_digests(task) == fresh.table_digests(task)


def test_a_new_threshold_runs_agglomeration_and_what_follows(source: str, finished: Path, tmp_path: Path) -> None:
    """No watershed, no supervoxel is written, and the result is that of a run from nothing."""
    shutil.copytree(finished, tmp_path / "out")
    changed = {**CHUNKS, "agglomeration_threshold": 0.6}
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "supervoxels").rglob("*_*-*")}
    run, records = started_again(parameters(source, tmp_path / "out", **changed))
    assert stages_of(records, "computed")["agglomeration"] == len(run.plan.stage("agglomeration").tasks)
    assert set(stages_of(records, "computed")) <= {"agglomeration", "labels", "pyramid", "report"}
    assert not any(record.stage == "watershed" for record in records.values())
    assert {path: path.stat().st_mtime_ns for path in written} == written
    pyramids = [task for task in computed(records) if task.startswith("pyramid")]
    assert all("segmentation" in task for task in pyramids)
    assert_equal_runs(run, run_local(parameters(source, tmp_path / "fresh", **changed)))


def test_the_same_again_does_nothing(source: str, finished: Path, tmp_path: Path) -> None:
    """Same parameters, same input: no record is written; a copied input is recognised by its content."""
    shutil.copytree(finished, tmp_path / "out")
    _, records = started_again(parameters(source, tmp_path / "out", **CHUNKS))
    assert records == {}
    copy = shutil.copytree(source.removeprefix("file://"), tmp_path / "copy")
    run, records = started_again(parameters(str(copy), tmp_path / "out", **CHUNKS))
    assert computed(records) == {"report-0-0_0_0"}
    assert stages_of(records, "unchanged")["watershed"] == len(run.plan.stage("watershed").tasks)


def inner_boxes(shape: tuple[int, int, int]) -> st.SearchStrategy[Box]:
    """Boxes inside a volume of this shape."""
    sides = [st.tuples(st.integers(0, n - 1), st.integers(1, n // 2)) for n in shape]
    return st.tuples(*sides).map(
        lambda s: Box.from_shape([a for a, _ in s], [n for _, n in s]).intersect(Box((0, 0, 0), shape))
    )


@settings(max_examples=scaled(3), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(box=inner_boxes(SHAPE), seed=st.integers(0, 100))
def test_a_replaced_region_runs_what_sees_it(
    tmp_path_factory: pytest.TempPathFactory, finished: Path, box: Box, seed: int
) -> None:
    """Leaves whose blocks changed and their ancestors run; the result is that of a run from nothing."""
    folder = tmp_path_factory.mktemp("replaced")
    output = shutil.copytree(finished, folder / "out")
    path = save(folder / "affinities", affinities := smooth_affinities(SHAPE))
    prepare_run(parameters(path, output, **CHUNKS))  # the same content elsewhere
    affinities[box.slices] = np.random.default_rng(seed).integers(0, 256, (*box.shape, 3), np.uint8)
    volume = open_volume(path)
    where = box.shifted(CORNER)
    blocks = volume.blocks(where)
    before = {block: volume.read(block) for block in blocks}
    for block in blocks:
        volume.write(block, affinities[block.within(volume.box)])
    changed = [block for block in blocks if (volume.read(block) != before[block]).any()]

    run, records = started_again(parameters(path, output, **CHUNKS))
    see = {
        task.id
        for task in run.plan.stage("watershed").tiers[0]
        if any(padded(task.box).intersect(block).voxels for block in changed)
    }
    above = set(see)
    for tier in run.plan.stage("watershed").tiers[1:]:  # a seam task also reads what lies beside its leaf
        above |= {task.id for task in tier if above.intersection(other.id for other in run.reads(task))}
    worked = {task for task in computed(records) if task.startswith("watershed")}
    assert see <= worked <= above
    assert_equal_runs(run, run_local(parameters(path, folder / "fresh", **CHUNKS)))
    np.testing.assert_array_equal(layers_of(run)[1], abiss_py.segment(affinities, **RULES).segments)


WHOLE = (10, 20, 30, 80, 65, 70)
#: The frame, the chunks, the box at first and later.
GROWN = [
    pytest.param({}, (24, 15, 14), (10, 20, 30, 80, 65, 50), WHOLE, id="upwards", marks=pytest.mark.long),
    pytest.param({"frame": (3, 4, 5, 200, 100, 80)}, (30, 23, 20), (12, 24, 32, 78, 62, 66), WHOLE, id="to all sides"),
    pytest.param(
        {"frame": WHOLE}, (24, 15, 14), (26, 36, 46, 80, 65, 70), WHOLE, id="downwards", marks=pytest.mark.long
    ),
]


@pytest.mark.parametrize(("frame", "chunks", "small", "large"), GROWN)
def test_a_box_that_grows_keeps_what_it_has(
    source: str,
    tmp_path: Path,
    frame: dict[str, Any],
    chunks: tuple[int, ...],
    small: tuple[int, ...],
    large: tuple[int, ...],
) -> None:
    """Upwards along z, and to all sides in a frame: inner tasks are kept, and the result is a full run's."""
    cut = {"chunk_size": chunks, "batch_chunks": 1, **frame}
    run_local(parameters(source, tmp_path / "out", bbox=small, **cut))
    old = Run.open(str(tmp_path / "out"))
    kept = {task.id for task in old.plan.stage("watershed").tiers[0]}
    run, records = started_again(parameters(source, tmp_path / "out", bbox=large, **cut))
    fresh = run_local(parameters(source, tmp_path / "fresh", bbox=large, **cut))
    assert_equal_runs(run, fresh)

    touched = set()
    for task in kept:
        before, after = old.plan.task(task).box, run.plan.task(task).box
        pairs = zip(before.corners, old.facts.box.corners, run.facts.box.corners, strict=True)
        at_old_face = any(mine == a != b for mine, a, b in pairs)
        touched |= {task} if before != after or at_old_face else set()
    assert kept - touched, "the example has no inner leaf"
    worked = {task for task in computed(records) if task.startswith("watershed-0")}
    assert worked == {task.id for task in run.plan.stage("watershed").tiers[0]} - (kept - touched)


def test_ids_are_counted_in_the_frame(source: str, tmp_path: Path) -> None:
    """A segment's id is 1 + the index of its first voxel in the frame, whatever the box."""
    frame, box = Box((3, 4, 5), (200, 100, 80)), Box((20, 24, 33), (58, 60, 66))
    run = run_local(parameters(source, tmp_path, bbox=box.corners, frame=frame.corners, **CHUNKS))
    affinities = open_volume(source).read(box)
    whole = abiss_py.segment(affinities, **RULES)
    for stored, expected in zip(layers_of(run), (whole.supervoxels, whole.segments), strict=True):
        np.testing.assert_array_equal(stored, in_frame(expected, box, frame))


def in_frame(ids: NDArray[np.uint64], box: Box, frame: Box) -> NDArray[np.uint64]:
    """Ids of a volume that begins at `box`, as they are counted in `frame`."""
    voxel = np.maximum(ids.astype(np.int64) - 1, 0)
    x, y, z = np.unravel_index(voxel, box.shape, order="F")
    dx, dy, dz = (a - b for a, b in zip(box.minimum, frame.minimum, strict=True))
    sx, sy, _ = frame.shape
    moved = 1 + (x + dx) + sx * ((y + dy) + sy * (z + dz))
    return np.where(ids > 0, moved, 0).astype(np.uint64)


def test_runs_that_share_a_store_share_results(source: str, tmp_path: Path) -> None:
    """A second run in another folder takes over the watershed, and a third all tables."""
    shared = {**CHUNKS, "store": str(tmp_path / "store")}
    run_local(parameters(source, tmp_path / "one", **shared))
    two = run_local(parameters(source, tmp_path / "two", agglomeration_threshold=0.6, **shared))
    records = {record.task_id: record for record in two.records()}
    assert stages_of(records, "reused") == Counter(watershed=len(two.plan.stage("watershed").tasks))
    three = run_local(parameters(source, tmp_path / "three", **shared))
    records = {record.task_id: record for record in three.records()}
    assert set(stages_of(records, "computed")) == {"labels", "pyramid", "report"}
    assert bytes_of(tmp_path / "three") == bytes_of(tmp_path / "one")
    own = run_local(parameters(source, tmp_path / "own", agglomeration_threshold=0.6, **CHUNKS))
    assert_equal_runs(two, own)


def test_garbage_is_what_no_run_refers_to(source: str, tmp_path: Path) -> None:
    """Objects of a deleted run and of outdated results go, all others stay, and runs go on."""
    shared = {**CHUNKS, "store": str(tmp_path / "store")}
    one = run_local(parameters(source, tmp_path / "one", **shared))
    two = run_local(parameters(source, tmp_path / "two", agglomeration_threshold=0.6, **shared))
    assert find_garbage(one.store).objects == ()
    only_two = {r.object for r in two.records()} - {r.object for r in one.records()}
    assert only_two
    (tmp_path / "store" / "ab").mkdir(exist_ok=True)
    abandoned = "ab" + 30 * "0"
    unfinished = tmp_path / "store" / "ab" / abandoned
    unfinished.mkdir()
    (unfinished / "names.parquet").write_bytes(b"half of a table")
    shutil.rmtree(tmp_path / "two")
    assert set(find_garbage(one.store).objects) == only_two | {abandoned}
    at_work = locked(one.storage, "locks/watershed-0-leaf-0_0_0.json", TaskLock("a task", "key"))
    with at_work, pytest.raises(RunError, match="running"):
        collect(one.store)
    removed = collect(one.store)
    assert removed.gone == (two.output,)
    assert set(removed.objects) == only_two | {abandoned}
    assert one.store.registered() == [one.output]
    assert set(one.store.objects()) == {r.object for r in one.records() if r.object}

    _, records = started_again(parameters(source, tmp_path / "one", agglomeration_threshold=0.4, **shared))
    assert "watershed" not in stages_of(records, "computed")
    shutil.rmtree(tmp_path / "store")
    run, records = started_again(parameters(source, tmp_path / "one", agglomeration_threshold=0.4, **shared))
    assert stages_of(records, "computed")["watershed"] == len(run.plan.stage("watershed").tasks)


def test_a_half_run_keeps_its_objects(source: str, tmp_path: Path) -> None:
    """Collecting in the middle of a run, and of one that is being done again, removes nothing that it needs."""
    params = parameters(source, tmp_path, **CHUNKS)
    run = prepare_run(params)
    for task in [*run.plan.stage("watershed").tasks]:
        run_task(run, task.id)
    assert collect(run.store).objects == ()
    _, records = started_again(params)
    assert "watershed" not in stages_of(records, "computed")
    again = prepare_run(parameters(source, tmp_path, **{**CHUNKS, "watershed_dust": 5}))
    assert collect(again.store).objects == ()  # the earlier results may turn out to be the same
    _, records = started_again(params)
    assert set(stages_of(records, "computed")) <= {"report"}


def test_leftovers_of_killed_writers_are_garbage(finished: Path, tmp_path: Path) -> None:
    """Old temporary files go, young ones may be somebody's."""
    output = shutil.copytree(finished, tmp_path / "out")
    old, young = output / "segmentation" / ".a.partial", output / "tasks" / ".b.partial"
    for path in (old, young):
        path.write_bytes(b"1234")
    os.utime(old, (0, 0))
    store = Run.open(str(output)).store
    assert find_garbage(store).partial_bytes == 4
    collect(store)
    assert not old.exists()
    assert young.exists()


def test_a_killed_change_does_not_pass_for_the_old_result(
    source: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the blocks written for a new threshold, then back to the old one: they are written again."""
    output = shutil.copytree(finished, tmp_path / "out")
    run = prepare_run(parameters(source, output, **{**CHUNKS, "agglomeration_threshold": 0.9}))
    for stage in ("watershed", "agglomeration"):
        for task in run.plan.stage(stage).tasks:
            run_task(run, task.id)
    writing, blocks = Storage.writing, 0

    def writing_some(self: Storage, name: str, *, compressed: bool = False) -> AbstractContextManager[IO[bytes]]:
        nonlocal blocks
        blocks += "segmentation" in self.path
        if blocks > 5:
            raise KeyboardInterrupt
        return writing(self, name, compressed=compressed)

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "writing", writing_some)
        with pytest.raises(KeyboardInterrupt):
            run_local(run.params)
    assert bytes_of(output) != bytes_of(finished)
    back, _ = started_again(parameters(source, output, **CHUNKS))
    assert bytes_of(output) == bytes_of(finished)
    assert_equal_runs(back, Run.open(str(finished)))


def test_other_chunks_leave_no_record_of_elsewhere(source: str, finished: Path, tmp_path: Path) -> None:
    """Half a run in other chunks with another threshold, then back: no block of that half is left."""
    output = shutil.copytree(finished, tmp_path / "out")
    other = {"chunk_size": (33, 30, 20), "batch_chunks": 1, "agglomeration_threshold": 0.9}
    run = prepare_run(parameters(source, output, **other))
    for stage in ("watershed", "agglomeration"):
        for task in run.plan.stage(stage).tasks:
            run_task(run, task.id)
    run_task(run, run.plan.stage("labels").tasks[0].id)
    back, _ = started_again(parameters(source, output, **CHUNKS))
    assert_equal_runs(back, Run.open(str(finished)))


def test_two_starts_do_not_mix(source: str, finished: Path, tmp_path: Path) -> None:
    """While a task is at work other parameters are refused; after another start the old tasks refuse."""
    output = shutil.copytree(finished, tmp_path / "out")
    first = Run.open(str(output))
    changed = parameters(source, output, **{**CHUNKS, "agglomeration_threshold": 0.6})
    leaf, merge = (first.plan.stage(stage).tasks[0].id for stage in ("watershed", "agglomeration"))
    keys = {task_id: first.keys.of(first.plan.task(task_id)) for task_id in (leaf, merge)}
    with locked(first.storage, f"locks/{merge}.json", TaskLock("the task", keys[merge])):
        with pytest.raises(RunError, match="running"):
            prepare_run(changed)
        prepare_run(parameters(source, output, **CHUNKS))  # the same parameters do no harm
    # A claim of a task that does not depend on the change is no obstacle, nor is a dead process's.
    same = locked(first.storage, f"locks/{leaf}.json", TaskLock("the task", keys[leaf]))
    dead = locked(first.storage, f"locks/{merge}.json", TaskLock("the task", "key", process=2**22 + 1))
    with same, dead:
        second = prepare_run(changed)
    with pytest.raises(ReplacedRunError, match="started again"):
        run_task(first, merge, keys[merge])
    with pytest.raises(ReplacedRunError, match=keys[merge]):
        run_task(second, merge, keys[merge])
    assert run_task(Run.open(str(output)), leaf, keys[leaf]).outcome == "computed"
    assert run_task(second, merge).outcome == "computed"


def test_a_start_between_check_and_claim_is_seen(
    source: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that claims its place just before run.json is written makes the start fail, not the result."""
    output = shutil.copytree(finished, tmp_path / "out")
    first = Run.open(str(output))
    merge = first.plan.stage("agglomeration").tasks[0].id
    save_run = Run.save
    claim = locked(first.storage, f"locks/{merge}.json", TaskLock("the task", first.keys.of(first.plan.task(merge))))
    monkeypatch.setattr(Run, "save", lambda self: (claim.__enter__(), save_run(self)))
    with pytest.raises(RunError, match="running"):
        prepare_run(parameters(source, output, **{**CHUNKS, "agglomeration_threshold": 0.6}))
    monkeypatch.undo()
    claim.__exit__(None, None, None)
    changed = {**CHUNKS, "agglomeration_threshold": 0.6}
    run, _ = started_again(parameters(source, output, **changed))
    assert_equal_runs(run, run_local(parameters(source, tmp_path / "fresh", **changed)))

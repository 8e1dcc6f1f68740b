"""Maps and counts: whatever the plan and whatever is done, the counts add up to the plan."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from seuron.box import Box, Triple
from seuron.engine.plan import Task
from seuron.engine.run import Run
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.facts import VolumeFacts
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.web.snapshot import RunSnapshot
from seuron.web.stage_counts import count_run
from seuron.web.tier_grid import TierGrid, tier_grids

sizes = st.tuples(*(st.integers(4, 40) for _ in range(3)))
shapes = st.tuples(*(st.integers(1, 90) for _ in range(3)))


def run_of(shape: Triple, chunk: Triple, batch: int, corner: Triple = (5, -3, 7), frame: bool = False) -> Run:
    params = SegmentationParams(
        image="i", output="/o", ground_truth="g", chunk_size=chunk, block_size=(8, 8, 8), batch_chunks=batch
    )
    scales = {"affinities": 3, "supervoxels": 3, "segmentation": 3}
    box = Box.from_shape(corner, shape)
    facts = VolumeFacts(box, (8, 8, 8), "uint8", scales, frame=box.grown((3, 5, 1), (2, 0, 9)) if frame else None)
    return Run(PIPELINE, params, facts)


def tasks_of(grid: TierGrid) -> list[Task]:
    """The tasks that a grid shows."""
    return [task for task in grid.tier if task.layer == grid.layer]


@st.composite
def snapshots(draw: st.DrawFn) -> tuple[RunSnapshot, frozenset[str]]:
    """A run in the middle of its work, and the tasks that Airflow calls failed."""
    run = run_of(draw(shapes), draw(sizes), draw(st.sampled_from([1, 2, 4])), frame=draw(st.booleans()))
    tasks = sorted(task.id for task in run.plan.tasks)
    some = st.sets(st.sampled_from(tasks), max_size=60).map(frozenset)
    done = frozenset(tasks) if draw(st.sampled_from([False, False, False, True])) else draw(some)
    return RunSnapshot(run, "version", done, draw(some)), draw(some)


@settings(max_examples=40, deadline=None)
@given(snapshots())
def test_counts_of_stages_add_up_to_the_plan(drawn: tuple[RunSnapshot, frozenset[str]]) -> None:
    """Each planned task is counted in one stage, as done, running, failed or none of these."""
    snapshot, failed = drawn
    counts = count_run(snapshot, failed)
    assert counts.tasks == len(snapshot.run.plan.tasks)
    assert counts.done == len(snapshot.done)
    for stage in counts.stages:
        names = {task.id for task in snapshot.run.plan.stage(stage.name).tasks}
        assert stage.tasks == len(names)
        assert stage.failed == len((failed - snapshot.done) & names)
        assert stage.running == len((snapshot.running - snapshot.done - failed) & names)
        assert stage.done + stage.failed + stage.running <= stage.tasks
        assert 0 <= stage.chunks_done <= stage.chunks
        assert stage.seconds_done <= stage.seconds + 1e-9
    assert 0 <= counts.share <= 1 + 1e-9
    assert (counts.current is None) == (snapshot.done == {task.id for task in snapshot.run.plan.tasks})


@settings(max_examples=40, deadline=None)
@given(snapshots())
def test_chunks_are_those_of_the_grid(drawn: tuple[RunSnapshot, frozenset[str]]) -> None:
    """The leaves' chunks add up to the chunks that cover the box, counted from the frame's corner."""
    snapshot, _ = drawn
    facts, chunk = snapshot.run.facts, snapshot.run.params.chunk_size
    expected = sum(1 for _ in facts.box.cells(chunk, facts.id_frame.minimum))
    for stage in count_run(snapshot).stages:
        assert stage.chunks == (expected if stage.name in ("watershed", "agglomeration") else 0)


@settings(max_examples=40, deadline=None)
@given(snapshots(), st.integers(1, 6), st.integers(-5, 30))
def test_slices_of_maps_add_up_to_the_plan(drawn: tuple[RunSnapshot, frozenset[str]], most: int, height: int) -> None:
    """Every task is in one grid, one slice and one square, however coarse the squares are; never too many squares."""
    snapshot, failed = drawn
    grids = tier_grids(snapshot.run.plan)
    assert sorted(task.id for grid in grids.values() for task in tasks_of(grid)) == sorted(
        task.id for task in snapshot.run.plan.tasks
    )
    for name, grid in grids.items():
        assert grid.name == name
        marks = (snapshot.done, snapshot.running, failed)
        slices = [grid.slice_at(z, *marks, max_cells=most) for z in range(grid.shape[2])]
        assert sum(counts.total for counts in slices[0].slices) == len(tasks_of(grid))
        assert sum(counts.done for counts in slices[0].slices) == len({t.id for t in tasks_of(grid)} & snapshot.done)
        for z, made in enumerate(slices):
            assert made.z == z
            assert len(made.cells) <= most**2
            assert [sum(cell[i] for cell in made.cells) for i in range(2, 6)] == list(made.slices[z])
            assert len({(cell.x, cell.y) for cell in made.cells}) == len(made.cells)
        assert 0 <= grid.slice_at(height, *marks).z < grid.shape[2]


@settings(max_examples=30, deadline=None)
@given(snapshots())
def test_a_place_on_a_map_names_its_task(drawn: tuple[RunSnapshot, frozenset[str]]) -> None:
    """A square of one task leads to that task: what is clicked is what is shown."""
    snapshot, _ = drawn
    for grid in snapshot.grids.values():
        for task in tasks_of(grid):
            place = tuple(i - c for i, c in zip(task.index, grid.tier.indices.minimum, strict=True))
            assert grid.task_at((place[0], place[1], place[2])) == task.id


def test_ten_thousand_chunks_are_counted_in_a_moment() -> None:
    """A slice of 10,000 tasks is small enough to send, and made within a fraction of a second."""
    import time

    run = run_of((800, 800, 8), (8, 8, 8), 1, (0, 0, 0))
    grid = tier_grids(run.plan)["watershed.0"]
    assert len(tasks_of(grid)) == 10_000
    began = time.process_time()
    made = grid.slice_at(0, frozenset(task.id for task in tasks_of(grid)[:5000]))
    assert time.process_time() - began < 1.0
    assert len(made.cells) == 10_000
    assert made.slices[0].done == 5000
    assert len(grid.slice_at(0, (), max_cells=64).cells) == 50**2

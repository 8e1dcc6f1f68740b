"""Maps and progress: whatever the plan and whatever is done, the counts add up to the plan."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from seuron.box import Box, Triple
from seuron.engine.run import Run
from seuron.pages.look import Look
from seuron.pages.progress import progress_of
from seuron.pages.sheets import cut, sheets_of
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.plan import VolumeFacts

sizes = st.tuples(*(st.integers(4, 40) for _ in range(3)))
shapes = st.tuples(*(st.integers(1, 90) for _ in range(3)))


def run_of(shape: Triple, chunk: Triple, batch: int, corner: Triple = (5, -3, 7), frame: bool = False) -> Run:
    params = SegmentationParams(
        image="i", output="/o", ground_truth="g", chunk_size=chunk, block_size=(8, 8, 8), batch_chunks=batch
    )
    scales = {"affinities": 3, "supervoxels": 3, "segmentation": 3}
    box = Box.from_shape(corner, shape)
    facts = VolumeFacts(box, (8, 8, 8), "uint8", scales, "x", frame=box.grown((3, 5, 1), (2, 0, 9)) if frame else None)
    return Run(params, facts, saved_keys={})


@st.composite
def looks(draw: st.DrawFn) -> tuple[Look, frozenset[str]]:
    """A run in the middle of its work, and the tasks that Airflow calls failed."""
    run = run_of(draw(shapes), draw(sizes), draw(st.sampled_from([1, 2, 4])), frame=draw(st.booleans()))
    tasks = sorted(run.plan.tasks)
    some = st.sets(st.sampled_from(tasks), max_size=60).map(frozenset)
    done = frozenset(tasks) if draw(st.sampled_from([False, False, False, True])) else draw(some)
    return Look(run, "version", done, draw(some)), draw(some)


@settings(max_examples=40, deadline=None)
@given(looks())
def test_counts_of_progress_add_up_to_the_plan(given_look: tuple[Look, frozenset[str]]) -> None:
    """Each planned task is counted in one stage, as done, at work, failed or none of these."""
    look, failed = given_look
    progress = progress_of(look, failed)
    assert progress.tasks == len(look.run.plan.tasks)
    assert progress.done == len(look.done)
    for stage in progress.stages:
        names = {task.id for task in look.run.plan.stage(stage.name).tasks}
        assert stage.tasks == len(names)
        assert stage.failed == len((failed - look.done) & names)
        assert stage.working == len((look.working - look.done - failed) & names)
        assert stage.done + stage.failed + stage.working <= stage.tasks
        assert 0 <= stage.chunks_done <= stage.chunks
        assert stage.seconds_done <= stage.seconds + 1e-9
    assert 0 <= progress.share <= 1 + 1e-9
    assert (progress.current is None) == (look.done == look.run.plan.tasks.keys())


@settings(max_examples=40, deadline=None)
@given(looks())
def test_chunks_are_those_of_the_grid(given_look: tuple[Look, frozenset[str]]) -> None:
    """The leaves' chunks add up to the chunks that cover the box, counted from the frame's corner."""
    look, _ = given_look
    facts, chunk = look.run.facts, look.run.params.chunk_size
    expected = sum(1 for _ in facts.box.cells(chunk, facts.id_frame.minimum))
    for stage in progress_of(look).stages:
        assert stage.chunks == (expected if stage.name in ("watershed", "agglomeration") else 0)


@settings(max_examples=40, deadline=None)
@given(looks(), st.integers(1, 6), st.integers(-5, 30))
def test_slices_of_maps_add_up_to_the_plan(given_look: tuple[Look, frozenset[str]], most: int, height: int) -> None:
    """Every task is in one sheet, one slice and one square, however coarse the squares are; never too many squares."""
    look, failed = given_look
    sheets = sheets_of(look.run.plan)
    assert sorted(task.id for sheet in sheets.values() for task in sheet.tasks) == sorted(look.run.plan.tasks)
    for name, sheet in sheets.items():
        assert sheet.name == name
        marks = (look.done, look.working, failed)
        cuts = [cut(sheet, z, *marks, most=most) for z in range(sheet.shape[2])]
        assert sum(slice_.total for slice_ in cuts[0].slices) == len(sheet.tasks)
        assert sum(slice_.done for slice_ in cuts[0].slices) == len({t.id for t in sheet.tasks} & look.done)
        for z, made in enumerate(cuts):
            assert made.z == z
            assert len(made.cells) <= most**2
            assert [sum(cell[i] for cell in made.cells) for i in range(2, 6)] == list(made.slices[z])
            assert len({(cell.x, cell.y) for cell in made.cells}) == len(made.cells)
        assert 0 <= cut(sheet, height, *marks).z < sheet.shape[2]


@settings(max_examples=30, deadline=None)
@given(looks())
def test_a_place_on_a_map_names_its_task(given_look: tuple[Look, frozenset[str]]) -> None:
    """A square of one task leads to that task: what is clicked is what is shown."""
    look, _ = given_look
    for sheet in look.sheets.values():
        for task in sheet.tasks:
            place = tuple(i - c for i, c in zip(task.index, sheet.corner, strict=True))
            assert sheet.task_at((place[0], place[1], place[2])) == task.id


def test_ten_thousand_chunks_are_cut_in_a_moment() -> None:
    """A slice of 10,000 tasks is small enough to send, and made within a fraction of a second."""
    import time

    run = run_of((800, 800, 8), (8, 8, 8), 1, (0, 0, 0))
    sheet = sheets_of(run.plan)["watershed.0"]
    assert len(sheet.tasks) == 10_000
    began = time.process_time()
    made = cut(sheet, 0, frozenset(task.id for task in sheet.tasks[:5000]))
    assert time.process_time() - began < 1.0
    assert len(made.cells) == 10_000
    assert made.slices[0].done == 5000
    assert len(cut(sheet, 0, (), most=64).cells) == 50**2

"""Runs on disk: the same bytes whatever the chunks, batches, workers, kills and repetitions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from profiles import scaled
from runs_on_disk import RULES, bytes_of, layers_of, parameters, save, smooth_affinities
from strategies import affinity_maps

import abiss_py
from seuron.box import Box
from seuron.engine.execute import run_task
from seuron.engine.local import run_local
from seuron.engine.setup import parse_run, prepare_run
from seuron.errors import DataError, ParameterErrors
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.storage import Storage
from seuron.volumes import create_volume


@settings(max_examples=scaled(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    affinities=affinity_maps(24),
    chunk=st.tuples(*(st.integers(3, 20) for _ in range(3))),
    batch=st.sampled_from([1, 2, 4]),
)
def test_stored_layers_are_those_of_one_array(
    tmp_path_factory: pytest.TempPathFactory, affinities: NDArray[Any], chunk: tuple[int, int, int], batch: int
) -> None:
    """Any chunk size and batch size stores what `abiss_py.segment` gives for the whole array."""
    folder = tmp_path_factory.mktemp("run")
    source = save(folder / "affinities", affinities)
    run = run_local(parameters(source, folder / "out", chunk_size=chunk, batch_chunks=batch))
    whole = abiss_py.segment(affinities, **RULES)
    supervoxels, segments = layers_of(run)
    np.testing.assert_array_equal(supervoxels, whole.supervoxels)
    np.testing.assert_array_equal(segments, whole.segments)
    counts = [run.record(task.id).counts for task in run.plan.stage("labels").tasks]  # type: ignore[union-attr]
    assert sum(c["supervoxels"] for c in counts) == len(np.unique(supervoxels[supervoxels > 0]))
    assert sum(c["segments"] for c in counts) == len(np.unique(segments[segments > 0]))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("input") / "affinities", smooth_affinities((70, 60, 50)))


@pytest.fixture(scope="module")
def reference(source: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The bytes of a run in one chunk and one process."""
    folder = tmp_path_factory.mktemp("reference")
    run_local(parameters(source, folder))
    return bytes_of(folder)


def test_three_tiers_and_two_workers_give_the_same_bytes(
    source: str, reference: dict[str, str], tmp_path: Path
) -> None:
    """A tree of merges, seams and lines closed before it, and a pool of processes change no byte of any scale."""
    run = run_local(parameters(source, tmp_path, chunk_size=(15, 15, 13), batch_chunks=1), workers=2)
    assert [tier.role for tier in run.plan.stage("watershed").tiers] == ["leaf", "seam", "line", "merge", "merge"]
    assert bytes_of(tmp_path) == reference


def test_a_run_killed_anywhere_goes_on(source: str, reference: dict[str, str], tmp_path: Path) -> None:
    """SIGKILL of the whole process group, again and again: what was finished is kept, the bytes are the same."""
    settings = parameters(source, tmp_path, chunk_size=(32, 32, 32), batch_chunks=1)
    script = (
        "import sys; from seuron.engine.local import run_local; from seuron.params import parse_parameters; "
        "from seuron.pipelines.segmentation.params import SegmentationParams; "
        "run_local(parse_parameters(SegmentationParams, __import__('json').loads(sys.argv[1])), workers=2)"
    )
    finished: dict[str, bytes] = {}
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", script, settings.model_dump_json()], start_new_session=True)
        target = len(finished) + 6
        while len(Storage(str(tmp_path)).names("tasks/")) < target:
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        now = {path.name: path.read_bytes() for path in (tmp_path / "tasks").glob("[!.]*.json")}
        assert all(now[name] == content for name, content in finished.items()), "a finished task ran again"
        finished = now
    run_local(settings)
    assert bytes_of(tmp_path) == reference


def test_a_task_delivered_twice_does_no_harm(source: str, reference: dict[str, str], tmp_path: Path) -> None:
    """Every task done again, its record gone, with the whole run finished around it."""
    run = run_local(parameters(source, tmp_path, chunk_size=(40, 40, 40), batch_chunks=1))
    for task in run.plan.tasks:
        before = run.record(task.id)
        assert run_task(run, task.id) == before, "a finished task must not run again"
        (tmp_path / "tasks" / f"{task.id}.json").unlink()
        run_task(run, task.id)
    assert bytes_of(tmp_path) == reference


def test_two_runs_share_nothing(source: str, reference: dict[str, str], tmp_path: Path) -> None:
    """Tasks of two runs, one after the other in one process, keep to their own folder."""
    runs = [
        prepare_run(parameters(source, tmp_path / name, chunk_size=(40, 40, 40), agglomeration_threshold=threshold))
        for name, threshold in (("a", 0.3), ("b", 0.7))
    ]
    for task in runs[0].plan.tasks:
        for run in runs:
            run_task(run, task.id)
    assert bytes_of(tmp_path / "a") == reference
    assert bytes_of(tmp_path / "b") != reference


def test_nan_is_an_error_that_names_chunk_and_voxel(tmp_path: Path) -> None:
    """The task fails for good, with coordinates of the volume, not of the chunk."""
    affinities = np.full((40, 20, 20, 3), 0.5, np.float32, order="F")
    affinities[33, 7, 9, 1] = np.nan
    source = save(tmp_path / "affinities", affinities)
    with pytest.raises(
        DataError, match=r"chunk \[42\.\.50, 20\.\.40, 30\.\.50\].*voxel \(43, 27, 39\), channel 1.*nan"
    ):
        run_local(parameters(source, tmp_path / "out", chunk_size=(16, 32, 32)))


def test_missing_blocks_are_an_error_or_counted_zeros(tmp_path: Path) -> None:
    """A hole in the input stops the run, unless the parameters say what it means."""
    affinities = smooth_affinities((40, 40, 40))
    source = save(tmp_path / "affinities", affinities)
    hole = next((tmp_path / "affinities").rglob("26-42_36-52_46-62"))
    hole.unlink()
    with pytest.raises(DataError, match="missing"):
        run_local(parameters(source, tmp_path / "strict", chunk_size=(20, 20, 20)))
    run = run_local(parameters(source, tmp_path / "out", chunk_size=(15, 15, 15), missing_blocks="zero"))
    affinities[16:32, 16:32, 16:32] = 0
    np.testing.assert_array_equal(layers_of(run)[1], abiss_py.segment(affinities, **RULES).segments)
    assert sum(record.counts.get("filled_blocks", 0) for record in run.records()) == 1


def test_all_that_is_wrong_is_said_at_once(source: str, tmp_path: Path) -> None:
    """A wrong box, and a truth of a wrong type elsewhere: one error, and nothing is written."""
    empty = create_volume(str(tmp_path / "labels"), Box((0, 0, 0), (4, 4, 4)), (8, 8, 40), dtype="float32")
    wrong = parameters(source, tmp_path / "out", bbox=(0, 0, 0, 30, 30, 31), ground_truth=empty.path)
    with pytest.raises(ParameterErrors) as error:
        prepare_run(wrong)
    assert len(error.value.problems) == 3
    assert "outside the volume" in str(error.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ParameterErrors, match="cannot open"):
        prepare_run(parameters(str(tmp_path / "nothing"), tmp_path / "out"))
    image = parameters(source, tmp_path / "out").model_copy(update={"image": source, "affinities": None})
    with pytest.raises(ParameterErrors, match="3 channels; expected 1"):
        prepare_run(image)


@pytest.mark.parametrize("written", [1, 2, 3, 4])
def test_a_start_killed_before_its_run_is_written_is_taken_up(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """Killed after any of the files that come before run.json, the next start goes on; other files are refused still.

    The bytes are those of a run that nobody disturbed.
    """
    writing, left, output = Storage.writing, written, tmp_path / "out"

    class Killed(BaseException):
        """Ends a process: no code catches it."""

    def dying(self: Storage, name: str, *, compressed: bool = False) -> AbstractContextManager[IO[bytes]]:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return writing(self, name, compressed=compressed)

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "writing", dying)
        with pytest.raises(Killed):
            prepare_run(parameters(source, output))
    assert Storage(output).names()
    assert Storage(output).get("run.json") is None
    (output / "letter.txt").write_text("mine")
    with pytest.raises(ParameterErrors, match="already holds other files"):
        prepare_run(parameters(source, output))
    (output / "letter.txt").unlink()
    run = run_local(parameters(source, output))
    run_local(parameters(source, tmp_path / "whole"))
    assert bytes_of(output) == bytes_of(tmp_path / "whole")
    assert len(run.records()) == len(run.plan.tasks)


def test_files_called_like_a_runs_are_not_taken_for_them(source: str, tmp_path: Path) -> None:
    """Inputs of somebody's own, or a plan without inputs, are no start that was killed."""
    for name, file in (("a", "inputs/image.tif"), ("b", "plan.json")):
        path = tmp_path / name / file
        path.parent.mkdir(parents=True)
        path.write_text("mine")
        with pytest.raises(ParameterErrors, match="already holds other files"):
            prepare_run(parameters(source, tmp_path / name))


def test_wrong_types_and_a_full_disk_are_found_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Affinities of a type that cannot be summed exactly, and no room for the result."""
    box = Box((0, 0, 0), (8, 8, 8))
    volume = create_volume(str(tmp_path / "wide"), box, (8, 8, 40), dtype="uint16", channels=3, pyramid=False)
    monkeypatch.setattr("seuron.storage.files.shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(ParameterErrors) as error:
        prepare_run(parameters(volume.path, tmp_path / "out"))
    assert len(error.value.problems) == 2
    assert "holds uint16 voxels; allowed are uint8, float32" in str(error.value)
    assert "GB free; the run needs about" in str(error.value)


def test_an_image_of_more_bits_is_told_the_way_to_eight(tmp_path: Path) -> None:
    """16-bit images are legal layers, which the net does not read: the message says how one becomes uint8."""
    image = create_volume(str(tmp_path / "image"), Box((0, 0, 0), (8, 8, 8)), (8, 8, 40), dtype="uint16")
    params = SegmentationParams(image=image.path, output=str(tmp_path / "out"))
    with pytest.raises(ParameterErrors, match=r"holds uint16 voxels; .*seuron import IMAGE LAYER --window auto"):
        prepare_run(params)


def test_typing_errors_and_missing_volumes_come_together(source: str, tmp_path: Path) -> None:
    """An unknown name, a value out of range and a volume that is not there: one error names all three."""
    values = {"affinities": str(tmp_path / "nothing"), "output": str(tmp_path / "out"), "chunksize": 3, "mip": -1}
    with pytest.raises(ParameterErrors) as error:
        parse_run(PIPELINE, values)
    assert len(error.value.problems) == 3
    for words in ("did you mean `chunk_size`?", "`mip`", "cannot open"):
        assert words in str(error.value)
    assert parse_run(PIPELINE, {"affinities": source, "output": str(tmp_path / "out")}).affinities == source


def test_an_output_of_another_volume_is_refused(source: str, tmp_path: Path) -> None:
    """A folder whose layers would become another volume, or that holds other files, is not written into."""
    prepare_run(parameters(source, tmp_path / "out", bbox=(12, 20, 30, 60, 60, 60)))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    changes: list[tuple[dict[str, Any], str]] = [
        ({"block_size": (8, 8, 8)}, r"`block_size` was \(16, 16, 16\), now \(8, 8, 8\)"),
        ({"store": str(tmp_path / "elsewhere")}, "`store` was"),
        ({"bbox": (12, 20, 30, 60, 60, 50)}, "may grow, but not shrink"),
        ({"bbox": (10, 20, 30, 60, 60, 60)}, "give a `frame` from the start"),
        ({"frame": (0, 0, 0, 100, 100, 100)}, "give a `frame` from the start"),
    ]
    for change, words in changes:
        with pytest.raises(ParameterErrors, match=words):
            prepare_run(parameters(source, tmp_path / "out", **{"bbox": (12, 20, 30, 60, 60, 60), **change}))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("do not touch")
    with pytest.raises(ParameterErrors, match=r"thesis\.txt"):
        prepare_run(parameters(source, tmp_path / "other"))

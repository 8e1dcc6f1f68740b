"""Damaged files: another start gives the same bytes, or one sentence names the file and what to do.

One finished and one half-finished run are made once; each case damages a file of a copy and starts the run again.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from runs_on_disk import bytes_of, parameters, save, smooth_affinities

from seuron.cli import main
from seuron.engine.diff import changes_of
from seuron.engine.execute import run_task
from seuron.engine.gates import GateAnswer, add_answer, answers
from seuron.engine.local import run_local
from seuron.engine.retries import read_retries
from seuron.engine.run import Run
from seuron.engine.setup import plan_run, prepare_run
from seuron.engine.states import Stop, read_stops, write_stop
from seuron.errors import DamagedFileError, DataError, SeuronError
from seuron.params.run_parameters import RunParameters
from seuron.pipelines.segmentation.analysis import region_graph
from seuron.storage.garbage_collection import find_garbage
from seuron.storage.locks import TaskLock

CHANGES = {"chunk_size": (24, 24, 24), "batch_chunks": 1}
#: What becomes of the bytes of a file.
KINDS: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "garbage": lambda content: random.Random(len(content)).randbytes(len(content)),
    "other": lambda content: b"[1]",
}
#: Files that a start makes again, or need not read.
MADE_AGAIN = (
    "keys/*",
    "plan.json",
    "inputs/inputs.json",
    "inputs/affinities.parquet",
    "tasks/watershed-0-leaf-0_0_0.json",
    "locks/watershed-0-leaf-0_0_0.json",
    "objects/*/*/object.json",
    "supervoxels/info",
    "segmentation/info",
    "retries.json",
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("input") / "affinities", smooth_affinities((32, 20, 20)))


@pytest.fixture(scope="module")
def finished(source: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    _add_notes(run_local(parameters(source, folder, **CHANGES)))
    return folder


@pytest.fixture(scope="module")
def half_finished(source: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose watershed is done, and nothing that reads it."""
    folder = tmp_path_factory.mktemp("half") / "run"
    run = prepare_run(parameters(source, folder, **CHANGES))
    for task in run.plan.stage("watershed").tasks:
        run_task(run, task.id)
    _add_notes(run)
    return folder


def _add_notes(run: Run) -> None:
    """What lies in a run's folder for other reasons than its results."""
    run.storage.put("locks/watershed-0-leaf-0_0_0.json", json.dumps(asdict(TaskLock("a task", began=0.0))).encode())
    run.storage.put("retries.json", b"[]")
    write_stop(run.storage, Stop("first", "paused", "ada", 1.0, "lunch"))
    add_answer(run.storage, GateAnswer("watershed", "key", "first", "approve", "ada", 1.0))


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Path], Path]:
    """A copy of a run's folder: runs may be moved, so it is a run as well."""

    def made(folder: Path) -> Path:
        shutil.copytree(folder, tmp_path / "run")
        return tmp_path / "run"

    return made


def damage(folder: Path, pattern: str, kind: str) -> Path:
    """Damage the first file of a pattern."""
    path = min(path for path in folder.glob(pattern) if path.is_file())
    path.write_bytes(KINDS[kind](path.read_bytes()))
    return path


def results(folder: Path) -> dict[str, str]:
    """The bytes of both layers and of all tables."""
    tables = sorted((folder / "objects").rglob("*.parquet"))
    return bytes_of(folder) | {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in tables
    }


def parameters_of(source: str, folder: Path) -> RunParameters:
    return parameters(source, folder, **CHANGES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pattern", MADE_AGAIN)
def test_what_can_be_made_again_is(
    pattern: str, kind: str, source: str, finished: Path, copy: Callable[[Path], Path]
) -> None:
    """A damaged key, record, manifest, lock, fingerprint or info ended every later start in a traceback."""
    folder = copy(finished)
    damage(folder, pattern, kind)
    run_local(parameters_of(source, folder))
    assert results(folder) == results(finished)


@pytest.mark.parametrize("kind", ["truncated", "zeros"])
@pytest.mark.parametrize("pattern", ["tasks/*.json", "objects/*/*/object.json", "supervoxels/info", "keys/*"])
def test_a_run_that_was_interrupted_goes_on_over_damage(
    pattern: str, kind: str, source: str, finished: Path, half_finished: Path, copy: Callable[[Path], Path]
) -> None:
    """What a power cut leaves in a half-finished run must not end all later starts."""
    folder = copy(half_finished)
    damage(folder, pattern, kind)
    run_local(parameters_of(source, folder))
    assert results(folder) == results(finished)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_table_is_named_and_made_again(
    kind: str, source: str, finished: Path, half_finished: Path, copy: Callable[[Path], Path]
) -> None:
    """A damaged table ended every later start: its task counted as done."""
    folder = copy(half_finished)
    pattern = "objects/*/*/labels-*.parquet"
    path = damage(folder, pattern, kind)
    with pytest.raises(DamagedFileError, match="start the run again") as error:
        run_local(parameters_of(source, folder))
    assert error.value.path.endswith(str(path.relative_to(folder)))
    run_local(parameters_of(source, folder))
    assert results(folder) == results(finished)


def test_a_table_that_was_exchanged_is_noticed(source: str, half_finished: Path, copy: Callable[[Path], Path]) -> None:
    """A whole table of another task in the place of one gave other results, without a word."""
    folder = copy(half_finished)
    first, second = sorted((folder / "objects").rglob("labels-*.parquet"))[:2]
    first.write_bytes(second.read_bytes())
    with pytest.raises(DamagedFileError, match="digest"):
        run_local(parameters_of(source, folder))


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_run_file_is_one_sentence(
    kind: str, source: str, finished: Path, copy: Callable[[Path], Path], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """run.json cannot be made again: the commands say so in a line, with the path, and no traceback."""
    folder = copy(finished)
    path = damage(folder, "run.json", kind)
    with pytest.raises(SeuronError, match=r"run\.json is damaged"):
        run_local(parameters_of(source, folder))
    values = parameters_of(source, folder).model_dump(mode="json", exclude_defaults=True)
    monkeypatch.setattr(sys, "argv", ["seuron", "run", "segmentation", "--local", f"output={folder}"])
    (folder.parent / "values.json").write_text(json.dumps(values))
    sys.argv += ["--params", str(folder.parent / "values.json")]
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert str(path) in said
    assert "restore it from a copy" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("pattern", "read"),
    [
        ("gates/watershed.json", lambda run: answers(run.storage, "watershed")),
        ("stopped/first.json", lambda run: read_stops(run.storage)),
    ],
)
def test_what_people_said_is_not_made_up(
    pattern: str, read: Callable[[Run], object], kind: str, finished: Path, copy: Callable[[Path], Path]
) -> None:
    """An answer or a stop that is damaged was a traceback; it cannot be made again, so the file is named."""
    folder = copy(finished)
    path = damage(folder, pattern, kind)
    with pytest.raises(DamagedFileError, match="delete it") as error:
        read(Run.open(str(folder)))
    assert error.value.path.endswith(str(path))


@pytest.mark.parametrize("kind", KINDS)
def test_readers_pass_over_damage(kind: str, source: str, finished: Path, copy: Callable[[Path], Path]) -> None:
    """`plan --diff`, gc and the report ended in tracebacks over one record, note or fingerprint."""
    folder = copy(finished)
    for pattern in ("tasks/*.json", "inputs/inputs.json", "retries.json", "locks/*.json"):
        damage(folder, pattern, kind)
    changed = changes_of(plan_run(parameters(source, folder, **{**CHANGES, "agglomeration_threshold": 0.5})))
    assert sum(stage.tasks for stage in changed.stages) == len(Run.open(str(folder)).plan.tasks)
    run = Run.open(str(folder))
    assert len(run.records()) == len(run.plan.tasks) - 1
    assert len(find_garbage(run.store).objects) <= 1
    assert read_retries(run.storage) == ()


@pytest.mark.parametrize("kind", ["truncated", "zeros", "garbage"])
def test_analysis_names_a_damaged_table(kind: str, finished: Path, copy: Callable[[Path], Path]) -> None:
    """A sweep over a damaged table names the file and how it is made again, and changes nothing."""
    folder = copy(finished)
    run = Run.open(str(folder))
    task = next(iter(run.plan.stage("agglomeration").tasks))
    tables = run.tables(task.id).path.removeprefix("file://")
    path = damage(Path(tables), "graph.parquet", kind)
    with pytest.raises(DamagedFileError, match="delete the folder") as error:
        region_graph(Run.open(str(folder)))
    assert error.value.path.endswith(str(path))


@pytest.mark.parametrize("kind", ["truncated", "other"])
def test_a_damaged_block_of_the_input_is_named(kind: str, source: str, tmp_path: Path) -> None:
    """A truncated block was a ValueError without a name, which was retried as if it might pass."""
    shutil.copytree(source.removeprefix("file://"), tmp_path / "affinities")
    path = damage(tmp_path / "affinities", "8_8_40/*", kind)
    with pytest.raises(DataError, match="is damaged") as error:
        run_local(parameters_of(str(tmp_path / "affinities"), tmp_path / "run"))
    assert str(path) in str(error.value)

"""A dataset brought up to date step by step: what is computed, what readers get, what a kill leaves."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_examples import SECTIONS, SHAPE, make_dataset, repair, write_sections
from dataset_examples import bring_up_to_date as step
from runs_on_disk import bytes_of, smooth_affinities

from seuron.datasets.change_detection import FIRST, detect_changes, same_as_last
from seuron.datasets.drafts import make_draft
from seuron.datasets.files import Dataset, read_dataset
from seuron.engine.execute import run_task
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.engine.setup import parse_run, prepare_run
from seuron.errors import ParameterErrors
from seuron.storage import Storage


@pytest.fixture(scope="module")
def voxels() -> np.ndarray[Any, Any]:
    """The affinities of all sections, those that come later included."""
    return smooth_affinities(SHAPE)


@pytest.fixture
def dataset(tmp_path: Path, voxels: np.ndarray[Any, Any]) -> Dataset:
    return make_dataset(tmp_path, voxels)


def changed_file(dataset: Dataset, old: str, new: str) -> Dataset:
    """The dataset after an edit of its file."""
    file = dataset.folder / f"{dataset.name}.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    return read_dataset(file)


def folder(dataset: Dataset, number: int) -> Path:
    return Path(dataset.published.folder(number).removeprefix("file://"))


def full_run(dataset: Dataset, output: Path) -> dict[str, str]:
    """The bytes of the layers of a run from nothing, with a store of its own."""
    values = {**dataset.values(str(output)), "store": None}
    run_local(parse_run(dataset.pipeline, values))
    return bytes_of(output)


def outcomes(dataset: Dataset, number: int, before: int) -> Counter[str]:
    """What the tasks of a version did: those whose records are the version's before it did nothing."""
    old = {record.task_id: record for record in Run.open(dataset.published.folder(before)).records()}
    records = Run.open(dataset.published.folder(number)).records()
    return Counter("kept" if old.get(r.task_id) == r else r.outcome for r in records)


def test_new_sections_are_computed_and_nothing_else(
    dataset: Dataset, voxels: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    """Sections that come later make a version of a full run's bytes, of which tasks away from them did nothing.

    The version before stays as it was, and without another change nothing is made.
    """
    first = step(dataset)
    assert (first.number, first.base, first.reasons) == (1, None, (FIRST,))
    before = bytes_of(folder(dataset, 1))
    assert not step(dataset).changed
    write_sections(tmp_path / "input", voxels, SECTIONS, SHAPE[2])
    found = step(dataset)
    assert (found.number, found.base) == (2, 1)
    assert any("grown" in reason for reason in found.reasons)
    assert not step(dataset).changed
    assert bytes_of(folder(dataset, 1)) == before
    assert bytes_of(folder(dataset, 2)) == full_run(dataset, tmp_path / "whole")
    did = outcomes(dataset, 2, before=1)
    assert did["kept"] + did["unchanged"] > 0
    assert did["computed"] < did.total()
    assert Path(tmp_path / "published" / "current").resolve() == folder(dataset, 2)


def test_a_new_threshold_runs_no_watershed(dataset: Dataset, tmp_path: Path) -> None:
    """A parameter in the file is a change like another: what depends on it is computed, in the new folder."""
    step(dataset)
    dataset = changed_file(dataset, "threshold = 0.3", "threshold = 0.5")
    found = step(dataset)
    assert found.reasons
    assert "agglomeration_threshold was 0.3, now 0.5" in found.reasons
    run = Run.open(dataset.published.folder(2))
    old = {record.task_id: record for record in Run.open(dataset.published.folder(1)).records()}
    assert all(old[r.task_id] == r for r in run.records() if r.stage == "watershed")
    assert bytes_of(folder(dataset, 2)) == full_run(dataset, tmp_path / "whole")


def test_another_volume_begins_afresh(dataset: Dataset, tmp_path: Path) -> None:
    """What cannot go on in a copy of the last version gets an empty folder, and is a full run."""
    step(dataset)
    dataset = changed_file(dataset, "block_size = [16, 16, 16]", "block_size = [32, 16, 16]")
    found = step(dataset)
    assert found.base is None
    assert any("block_size" in reason for reason in found.reasons)
    assert bytes_of(folder(dataset, 2)) == full_run(dataset, tmp_path / "whole")


def test_old_versions_go_and_their_tables_too(dataset: Dataset, tmp_path: Path) -> None:
    """Of three versions two are kept, and the store holds what those two refer to."""
    for value in (1, 2, 3):
        step(dataset)
        repair(tmp_path / "input", value)
    assert [version.number for version in dataset.published.versions()] == [2, 3]
    runs = [Run.open(dataset.published.folder(number)) for number in (2, 3)]
    needed = {record.object for run in runs for record in run.records() if record.object}
    assert set(runs[0].store.objects()) == needed


def test_a_rollback_stands_until_something_changes(dataset: Dataset, tmp_path: Path) -> None:
    """A look compares with the newest version, not with the one that readers were sent back to."""
    step(dataset)
    repair(tmp_path / "input")
    step(dataset)
    dataset.published.rollback()
    assert not step(dataset).changed
    current = dataset.published.current()
    assert current is not None
    assert current.number == 1
    repair(tmp_path / "input", 200)
    assert step(dataset).number == 3
    assert dataset.published.current() == dataset.published.newest()


class Killed(BaseException):
    """Ends a process: no code catches it."""


@pytest.mark.parametrize("after", [0, 9, 40])
def test_killed_while_the_draft_is_copied(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """A copy that was killed after any number of files is finished by the next try, with the same bytes."""
    import seuron.storage.files

    step(dataset)
    repair(tmp_path / "input")
    before, link, left = bytes_of(folder(dataset, 1)), seuron.storage.files._link_or_copy, after

    def dying(source: Path, target: Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        link(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(seuron.storage.files, "_link_or_copy", dying)
        with pytest.raises(Killed):
            make_draft(dataset.published, 2, 1)
    assert Storage(dataset.published.folder(2)).get("run.json") is None
    assert step(dataset).number == 2
    assert bytes_of(folder(dataset, 1)) == before
    assert bytes_of(folder(dataset, 2)) == full_run(dataset, tmp_path / "whole")


def test_killed_in_the_run_and_the_input_changes_again(dataset: Dataset, tmp_path: Path) -> None:
    """A run that ended half-way resumes in its folder, with the input as it is by then."""
    step(dataset)
    repair(tmp_path / "input")
    run = prepare_run(dataset.params(make_draft(dataset.published, 2, 1)))
    for task in run.plan.tasks[:5]:
        run_task(run, task.id)
    assert dataset.published.current_folder().endswith("0001")
    repair(tmp_path / "input", 99)
    assert step(dataset).number == 2
    assert bytes_of(folder(dataset, 2)) == full_run(dataset, tmp_path / "whole")


def test_a_file_that_does_not_fit_its_volume(dataset: Dataset) -> None:
    """A resolution that the volume does not have, and parameters that cannot be, are reported together."""
    wrong = changed_file(dataset, "[8, 8, 40]", "[8, 8, 30]")
    wrong = changed_file(wrong, "watershed_dust = 3", 'watershed_dust = 3\nground_truth = "nothing"')
    with pytest.raises(ParameterErrors) as caught:
        detect_changes(wrong)
    assert len(caught.value.problems) == 2
    assert "`resolution`: the file says [8.0, 8.0, 30.0] nm, the volume [8.0, 8.0, 40.0] nm" in str(caught.value)


def test_an_input_that_is_being_written_is_left_alone(dataset: Dataset, tmp_path: Path) -> None:
    """The same look twice in a row settles it; a change in between begins again."""
    assert not same_as_last(dataset.published, detect_changes(dataset))
    repair(tmp_path / "input")
    assert not same_as_last(dataset.published, detect_changes(dataset))
    assert same_as_last(dataset.published, detect_changes(dataset))

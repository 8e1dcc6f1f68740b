"""The notice of a dataset, and its recipients: those that its file names, as the notifications' file knows them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from dataset_examples import SHAPE, make_dataset
from runs_on_disk import smooth_affinities

from seuron.datasets.checks import problems_of
from seuron.datasets.files import Dataset, read_dataset
from seuron.datasets.version_notice import NODES, version_notice
from seuron.notifications.dispatch import notify
from seuron.notifications.settings import FILE_VARIABLE, read_notifications

RECIPIENTS = (
    '[[notify]]\nhow = "log"\nname = "lab"\n\n[[notify]]\nhow = "log"\n\n[[notify]]\nhow = "log"\nname = "other"\n'
)


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A dataset that notifies `lab`, and a notifications' file with that name, another, and one without a name."""
    made = make_dataset(tmp_path, smooth_affinities(SHAPE))
    file = made.folder / f"{made.name}.toml"
    file.write_text('notify = ["lab"]\n' + file.read_text())
    known = tmp_path / "notifications.toml"
    known.write_text(RECIPIENTS)
    monkeypatch.setenv(FILE_VARIABLE, str(known))
    return read_dataset(file)


def test_a_version_is_notified_to_the_recipients_of_the_file(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One of three is notified: neither another name nor one whose patterns would fit anything."""
    notice = version_notice(dataset, dict.fromkeys(NODES, "success"), 3, ["new sections"], "", "scheduled__1")
    assert (notice.event, notice.to) == ("succeeded", ("lab",))
    assert "version 3 is published" in notice.text
    with caplog.at_level(logging.INFO):
        assert notify(notice, read_notifications(), tmp_path / "sent") == 1


def test_a_failure_is_reported_with_its_cause_and_what_readers_see(dataset: Dataset) -> None:
    """The first node that failed, why, and that readers keep the version before, if nothing was published."""
    states = {"detect": "success", "draft": "success", "run": "success", "wait": "failed", "publish": "upstream_failed"}
    notice = version_notice(
        dataset, states, 4, ["block 3 was replaced"], "the run x has failed\nsee its log", "scheduled__2"
    )
    assert notice.event == "failed"
    assert [cause.task for cause in notice.causes] == ["version 4: the run"]
    assert "readers see the version before" in notice.next
    published = version_notice(dataset, {"publish": "success", "prune": "failed"}, 4, [], "disk", "scheduled__3")
    assert "readers" not in published.next


def test_a_name_that_nobody_has_is_a_problem_of_the_file(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipients are checked before anything is sent."""
    assert problems_of(dataset) == []
    monkeypatch.delenv(FILE_VARIABLE)
    (problem,) = problems_of(dataset)
    assert "'lab'" in problem
    assert FILE_VARIABLE in problem

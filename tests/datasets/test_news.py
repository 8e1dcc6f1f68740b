"""What is told of a dataset, and whom: those that its file names, as the notifications' file knows them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from dataset_examples import SHAPE, make_dataset
from runs_on_disk import smooth_affinities

from seuron.datasets.checks import problems_of
from seuron.datasets.files import Dataset, read_dataset
from seuron.datasets.news import NODES, news_of
from seuron.notifications.settings import FILE_VARIABLE, read_notifications
from seuron.notifications.telling import tell

RECIPIENTS = (
    '[[notify]]\nhow = "log"\nname = "lab"\n\n[[notify]]\nhow = "log"\n\n[[notify]]\nhow = "log"\nname = "other"\n'
)


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A dataset that tells `lab`, and a notifications' file with that name, another, and one without a name."""
    made = make_dataset(tmp_path, smooth_affinities(SHAPE))
    file = made.folder / f"{made.name}.toml"
    file.write_text('tell = ["lab"]\n' + file.read_text())
    known = tmp_path / "notifications.toml"
    known.write_text(RECIPIENTS)
    monkeypatch.setenv(FILE_VARIABLE, str(known))
    return read_dataset(file)


def test_a_version_is_told_to_those_whom_the_file_names(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One of three is told: neither another name nor one whose patterns would fit anything."""
    news = news_of(dataset, dict.fromkeys(NODES, "success"), 3, ["new sections"], "", "scheduled__1")
    assert (news.event, news.to) == ("succeeded", ("lab",))
    assert "version 3 is published" in news.text
    with caplog.at_level(logging.INFO):
        assert tell(news, read_notifications(), tmp_path / "told") == 1


def test_a_failure_is_told_with_its_cause_and_what_readers_see(dataset: Dataset) -> None:
    """The first node that failed, why, and that readers keep the version before, if nothing was published."""
    states = {"look": "success", "draft": "success", "run": "success", "wait": "failed", "publish": "upstream_failed"}
    news = news_of(dataset, states, 4, ["block 3 was replaced"], "the run x has failed\nsee its log", "scheduled__2")
    assert news.event == "failed"
    assert [cause.task for cause in news.causes] == ["version 4: the run"]
    assert "readers see the version before" in news.next
    published = news_of(dataset, {"publish": "success", "forget": "failed"}, 4, [], "disk", "scheduled__3")
    assert "readers" not in published.next


def test_a_name_that_nobody_has_is_a_problem_of_the_file(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is to be told is checked before anything is to be told."""
    assert problems_of(dataset) == []
    monkeypatch.delenv(FILE_VARIABLE)
    (problem,) = problems_of(dataset)
    assert "'lab'" in problem
    assert FILE_VARIABLE in problem

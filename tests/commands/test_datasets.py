"""Commands for datasets, as far as they need no Airflow; tests/integration has the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dataset_examples import FILE, SHAPE, bring_up_to_date, make_dataset, repair
from runs_on_disk import smooth_affinities

import seuron
from seuron.commands import BAD_PARAMETERS, NOT_FOUND, Answer, Session, execute
from seuron.datasets.files import Dataset


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A dataset of this machine's deployment, which does not run."""
    monkeypatch.setenv("SEURON_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SEURON_DATASETS", str(tmp_path))
    monkeypatch.delenv("SEURON_URL", raising=False)
    return make_dataset(tmp_path, smooth_affinities(SHAPE))


def said(*words: str) -> Answer:
    """What is answered to words."""
    return execute(Session(seuron.connect(), who="ada"), words)


def data_of(*words: str) -> Any:
    answer = said(*words)
    assert not answer.failed, answer.text
    return answer.data


def test_from_a_file_to_a_rollback(dataset: Dataset, tmp_path: Path) -> None:
    """The commands say of a dataset what its file, its versions and its input are."""
    assert data_of("datasets", "list")["datasets"][0]["version"] is None
    assert "no version yet" in said("datasets", "versions", "tissue").text
    assert "would make version 1" in said("check", "dataset", "tissue").text
    bring_up_to_date(dataset)
    assert "nothing has changed" in said("datasets", "check", "tissue").text
    assert data_of("datasets", "check") == {"problems": []}
    repair(tmp_path / "input")
    assert "1 blocks of affinities have changed" in said("datasets", "check", "tissue").text
    bring_up_to_date(dataset)
    rows = data_of("datasets", "versions", "tissue")["versions"]
    assert [(row["number"], row["current"]) for row in rows] == [(1, False), (2, True)]
    assert data_of("datasets", "rollback", "tissue")["version"] == 1
    assert "* 1" in said("datasets", "versions", "tissue").text
    assert data_of("rollback", "tissue", "2")["version"] == 2
    shown = said("datasets", "show", "tissue")
    assert shown.data["version"] == 2
    assert "schedule: by hand" in shown.text


def test_what_is_wrong_is_said(dataset: Dataset, tmp_path: Path) -> None:
    """Unknown names get did-you-mean, wrong files all their problems, and others are listed all the same."""
    answer = said("datasets", "show", "tisue")
    assert (answer.code, answer.text) == (NOT_FOUND, "no dataset is called 'tisue'; did you mean 'tissue'?")
    assert said("datasets", "rollback", "tissue").code == NOT_FOUND
    (tmp_path / "other.toml").write_text(FILE.replace("keep = 1", "kep = 1"))
    answer = said("datasets", "versions", "other")
    assert answer.code == BAD_PARAMETERS
    assert "did you mean `keep`?" in answer.text
    listed = said("datasets")
    assert [row["name"] for row in listed.data["datasets"]] == ["tissue"]
    assert "did you mean `keep`?" in listed.text
    assert said("datasets", "check").code == BAD_PARAMETERS
    assert said("datasets", "pause", "tissue").code == NOT_FOUND, "no deployment runs"


def test_another_deployments_datasets_are_those_of_the_folder_that_is_named(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, whose deployment has an address; without the folder nothing here is taken for it."""
    monkeypatch.setenv("SEURON_URL", "http://127.0.0.1:1")
    assert "no version yet" in said("datasets", "versions", "tissue").text
    monkeypatch.delenv("SEURON_DATASETS")
    refused = said("datasets", "versions", "tissue")
    assert refused.code == NOT_FOUND
    assert "name the folder of these files in SEURON_DATASETS" in refused.text


def test_rights(dataset: Dataset) -> None:
    """Who may only look cannot change what readers see."""
    session = Session(seuron.connect(), who="ada", permissions=frozenset({"look"}))
    assert "takes the right to 'run'" in execute(session, ["datasets", "rollback", "tissue"]).text
    assert not execute(session, ["datasets", "list"]).failed

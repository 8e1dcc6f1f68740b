"""Datasets' files: what is taken, and that all problems are reported at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.datasets.files import read_dataset, read_datasets
from seuron.errors import NotFoundError, ParameterErrors
from seuron.pipelines.segmentation.params import SegmentationParams

ROOT = Path(__file__).parents[2]
TEXT = """
name = "{name}"
image = "image"
resolution = [8, 8, 40]
publish = "{publish}"
"""


def write(folder: Path, name: str, more: str = "", publish: str = "") -> Path:
    file = folder / f"{name}.toml"
    file.write_text(TEXT.format(name=name, publish=publish or f"published/{name}") + more)
    return file


def problems(file: Path) -> list[str]:
    with pytest.raises(ParameterErrors) as caught:
        read_dataset(file)
    return list(caught.value.problems)


def test_the_example_is_right(tmp_path: Path) -> None:
    """The documented example reads, with the preset's values below its own."""
    file = tmp_path / "cortex.toml"
    file.write_text((ROOT / "docs" / "dataset.example.toml").read_text())
    dataset = read_dataset(file)
    params = dataset.params("/run")
    assert isinstance(params, SegmentationParams)
    assert (params.agglomeration_threshold, params.model) == (0.3, "boundary-fib25")
    assert params.store == "gs://lab/cortex/published/store"
    assert dataset.schedule.text == "cron 0 3 * * * (Europe/Zurich)"


def test_relative_paths_begin_at_the_file(tmp_path: Path) -> None:
    """Paths of the file and of its parameters are the same wherever it is read from; others stay as they are."""
    dataset = read_dataset(write(tmp_path, "a", '[parameters]\nground_truth = "../truth"\n', publish="gs://b/c"))
    values = dataset.values("/run")
    assert values["image"] == f"file://{tmp_path}/image"
    assert values["ground_truth"] == f"file://{tmp_path.parent}/truth"
    assert values["store"] == "gs://b/c/store"


def test_everything_wrong_is_reported_at_once(tmp_path: Path) -> None:
    """Wrong names at each level are reported with the nearest known one, and wrong values with their place."""
    file = tmp_path / "a.toml"
    file.write_text(
        """
name = "b"
imge = "x"
affinities = "y"
resolution = [8, 8, -1]
publish = "z"
keep = 0
preset = "isotropic-10mn"

[parameters]
agglomeration_treshold = 0.2
output = "/somewhere"
mip = -1

[schedule]
crn = "0 3 * * *"
cron = "every day"
"""
    )
    text = "\n".join(problems(file))
    for words in (
        "`imge` is not a parameter; did you mean `image`?",
        "`resolution`",
        "`keep`: got 0",
        "make them the same",
        "did you mean isotropic-10nm?",
        "`parameters.agglomeration_treshold` is not a parameter; did you mean `agglomeration_threshold`?",
        "`parameters.output`: give `publish`",
        "`parameters.mip`: got -1",
        "`schedule.crn` is not a parameter; did you mean `cron`?",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ('cron = "61 3 * * *"', "is not five fields of cron"),
        ('cron = "@daily"', "is not five fields of cron"),
        ('timezone = "Europe/Zurch"', "'Europe/Zurch' is not known"),
        ('cron = "0 3 * * *"\nasset = "x"', "give one of `cron`, `asset`, got 2"),
        ("watch_minutes = 0", "`schedule.watch_minutes`: got 0"),
    ],
)
def test_wrong_schedules_are_refused(tmp_path: Path, schedule: str, words: str) -> None:
    """A schedule that never comes, or is two at once, is an error of the file."""
    (problem,) = problems(write(tmp_path, "a", f"[schedule]\n{schedule}\n"))
    assert words in problem


@given(st.text(max_size=60))
def test_no_file_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever a file holds, reading it gives a dataset or ParameterErrors: the other datasets keep their DAGs."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "wrong.toml").write_text(text)
    write(folder, "right")
    registered = read_datasets(folder)
    assert list(registered.datasets) == ["right"]
    assert list(registered.wrong) == ["wrong"]


def test_files_beside_each_other(tmp_path: Path) -> None:
    """Two that publish to one place, circles, and followers of nobody are reported; others are as they were."""
    write(tmp_path, "alone")
    write(tmp_path, "twin", publish="published/alone")
    write(tmp_path, "one", '[schedule]\nafter = "two"\n')
    write(tmp_path, "two", '[schedule]\nafter = "one"\n')
    write(tmp_path, "lost", '[schedule]\nafter = "alon"\n')
    registered = read_datasets(tmp_path)
    assert list(registered.datasets) == ["alone"]
    assert "is that of the dataset alone" in str(registered.wrong["twin"])
    assert "one after two after one goes round in a circle" in str(registered.wrong["one"])
    assert "did you mean 'alone'?" in str(registered.wrong["lost"])
    with pytest.raises(NotFoundError, match="did you mean 'alone'"):
        registered.named("alnoe")
    with pytest.raises(ParameterErrors, match="circle"):
        registered.named("two")

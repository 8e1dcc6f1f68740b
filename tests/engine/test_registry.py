"""Which pipelines there are: the built-in ones, and those that the owner of a deployment adds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from seuron.engine.registry import (
    BUILT_IN,
    VARIABLE,
    pipeline_entries,
    pipeline_modules,
    pipeline_named,
    pipeline_names,
    pipeline_of,
    pipelines,
)
from seuron.errors import NotFoundError, ParameterErrors
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.params import SegmentationParams

_MODULE = """
from seuron.pipelines.segmentation import PIPELINE as SEGMENTATION
from dataclasses import replace

PIPELINE = replace(SEGMENTATION, name="other", help="another one", aliases=("do it otherwise",))
"""


def test_the_built_in_pipeline_is_known_by_name_and_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable there are the built-in ones, however they are asked for."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert pipeline_names() == ("segmentation", "inference", "products")
    assert pipelines()[0] is PIPELINE
    assert pipeline_named("segmentation") is PIPELINE
    assert pipeline_of(SegmentationParams(output="o", affinities="a")) is PIPELINE


@pytest.mark.parametrize("words", ["toy=toy_pipeline", " ,toy=toy_pipeline, "])
def test_others_are_added_by_the_variable(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Words between spaces or commas; the module is the pipeline's."""
    monkeypatch.setenv(VARIABLE, words)
    assert pipeline_names() == ("segmentation", "inference", "products", "toy")
    toy = pipeline_named("toy")
    assert toy.name == "toy"
    assert pipeline_of(toy.params(output="o", image="i")) is toy


def test_an_unknown_name_gets_a_suggestion_or_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is near is named; otherwise all that there are."""
    monkeypatch.setenv(VARIABLE, "toy=toy_pipeline")
    with pytest.raises(NotFoundError, match="no pipeline is called 'segmentatoin'; did you mean segmentation"):
        pipeline_named("segmentatoin")
    there = "segmentation, inference, products, toy"
    with pytest.raises(NotFoundError, match=f"no pipeline is called 'xyz'; there are {there}"):
        pipeline_named("xyz")


def test_all_wrong_words_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word without a name, without a module or without a sign between them is none."""
    monkeypatch.setenv(VARIABLE, "toy=toy_pipeline toy =toy_pipeline other=")
    with pytest.raises(ParameterErrors) as error:
        pipeline_modules()
    assert error.value.problems == tuple(f"{word!r} is not name=module" for word in ("toy", "=toy_pipeline", "other="))
    assert f"${VARIABLE}" in str(error.value)


@pytest.mark.parametrize(("module", "words"), [("no_such_module", "No module named"), ("own_module", "PIPELINE")])
def test_a_module_without_a_pipeline_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str, words: str
) -> None:
    """One that is not there, and one that has no PIPELINE."""
    (tmp_path / "own_module.py").write_text("pipeline = None\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(VARIABLE, f"own={module}")
    with pytest.raises(NotFoundError, match=f"'own' cannot be loaded from the module '{module}'.*{words}") as error:
        pipeline_named("own")
    assert f"Correct ${VARIABLE}" in str(error.value)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_an_entry_says_what_its_pipeline_does(name: str) -> None:
    """Help and the bot's phrases come from the entry, the form and the DAG from the pipeline: they agree."""
    entry, pipeline = BUILT_IN[name], pipeline_named(name)
    assert (entry.name, entry.help, entry.aliases) == (pipeline.name, pipeline.help, pipeline.aliases)
    assert name == entry.name


def test_entries_of_built_in_pipelines_load_no_pipeline() -> None:
    """Else `seuron --help` would pay for the models of every pipeline."""
    program = (
        "import sys; from seuron.engine.registry import pipeline_entries; pipeline_entries(); "
        "print([name for name in sys.modules if name.startswith('seuron.pipelines') or name == 'pydantic'])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_pipeline_of_the_variable_is_loaded_for_its_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner's pipeline stands beside the built-in ones, and may take the place of one."""
    (tmp_path / "their_pipeline.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(VARIABLE, "other=their_pipeline")
    found = {entry.name: entry for entry in pipeline_entries()}
    assert set(found) == {*BUILT_IN, "other"}
    assert (found["other"].help, found["other"].aliases) == ("another one", ("do it otherwise",))
    monkeypatch.setenv(VARIABLE, "segmentation=their_pipeline")
    assert ("segmentation", "another one") in [(entry.name, entry.help) for entry in pipeline_entries()]


def test_a_pipeline_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner learns which word of the variable is wrong."""
    monkeypatch.setenv(VARIABLE, "other=no_such_module")
    with pytest.raises(NotFoundError, match="'other' cannot be loaded from the module 'no_such_module'"):
        pipeline_entries()

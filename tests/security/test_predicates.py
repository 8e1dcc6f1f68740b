"""Rules that name code: only modules that the deployment's owner lists are imported, and only for a run's own work."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from runs_on_disk import parameters, save, smooth_affinities
from strategies import WITHOUT_JIT

import abiss_py
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.engine.setup import check_run
from seuron.errors import ParameterErrors
from seuron.params import parse_parameters
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.predicates import with_predicates

pytestmark = pytest.mark.skipif(WITHOUT_JIT, reason="predicates need compiled kernels")

#: A module that leaves a file when it is imported, with functions and things that are none.
MODULE = """
from pathlib import Path
from os import system
from shutil import rmtree
Path(__file__).with_suffix(".imported").touch()
def never(total, count, a, b):
    return False
def without_types(total, count, a, b):
    return open("x").read()
class Always:
    pass
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the import of the module `own_rules` leaves."""
    (tmp_path / "own_rules.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_rules", raising=False)
    return tmp_path / "own_rules.imported"


@pytest.fixture
def source(tmp_path: Path) -> str:
    return save(tmp_path / "affinities", smooth_affinities((16, 16, 16)))


def rules(predicate: str) -> str:
    return json.dumps([{"rule": "custom", "name": "mine", "predicate": predicate}])


def problems(source: str, folder: Path, predicate: str) -> list[str]:
    return check_run(parameters(source, folder / "out", constraints=rules(predicate)))[1]


def test_parameters_that_are_parsed_import_nothing(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against code that runs because somebody shows or checks parameters: parsing imports no module."""
    monkeypatch.setenv("SEURON_PREDICATES", "own_rules")
    values = {"affinities": "/x", "output": "/y", "constraints": rules("own_rules:never")}
    params = parse_parameters(SegmentationParams, values)
    assert params.rules
    assert params.rule_columns
    assert not module.exists()


def test_a_module_that_is_not_listed_is_never_imported(
    module: Path, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against parameters that have any module on the machine imported."""
    monkeypatch.setenv("SEURON_PREDICATES", "other_rules, more.rules")
    (found,) = problems(source, tmp_path, "own_rules:never")
    assert "'mine'" in found
    assert "may be imported are more.rules, other_rules" in found
    assert "$SEURON_PREDICATES" in found
    assert not module.exists()
    with pytest.raises(ParameterErrors, match="may be imported are"):
        run_local(parameters(source, tmp_path / "out", constraints=rules("own_rules:never")))
    assert not module.exists()


def test_a_run_that_is_opened_imports_nothing(
    module: Path, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against a folder whose run.json makes whoever opens it import a module; the listed one works in a run."""
    monkeypatch.setenv("SEURON_PREDICATES", "own_rules")
    run = run_local(parameters(source, tmp_path / "out", constraints=rules("own_rules:never")))
    assert module.exists()
    assert run.records()
    module.unlink()
    del sys.modules["own_rules"]
    opened = Run.open(run.output)
    assert opened.params.rules
    assert len(opened.records()) == len(run.records())
    assert not module.exists()
    monkeypatch.delenv("SEURON_PREDICATES")
    assert Run.open(run.output).key == run.key


@pytest.mark.parametrize(
    ("predicate", "said"),
    [
        ("own_rules:Always", "no class, method or built-in function"),
        ("own_rules:system", "no class, method or built-in function"),
        ("own_rules:rmtree", "a function of the module 'shutil'"),
        ("own_rules:missing", "cannot be imported (AttributeError"),
        ("own_rules:without_types", "numba cannot compile without_types"),
    ],
)
def test_what_is_no_plain_function_is_refused(
    module: Path, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predicate: str, said: str
) -> None:
    """Guards against classes, built-ins and functions of other modules that a listed module happens to hold."""
    monkeypatch.setenv("SEURON_PREDICATES", "own_rules")
    (found,) = problems(source, tmp_path, predicate)
    assert found.startswith("`constraints`: the custom rule 'mine': ")
    assert said in found


@pytest.mark.parametrize("line", ["raise RuntimeError('out of order')", "raise SystemExit(3)", "1 / 0", "def ("])
def test_a_module_that_fails_is_one_message(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """Guards against an import that ends the process, or an error that does not name the rule."""
    (tmp_path / "broken_rules.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SEURON_PREDICATES", "broken_rules")
    (found,) = problems(source, tmp_path, "broken_rules:never")
    assert "the custom rule 'mine'" in found
    assert "cannot be imported" in found


@pytest.mark.parametrize("name", ["own_rules", ":f", "a b:f", "../x:f", "m:f.g", "m:f()", "m:", "m:f:g", ""])
def test_a_name_that_is_no_function_of_a_module_is_refused(name: str) -> None:
    """Guards against names that importlib would read as something else, such as relative ones."""
    with pytest.raises(ParameterErrors, match="module:function"):
        parse_parameters(SegmentationParams, {"affinities": "/x", "output": "/y", "constraints": rules(name)})


def test_a_deep_list_is_an_error_of_the_parameters() -> None:
    """Guards against a nesting that ends the parser with a traceback."""
    with pytest.raises(ParameterErrors, match="nested more than"):
        parse_parameters(SegmentationParams, {"affinities": "/x", "output": "/y", "constraints": "[" * 100_000})


def test_functions_given_in_python_need_no_list() -> None:
    """The list is about names in data: who has a function in hand has code already; classes are refused there too."""
    rule = abiss_py.CustomRule(name="mine", predicate=lambda total, count, a, b: False)
    assert with_predicates([rule]) == (rule,)
    with pytest.raises(abiss_py.ArgumentError, match=r"'mine'.*no class"):
        abiss_py.CustomRule(name="mine", predicate=dict)

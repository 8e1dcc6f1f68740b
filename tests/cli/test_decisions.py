"""`seuron sweep` and `seuron explain`: what they print, what they write, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_runs import blobs, make_run, smooth, store
from typer.testing import CliRunner, Result

from seuron.cli import app
from seuron.commands.argument_types import id_or_voxel, parse_thresholds
from seuron.engine.run import Run
from seuron.errors import ParameterErrors
from seuron.pipelines.segmentation.analysis import explain_run, region_graph, sweep_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, shape = tmp_path_factory.mktemp("cli"), (32, 32, 24)
    truth = store(folder / "truth", blobs(shape, 1))
    return make_run(folder / "run", store(folder / "affinities", smooth(shape, 2)), truth)


def call(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1:0.9:0.2", (0.1, 0.3, 0.5, 0.7, 0.9)),
        ("0.1:0.3:0.05", (0.1, 0.15, 0.2, 0.25, 0.3)),
        ("0:1:0.4", (0.0, 0.4, 0.8)),
        ("0.5:0.5:0.1", (0.5,)),
        ("0.3", (0.3,)),
        ("0.3, 0.25,1", (0.3, 0.25, 1.0)),
    ],
)
def test_thresholds_are_the_numbers_one_would_write(text: str, expected: tuple[float, ...]) -> None:
    """0.15, not 0.15000000000000002: the latter is another threshold."""
    assert parse_thresholds(text, "thresholds") == expected


@pytest.mark.parametrize(
    "text", ["", "a", "0.1:0.9", "0.9:0.1:0.1", "0.1:0.9:0", "0.1:0.9:-1", "0.1:x:0.1", "1,,2", "0:1:1e-9"]
)
def test_other_words_for_thresholds_are_refused(text: str) -> None:
    """What was given, and what is wanted."""
    with pytest.raises(ParameterErrors, match=r"`thresholds`: got .*; give first:last:step"):
        parse_thresholds(text, "thresholds")


def test_pieces_are_ids_or_voxels() -> None:
    """Anything else is refused by name."""
    assert (id_or_voxel("17", "A"), id_or_voxel("1,-2,3", "B")) == (17, (1, -2, 3))
    for wrong in ("", "x", "1,2", "1,2,3,4", "1.5"):
        with pytest.raises(ParameterErrors, match="`B`: got"):
            id_or_voxel(wrong, "B")


def test_a_sweep_prints_a_line_for_each_threshold_and_marks_the_best(run: Run) -> None:
    """The run's own threshold is among them; the files lie in OUTPUT/sweep."""
    result = call("sweep", run.output, "--thresholds", "0.2:0.8:0.2", "--small", "100")
    lines = result.stdout.splitlines()
    assert lines[0].split()[:2] == ["threshold", "segments"]
    assert [float(line.split()[0]) for line in lines[1:5]] == [0.2, 0.4, 0.6, 0.8]
    assert "this run" in lines[2]
    found = sweep_run(run, [0.2, 0.4, 0.6, 0.8], small=100)
    for score, words in (("voi", "best VOI"), ("adapted_rand_error", "best Rand")):
        marked = [float(line.split()[0]) for line in lines[1:5] if words in line]
        assert marked == [found.best[score].threshold]
    assert lines[-1] == f"plot and table: {run.output}/sweep/sweep.html"
    folder = Path(run.output.removeprefix("file://")) / "sweep"
    assert sorted(path.name for path in folder.iterdir()) == ["sweep.html", "sweep.json", "sweep.parquet", "sweep.svg"]


def test_a_sweep_as_json_is_what_is_written(run: Run) -> None:
    """For scripts: points with all figures, the best ones by name."""
    result = call("sweep", run.output, "--thresholds", "0.3,0.7", "--json")
    printed = json.loads(result.stdout)
    written = Path(run.output.removeprefix("file://")) / "sweep" / "sweep.json"
    assert printed == json.loads(written.read_text())
    assert [point["threshold"] for point in printed["points"]] == [0.3, 0.4, 0.7]
    assert set(printed["best"]) == {"voi", "adapted_rand_error"}
    assert {"voi_split", "voi_merge", "segments", "n50"} <= set(printed["points"][0])


def test_rules_are_swept_beside_each_other(run: Run, tmp_path: Path) -> None:
    """A line for each pair of rules and threshold; a file goes by its name; the run's own are those it has: none."""
    rules = [{"rule": "size", "name": "dumbbell", "smaller_over": 20, "sum_over": 100}]
    (tmp_path / "my_rules.json").write_text(json.dumps(rules))
    words = ("--thresholds", "0.2,0.4", "--rules", "none", "--rules", str(tmp_path / "my_rules.json"))
    lines = call("sweep", run.output, *words).stdout.splitlines()
    assert lines[0].split()[:3] == ["rules", "threshold", "segments"]
    rows = [line.split() for line in lines[1:5]]
    expected = [["none", "0.2"], ["none", "0.4"], ["my_rules", "0.2"], ["my_rules", "0.4"]]
    assert [row[:2] for row in rows] == expected
    assert [row[2] for row in rows[:2]] != [row[2] for row in rows[2:]]
    assert ["this run" in line for line in lines[1:5]] == [False, True, False, False]
    printed = json.loads(call("sweep", run.output, *words, "--json").stdout)
    assert [[point["variant"], str(point["threshold"])] for point in printed["points"]] == expected
    refused = CliRunner().invoke(app, ["sweep", run.output, "--rules", "macrina2021", "--rules", "none"])
    assert isinstance(refused.exception, ParameterErrors)
    assert "this run counted none" in str(refused.exception)


def test_without_ground_truth_no_score_is_printed(run: Run, tmp_path: Path) -> None:
    """Sizes only, unless ground truth is given on the spot."""
    bare = make_run(tmp_path, str(run.params.affinities), None)
    printed = call("sweep", bare.output, "--thresholds", "0.3").stdout
    assert "VOI" not in printed
    scored = call("sweep", bare.output, "--thresholds", "0.3", "--truth", str(run.params.ground_truth)).stdout
    assert scored.splitlines()[:3] == call("sweep", run.output, "--thresholds", "0.3").stdout.splitlines()[:3]


def test_an_explanation_is_printed_in_sentences_or_as_json(run: Run) -> None:
    """The JSON is the library's answer, with the link that was asked for, or none."""
    graph = region_graph(run)
    a, b = str(graph.a[0]), str(graph.b[0])
    told = call("explain", run.output, a, b).stdout
    assert a in told.splitlines()[0]
    printed: dict[str, Any] = json.loads(call("explain", run.output, a, b, "--json").stdout)
    assert printed.pop("view") is None
    assert printed == json.loads(explain_run(run, int(a), int(b)).model_dump_json())


def test_the_viewer_opens_at_the_place_that_decides(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only when asked for, with both segments picked out; no link where there is no such place."""
    shown = []

    def view_run(shown_run: Run, folder: Any, focus: Any) -> str:
        shown.append(focus)
        return "http://viewer/here"

    monkeypatch.setattr("seuron.web.viewer.view_run", view_run)
    graph = region_graph(run)
    a, b = int(graph.a[0]), int(graph.b[0])
    call("explain", run.output, str(a), str(b))
    assert shown == []
    assert call("explain", run.output, str(a), str(b), "--view").stdout.splitlines()[-1] == "http://viewer/here"
    found = explain_run(run, a, b)
    assert found.focus is not None
    assert [(focus.voxel, focus.segments) for focus in shown] == [(found.focus.place.voxel, found.segments)]
    assert "http" not in call("explain", run.output, str(a), str(a), "--view").stdout

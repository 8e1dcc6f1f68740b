"""Runs with an edit list: the same bytes for every chunking, only the segments change, and wrong lists are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_runs import CORNER, blobs, make_run, smooth, store

from seuron.engine.run import Run
from seuron.errors import DataError, ParameterErrors
from seuron.evaluation import contingency, read_scores, scores
from seuron.pipelines.segmentation.proofreading.queue import places, proofreading_queue
from seuron.pipelines.segmentation.proofreading.queue_files import write_queue
from seuron.volumes import open_volume

SHAPE = (24, 24, 20)
Edit = Callable[[list[Any]], str]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("sources")
    return store(folder / "affinities", smooth(SHAPE, 2)), store(folder / "truth", blobs(SHAPE, 1))


@pytest.fixture(scope="module")
def plain(sources: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run without edits. Tests do not change it."""
    return make_run(tmp_path_factory.mktemp("plain"), *sources)


@pytest.fixture
def edit(tmp_path: Path) -> Edit:
    def write(edits: list[Any]) -> str:
        (tmp_path / "edits.json").write_text(json.dumps(edits))
        return str(tmp_path / "edits.json")

    return write


def layer(run: Run, name: str) -> NDArray[np.uint64]:
    volume = open_volume(run.layer(name))
    return volume.read(volume.box)[..., 0]


def largest(run: Run) -> tuple[int, int, NDArray[np.uint64]]:
    """The two largest segments, and the supervoxels of the first."""
    ids, counts = np.unique(layer(run, "segmentation"), return_counts=True)
    first, second = ids[1:][np.argsort(-counts[1:], kind="stable")][:2].tolist()
    return first, second, np.unique(layer(run, "supervoxels")[layer(run, "segmentation") == first])


def voxel_of(run: Run, supervoxel: int) -> list[int]:
    """The last voxel of a supervoxel, in the volume's coordinates."""
    found = np.argwhere(layer(run, "supervoxels") == supervoxel)[-1]
    return [int(v + c) for v, c in zip(found, CORNER, strict=True)]


def test_edits_hold_whatever_the_chunks(plain: Run, sources: tuple[str, str], edit: Edit, tmp_path: Path) -> None:
    """A merge and a split give the same segments in one chunk and in many, from ids and from voxels; others stay."""
    first, second, members = largest(plain)
    one, other = int(members[0]), int(members[-1])
    ids = [{"merge": [one, second]}, {"split": [[one], [other]]}]
    voxels = [{"merge": [voxel_of(plain, one), second]}, {"split": [[voxel_of(plain, one)], [voxel_of(plain, other)]]}]
    whole = make_run(tmp_path / "whole", *sources, edits=edit(ids))
    found, supervoxels, before = layer(whole, "segmentation"), layer(whole, "supervoxels"), layer(plain, "segmentation")
    cut = make_run(tmp_path / "cut", *sources, edits=edit(voxels), chunk_size=(12, 12, 12), batch_chunks=1)
    assert np.array_equal(found, layer(cut, "segmentation"))
    assert np.array_equal(supervoxels, layer(plain, "supervoxels"))

    name = {int(s): int(found[supervoxels == s][0]) for s in (one, other, second)}
    assert name[one] == name[second] != name[other]
    untouched = ~np.isin(before, [first, second])
    assert np.array_equal(found[untouched], before[untouched])
    assert all(found[found == s].size and supervoxels[found == s].min() == s for s in np.unique(found))
    truth = open_volume(sources[1])
    assert read_scores(whole.storage) == scores(contingency(found, truth.read(truth.box)[..., 0]))


def test_only_what_follows_the_edits_runs_again(sources: tuple[str, str], edit: Edit, tmp_path: Path) -> None:
    """No watershed, no agglomeration; without the list the run is what it was, and a new start does nothing."""
    plain = make_run(tmp_path / "run", *sources)
    before = layer(plain, "segmentation")
    times = {task.id: plain.record(task.id) for stage in plain.plan.stages for task in stage.tasks}
    path = edit([{"split": [[int(largest(plain)[2][0])], [int(largest(plain)[2][-1])]]}])
    edited = make_run(tmp_path / "run", *sources, edits=path)
    assert not np.array_equal(layer(edited, "segmentation"), before)
    same = {
        task.stage
        for stage in edited.plan.stages
        for task in stage.tasks
        if times.get(task.id) == edited.record(task.id)
    }
    assert {"watershed", "agglomeration"} <= same
    assert "labels" not in same
    again = make_run(tmp_path / "run", *sources)
    assert np.array_equal(layer(again, "segmentation"), before)


def test_a_filled_in_queue_is_carried_out(plain: Run, sources: tuple[str, str], tmp_path: Path) -> None:
    """The table that the queue writes, with verdicts filled in, is an edit list, and its rows are not asked again."""
    queue = proofreading_queue(plain, 40)
    path = Path(write_queue(plain, queue).removeprefix("file://"))
    head, *rows = path.read_text().splitlines()
    join = next(i for i, kind in enumerate(queue.kind) if kind == "join")
    left = next(i for i, kind in enumerate(queue.kind) if kind != "join")
    assert head.split(",")[:6] == ["rank", "verdict", "kind", "x", "y", "z"]
    for row, verdict in ((join, "apart"), (left, "join")):
        rank, _, rest = rows[row].split(",", 2)
        rows[row] = f"{rank},{verdict},{rest}"
    answered = tmp_path / "queue.csv"
    answered.write_text("\n".join([head, *rows]) + "\n")
    edited = make_run(tmp_path / "run", *sources, edits=str(answered))
    found, supervoxels = layer(edited, "segmentation"), layer(edited, "supervoxels")
    name = {int(s): int(found[supervoxels == s][0]) for s in np.unique(supervoxels)}
    assert name[int(queue.a[join])] != name[int(queue.b[join])]
    assert name[int(queue.a[left])] == name[int(queue.b[left])]
    after = proofreading_queue(edited, 10**6)
    asked = {frozenset(pair) for pair in zip(after.a.tolist(), after.b.tolist(), strict=True)}
    assert not asked & {frozenset((int(queue.a[row]), int(queue.b[row]))) for row in (join, left)}
    assert len(places(plain, queue)) == len(queue)


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ([{"merge": [10**9, 5]}], "the run has no supervoxel 1000000000"),
        ([{"merge": ["SAME", "OTHER"]}, {"split": [["SAME"], ["OTHER"]]}], "edit 2 sets apart supervoxels"),
        ([{"merge": ["BACKGROUND", "SAME"]}], "is in background"),
    ],
)
def test_what_the_supervoxels_contradict_is_named(
    plain: Run, sources: tuple[str, str], edit: Edit, tmp_path: Path, edits: list[Any], said: str
) -> None:
    """An id that no supervoxel has, a voxel of none, and edits that contradict each other fail for good."""
    supervoxels = layer(plain, "supervoxels")
    known = np.unique(supervoxels[supervoxels > 0])
    background = [int(v + c) for v, c in zip(np.argwhere(supervoxels == 0)[0], CORNER, strict=True)]
    words = {"SAME": int(known[0]), "OTHER": int(known[1]), "BACKGROUND": background}
    text = json.dumps(edits)
    for word, value in words.items():
        text = text.replace(f'"{word}"', json.dumps(value))
    with pytest.raises(DataError, match=said):
        make_run(tmp_path / "run", *sources, edits=edit(json.loads(text)))


def test_a_wrong_list_stops_a_run_before_it_starts(sources: tuple[str, str], edit: Edit, tmp_path: Path) -> None:
    """All problems at once, a voxel outside the box among them."""
    with pytest.raises(ParameterErrors, match="is outside the run's box"):
        make_run(tmp_path / "run", *sources, edits=edit([{"merge": [[0, 0, 0], 5]}]))
    assert not (tmp_path / "run" / "tasks").exists()

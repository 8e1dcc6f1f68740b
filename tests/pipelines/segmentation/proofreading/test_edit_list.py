"""The edit list as a file: what it may hold, and a sentence for each thing that is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seuron.box import Box
from seuron.errors import ParameterErrors
from seuron.pipelines.segmentation.proofreading.edit_list import (
    EditList,
    MergeEdit,
    SplitEdit,
    parse_edits,
    read_content,
)

BOX = Box.from_shape((10, 20, 30), (8, 8, 8))
HEAD = "rank,verdict,a,b\n"


def parse(edits: Any) -> EditList:
    return parse_edits(json.dumps(edits).encode(), "edits.json")


def problems(content: bytes, name: str = "edits.json") -> list[str]:
    with pytest.raises(ParameterErrors) as error:
        parse_edits(content, name)
    return list(error.value.problems)


def test_merges_and_splits_are_read() -> None:
    """Pieces are ids or voxels; each edit knows its place in the list."""
    found = parse([{"merge": [12, [40, 50, 6]]}, {"split": [[12], [88, [41, 50, 6]]]}])
    assert found.merges == (MergeEdit(12, (40, 50, 6), "edit 1"),)
    assert found.splits == (SplitEdit((12,), (88, (41, 50, 6)), "edit 2"),)


def test_a_filled_in_queue_is_an_edit_list() -> None:
    """Rows without a verdict say nothing; capitals, spaces and a spreadsheet's mark at the beginning do not matter."""
    rows = f"{HEAD}1,join,5,7\n2,,5,9\n3, Apart ,5,11\n".encode("utf-8-sig")
    found = parse_edits(rows, "queue.csv")
    assert [merge.pieces for merge in found.merges] == [(5, 7)]
    assert [split.pieces for split in found.splits] == [(5, 11)]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (7, 'edit 1 is 7; expected {"merge": [A, B]}'),
        ({"merge": [1, 2], "split": [[1], [2]]}, "edit 1 is"),
        ({"marge": [1, 2]}, "'marge' is no edit; did you mean `merge`?"),
        ({"merge": 5}, "merge is 5; expected a list of pieces"),
        ({"merge": [1, 2, 3]}, "a merge has two pieces, got 3"),
        ({"merge": [4, 4]}, "both pieces of the merge are 4"),
        ({"merge": [0, 4]}, "0 in merge is no piece"),
        ({"merge": [True, 4]}, "true in merge is no piece"),
        ({"merge": [[1, 2], 4]}, "[1, 2] in merge is no piece"),
        ({"merge": [[1, 2, 3.5], 4]}, "[1, 2, 3.5] in merge is no piece"),
        ({"merge": [2**70, 4]}, "is no piece"),
        ({"split": [[1]]}, "a split has two sides"),
        ({"split": [[1], []]}, "side 2 of the split has no piece"),
        ({"split": [[1, 2], [2]]}, "2 is on both sides of the split"),
        ({"split": [[1], ["two"]]}, '"two" in side 2 of the split is no piece'),
    ],
)
def test_a_wrong_edit_is_named(edit: Any, said: str) -> None:
    """Its place, what it is, and what is expected, in one sentence."""
    (problem,) = problems(json.dumps([edit]).encode())
    assert problem.startswith("`edits`: edit 1")
    assert said in problem


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"[{", "edits.json", "is no JSON"),
        (b'{"merge": [1, 2]}', "edits.json", "write a list of"),
        (b"\xff\xfe\x00", "edits.json", "is no text in UTF-8"),
        (b"a,b\n1,2\n", "queue.csv", "has no column `verdict`"),
        (f"{HEAD}1,yes,5,7\n".encode(), "queue.csv", "line 2: the verdict is 'yes'; allowed are join, apart"),
        (f"{HEAD}1,join,five,7\n".encode(), "queue.csv", 'line 2: "five" in merge is no piece'),
        (f"{HEAD}1,join,5\n".encode(), "queue.csv", "line 2: null in merge is no piece"),
    ],
)
def test_a_wrong_file_is_named(content: bytes, name: str, said: str) -> None:
    """So is a line of a queue's table."""
    (problem,) = problems(content, name)
    assert said in problem


def test_all_problems_are_said_at_once() -> None:
    """A sentence for each wrong edit, and none for the right ones between."""
    found = problems(json.dumps([{"merge": [1, 1]}, {"merge": [1, 2]}, {"split": [[1], []]}, 4]).encode())
    assert [problem.split(":")[1].split()[1] for problem in found] == ["1", "3", "4"]


def test_voxels_outside_the_box_are_named() -> None:
    """Before anything runs; ids can only be checked against supervoxels."""
    found = parse([{"merge": [[10, 20, 30], [18, 20, 30]]}]).problems_in(BOX)
    assert len(found) == 1
    assert "edit 1: the voxel [18, 20, 30] is outside the run's box" in found[0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With what it should hold."""
    with pytest.raises(ParameterErrors, match=r"there is no file .*gone\.json; give a JSON list"):
        read_content(f"file://{tmp_path}/gone.json")

"""The edit list: what proofreaders decided, as a typed file.

A list of edits as JSON, each a merge of two pieces or a split of some pieces from others:

    [{"merge": [12, [40, 50, 6]]}, {"split": [[12], [88, [41, 50, 6]]]}]

A piece is the id of a supervoxel, or a voxel [x, y, z] of the run's scale inside one. Ids of supervoxels are those of
a run's layer `supervoxels`: they stay for every agglomeration. The proofreading queue's table (`queue.py`) is an edit
list as well, once its column `verdict` is filled in.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from seuron.box import Box, Triple, triple
from seuron.errors import ParameterErrors, did_you_mean
from seuron.storage import Storage
from seuron.storage.digests import digest_of_bytes

#: The id of a supervoxel, or a voxel inside it.
Piece = int | Triple

#: What a proofreader writes into the queue's table: both sides are one object, or two; nothing leaves it open.
JOIN, APART = "join", "apart"
#: Ids and coordinates are below this.
LIMIT = 2**63
FORM = '{"merge": [A, B]} or {"split": [[A, ...], [B, ...]]}'


@dataclass(frozen=True)
class MergeEdit:
    """Two pieces of one object; `place` says which edit of the list it is."""

    a: Piece
    b: Piece
    place: str = ""

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return self.a, self.b


@dataclass(frozen=True)
class SplitEdit:
    """Pieces of one object, and pieces of others; `place` says which edit of the list it is."""

    one: tuple[Piece, ...]
    other: tuple[Piece, ...]
    place: str = ""

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return (*self.one, *self.other)


@dataclass(frozen=True)
class EditList:
    """All edits. Which comes first does not matter: they hold together, or the list is refused."""

    merges: tuple[MergeEdit, ...] = ()
    splits: tuple[SplitEdit, ...] = ()

    @property
    def pieces(self) -> list[tuple[str, Piece]]:
        """Every piece, with the place of its edit."""
        edits: list[MergeEdit | SplitEdit] = [*self.merges, *self.splits]
        return [(edit.place, piece) for edit in edits for piece in edit.pieces]

    def problems_in(self, box: Box) -> list[str]:
        """A sentence for each voxel that is outside a run's box."""
        return [
            f"{place}: the voxel {list(piece)} is outside the run's box {box}; give one inside"
            for place, piece in self.pieces
            if isinstance(piece, tuple) and not box.contains(Box.from_shape(piece, (1, 1, 1)))
        ]


def read_content(path: str) -> bytes:
    """What an edit list's file holds; raises ParameterErrors where there is none."""
    folder, _, name = path.rpartition("/")
    content = Storage(folder).get(name)
    if content is None:
        raise ParameterErrors([f"`edits`: there is no file {path}; give a JSON list of edits, or a queue's CSV table"])
    return content


def content_digest(content: bytes) -> str:
    """What keys of tasks hold of an edit list."""
    return digest_of_bytes([content])


def parse_edits(content: bytes, path: str) -> EditList:
    """The edits of a file, JSON or, by its name, CSV; raises ParameterErrors with a sentence for each problem."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ParameterErrors([f"`edits`: {path} is no text in UTF-8 ({error}); save it as such"]) from error
    entries = _rows(text, path) if path.lower().endswith(".csv") else _entries(text, path)
    problems: list[str] = []
    found = [edit for place, entry in entries if (edit := _edit(place, entry, problems)) is not None]
    if problems:
        raise ParameterErrors([f"`edits`: {problem}" for problem in problems])
    merges = tuple(edit for edit in found if isinstance(edit, MergeEdit))
    return EditList(merges, tuple(edit for edit in found if isinstance(edit, SplitEdit)))


def _entries(text: str, path: str) -> Iterable[tuple[str, Any]]:
    try:
        entries = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ParameterErrors([f"`edits`: {path} is no JSON: {error}; write a list of {FORM}"]) from error
    if not isinstance(entries, list):
        raise ParameterErrors([f"`edits`: {path} holds {_short(entries)}; write a list of {FORM}"])
    return [(f"edit {number}", entry) for number, entry in enumerate(entries, 1)]


def _rows(text: str, path: str) -> list[tuple[str, Any]]:
    """The rows of a queue's table whose verdict is filled in, as entries."""
    reader = csv.DictReader(io.StringIO(text))
    missing = {"a", "b", "verdict"} - set(reader.fieldnames or ())
    if missing:
        names = ", ".join(f"`{name}`" for name in sorted(missing))
        raise ParameterErrors([f"`edits`: {path} has no column {names}; keep those of the queue's table"])
    entries: list[tuple[str, Any]] = []
    for row in reader:
        verdict, place = (row["verdict"] or "").strip().lower(), f"line {reader.line_num}"
        pair = [int(text) if text and re.fullmatch("[0-9]+", text) else text for text in (row["a"], row["b"])]
        if verdict == JOIN:
            entries.append((place, {"merge": pair}))
        elif verdict == APART:
            entries.append((place, {"split": [pair[:1], pair[1:]]}))
        elif verdict:
            entries.append((place, verdict))
    return entries


def _edit(place: str, entry: Any, problems: list[str]) -> MergeEdit | SplitEdit | None:
    """One edit; what is wrong with it is added to the problems, a sentence each."""
    if isinstance(entry, str) and place.startswith("line"):
        problems.append(f"{place}: the verdict is {entry!r}; allowed are {JOIN}, {APART} and nothing")
        return None
    if not isinstance(entry, dict) or len(entry) != 1:
        problems.append(f"{place} is {_short(entry)}; expected {FORM}")
        return None
    (kind, value), before = next(iter(entry.items())), len(problems)
    if kind == "merge":
        pieces = _pieces(place, "merge", value, problems)
        if pieces is not None and len(pieces) != 2:
            problems.append(f"{place}: a merge has two pieces, got {len(pieces)}; write several merges for more")
        elif pieces is not None and pieces[0] == pieces[1]:
            problems.append(f"{place}: both pieces of the merge are {_short(pieces[0])}; give two different ones")
        return MergeEdit(pieces[0], pieces[1], place) if pieces is not None and len(problems) == before else None
    if kind == "split":
        return _split(place, value, problems)
    hint = did_you_mean(kind, ("merge", "split"), "known are merge and split", quote="`")
    problems.append(f"{place}: {kind!r} is no edit; {hint}")
    return None


def _split(place: str, value: Any, problems: list[str]) -> SplitEdit | None:
    if not isinstance(value, list) or len(value) != 2:
        problems.append(f"{place}: a split has two sides, each a list of pieces, got {_short(value)}")
        return None
    before = len(problems)
    one, other = (_pieces(place, f"side {number} of the split", side, problems) for number, side in enumerate(value, 1))
    if one is None or other is None:
        return None
    problems += [
        f"{place}: side {n} of the split has no piece; give one" for n, s in enumerate((one, other), 1) if not s
    ]
    both = [piece for piece in one if piece in other]
    problems += [f"{place}: {_short(piece)} is on both sides of the split; leave it on one" for piece in both]
    return SplitEdit(one, other, place) if len(problems) == before else None


def _pieces(place: str, what: str, value: Any, problems: list[str]) -> tuple[Piece, ...] | None:
    """The pieces of a list; None where one of them is none."""
    if not isinstance(value, list):
        problems.append(f"{place}: {what} is {_short(value)}; expected a list of pieces")
        return None
    found: list[Piece] = []
    for item in value:
        if _is_whole(item) and item > 0:
            found.append(item)
        elif isinstance(item, list) and len(item) == 3 and all(map(_is_whole, item)):
            found.append(triple(item))
        else:
            problems.append(
                f"{place}: {_short(item)} in {what} is no piece; give the id of a supervoxel, 1 or more, or a voxel "
                "[x, y, z] of whole numbers"
            )
    return tuple(found) if len(found) == len(value) else None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -LIMIT < value < LIMIT


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

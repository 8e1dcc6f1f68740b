"""Versions and the pointer that readers follow, with kills between any two steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.datasets.drafts import discard_draft
from seuron.datasets.versions import PublishedVersions
from seuron.errors import NotFoundError, RunError
from seuron.storage import Storage


class Killed(BaseException):
    """Ends a process: no code catches it."""


class Watched(Storage):
    """A storage whose every change is seen before and after it, and may be the last of its process."""

    def __init__(self, path: Path, step: Callable[[], None]) -> None:
        super().__init__(path)
        self.step = step

    def put(self, name: str, content: bytes, *, compress: bool = False) -> int:
        self.step()
        size = super().put(name, content, compress=compress)
        self.step()
        return size

    def link(self, name: str, target: str) -> None:
        self.step()
        super().link(name, target)
        self.step()

    def delete(self, names: Any, *, blocks: bool = False) -> None:
        self.step()
        super().delete(names, blocks=blocks)
        self.step()

    def delete_tree(self, folder: str) -> None:
        """A kill may leave any part of a folder: half of it goes first."""
        self.step()
        files = sorted(path for path in Path(self.path.removeprefix("file://"), folder).rglob("*") if path.is_file())
        for path in files[::2]:
            path.unlink()
        self.step()
        super().delete_tree(folder)
        self.step()


FILES = ("run.json", "segmentation/info", "segmentation/block", "supervoxels/block")


def make_version(folder: Path, number: int) -> None:
    """Files that hold the number of their version, in place of a run."""
    for name in FILES:
        path = folder / "versions" / f"{number:04d}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))


def read_all(folder: Path) -> list[set[str]]:
    """What a reader sees who follows current.json, and one who follows the link: each all files of a version."""
    seen = []
    pointer = folder / "current.json"
    if pointer.exists():
        number = json.loads(pointer.read_text())["version"]
        seen.append({(folder / "versions" / f"{number:04d}" / name).read_text() for name in FILES})
    if (folder / "current").is_symlink():
        seen.append({(folder / "current" / name).read_text() for name in FILES})
    return seen


STEPS = st.lists(
    st.one_of(
        st.just(("publish",)),
        st.tuples(st.just("rollback"), st.integers(1, 6)),
        st.just(("back",)),
        st.tuples(st.just("forget"), st.integers(1, 3)),
    ),
    min_size=1,
    max_size=8,
)


def do(published: PublishedVersions, folder: Path, operation: tuple[Any, ...]) -> None:
    if operation[0] == "publish":
        number = published.next_number()
        make_version(folder, number)
        published.publish(number, f"key {number}", ["a change"])
    elif operation[0] == "forget":
        published.prune(operation[1])
    else:
        with suppress(NotFoundError):
            published.rollback(operation[1] if len(operation) > 1 else None)


@given(STEPS, st.lists(st.integers(0, 40), max_size=4))
def test_readers_see_one_whole_version_whatever_is_killed(operations: list[tuple[Any, ...]], kills: list[int]) -> None:
    """At every step of every operation, and after a kill at any step, each reader sees all of one version."""
    with TemporaryDirectory() as name:
        folder, left, had = Path(name), iter(kills), False
        countdown = next(left, None)

        def step() -> None:
            nonlocal countdown, had
            seen = read_all(folder)
            assert all(len(version) == 1 for version in seen)
            assert seen or not had, "readers had a version, and have none now"
            had = had or bool(seen)
            if countdown is not None:
                countdown -= 1
                if countdown < 0:
                    countdown = next(left, None)
                    raise Killed

        for operation in operations:
            before = PublishedVersions(name).current()
            published = PublishedVersions(name, Watched(folder, step))
            try:
                do(published, folder, operation)
            except Killed:
                PublishedVersions(name).recover()
                after = PublishedVersions(name).current()
                if before is not None and operation[0] == "forget":
                    assert after == before
            seen = read_all(folder)
            assert all(version == seen[0] for version in seen), "both ways lead to the same version after a recover"
        if had:
            assert len(read_all(folder)) == 2
        known = {f"{version.number:04d}" for version in PublishedVersions(name).versions()}
        folders = {path.name for path in folder.glob("versions/*")}
        assert known <= folders <= known | {f"{PublishedVersions(name).next_number():04d}"}


def test_a_publication_that_was_killed_is_finished_by_the_next_look(tmp_path: Path) -> None:
    """A version that is published and that nobody was sent to yet becomes the current one."""
    for number in (1, 2):
        make_version(tmp_path, number)
    PublishedVersions(str(tmp_path)).publish(1, "a", [])
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:  # published/0002.json is written, current.json is not
            raise Killed

    with pytest.raises(Killed):
        PublishedVersions(str(tmp_path), Watched(tmp_path, step)).publish(2, "b", [])
    published = PublishedVersions(str(tmp_path))
    current, newest = published.current(), published.newest()
    assert current is not None
    assert newest is not None
    assert (current.number, newest.number) == (1, 2)
    published.recover()
    assert published.current() == newest
    assert read_all(tmp_path) == [{"2"}, {"2"}]


def test_a_rollback_stands(tmp_path: Path) -> None:
    """What was rolled back stays so until the next publication, also after settling and forgetting."""
    published = PublishedVersions(str(tmp_path))
    for number in (1, 2, 3):
        make_version(tmp_path, number)
        published.publish(number, str(number), [])
    assert published.rollback().number == 2
    assert published.rollback(1).number == 1
    published.recover()
    published.publish(3, "3", [])
    assert published.prune(1)[0] == [2]
    current = published.current()
    assert current is not None
    assert current.number == 1
    assert [version.number for version in published.versions()] == [1, 3]
    make_version(tmp_path, 4)
    published.publish(4, "4", [])
    assert published.current() == published.newest()


def test_wrong_versions_are_refused(tmp_path: Path) -> None:
    """A version that is not there, and a number out of turn, name what there is."""
    published = PublishedVersions(str(tmp_path))
    with pytest.raises(NotFoundError, match="no version is published yet"):
        published.rollback()
    with pytest.raises(NotFoundError, match="no version is published yet"):
        published.current_folder()
    make_version(tmp_path, 1)
    published.publish(1, "a", [])
    with pytest.raises(NotFoundError, match="no version 7; there are 1"):
        published.rollback(7)
    with pytest.raises(NotFoundError, match="older than 1"):
        published.rollback()
    with pytest.raises(RunError, match="the next is 2"):
        published.publish(3, "c", [])


def test_a_discarded_draft_leaves_the_versions(tmp_path: Path) -> None:
    """Removing what was begun for the next version touches no published one."""
    published = PublishedVersions(str(tmp_path))
    for number in (1, 2):
        make_version(tmp_path, number)
    published.publish(1, "a", [])
    discard_draft(published, 2)
    assert not (tmp_path / "versions" / "0002").exists()
    assert read_all(tmp_path) == [{"1"}, {"1"}]

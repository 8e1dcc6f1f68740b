"""The registry of views: what was added comes back, and no key leads out of its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from seuron.web.focus import Focus
from seuron.web.viewer.registry import KEY, RunView, ViewRegistry


@pytest.mark.parametrize("output", ["file:///data/my run", "gs://bucket/run", "file:///" + "x" * 300, "file:///"])
@pytest.mark.parametrize("focus", [None, Focus((100, -40, 50), (17, 2**60)), Focus((0, 0, 0))])
def test_a_view_comes_back_as_it_was_added(tmp_path: Path, output: str, focus: Focus | None) -> None:
    """Also in another process, which has the files alone; adding it twice changes nothing."""
    view = RunView(output, focus)
    key = ViewRegistry(tmp_path).add(view)
    assert ViewRegistry(tmp_path).add(view) == key
    assert KEY.fullmatch(key)
    assert ViewRegistry(tmp_path).get(key) == view
    assert ViewRegistry(tmp_path).keys() == [key]


def test_views_of_a_run_and_its_places_have_keys_of_their_own(tmp_path: Path) -> None:
    """Runs of one name in different folders as well; a place has the key of its run with the voxel."""
    views = [RunView("file:///a/run"), RunView("file:///b/run"), RunView("file:///a/run", Focus((1, 2, 3)))]
    keys = [ViewRegistry(tmp_path).add(view) for view in views]
    assert len(set(keys)) == 3
    assert keys[2] == f"{keys[0]}-at-1_2_3"


@pytest.mark.parametrize("key", ["", "..", "../server", "views/a", "a.json", "a\0", "x" * 200])
def test_no_other_key_is_looked_up(tmp_path: Path, key: str) -> None:
    """A key from a URL never becomes a path that leads out of the folder."""
    (tmp_path / "server.json").write_text("{}")
    assert ViewRegistry(tmp_path).get(key) is None

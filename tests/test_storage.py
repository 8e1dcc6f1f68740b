"""Files by name: what tells that one has changed, and what removing leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seuron.storage import Storage


@pytest.mark.parametrize("scheme", ["file://", "mem://"])
def test_a_version_changes_with_the_content(scheme: str, tmp_path: Path) -> None:
    """Each write of other content gives another version, the same content and time the same; no file has none."""
    storage = Storage(f"{scheme}{tmp_path}")
    storage.put("a/1", b"first")
    storage.put("a/2", b"other", compress=True)
    one, two, none = storage.versions(["a/1", "a/2", "a/3"])
    assert None not in (one, two)
    assert none is None
    assert storage.versions(["a/1", "a/2"]) == [one, two]
    storage.put("a/1", b"FIRST")
    assert storage.versions(["a/1"]) != [one]
    assert storage.stored("a/1") == b"FIRST"
    compressed = storage.stored("a/2")
    assert compressed is not None
    assert compressed[:2] == bytes([0x1F, 0x8B]), "stored is what lies on disk, still compressed"
    assert storage.stored("a/3") is None
    storage.delete(["a/1", "a/2"], blocks=True)
    assert storage.versions(["a/1", "a/2"]) == [None, None]


def test_a_folder_is_removed_with_what_lies_in_it(tmp_path: Path) -> None:
    """Temporary files of killed writers included; a folder that is not there is no error."""
    storage = Storage(str(tmp_path))
    storage.put("kept/1", b"1")
    storage.put("gone/1", b"1")
    (tmp_path / "gone" / ".1.partial").write_bytes(b"half")
    storage.delete_folder("gone")
    storage.delete_folder("gone")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]


def test_leftovers_are_old_temporary_files(tmp_path: Path) -> None:
    """A young temporary file may be a writer's that is at work."""
    storage = Storage(str(tmp_path))
    storage.put("finished", b"1")
    for name in (".old.partial", ".young.partial"):
        (tmp_path / name).write_bytes(b"123")
    os.utime(tmp_path / ".old.partial", (0, 0))
    assert storage.leftovers(older_than=60) == [(".old.partial", 3)]

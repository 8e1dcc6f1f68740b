"""Files by name: what tells that one has changed, and what removing leaves."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import seuron.storage.files as storages
from seuron.storage import Storage
from seuron.storage.tables import read_rows, read_table, write_groups


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


@pytest.mark.parametrize("scheme", ["file://", "mem://"])
@pytest.mark.parametrize("most", [10, 2**26])
def test_parts_of_a_file_are_read(scheme: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From anywhere in it, up to its end, whether it is small or read by requests for parts; none there is None."""
    monkeypatch.setattr(storages, "SPOOLED_BYTES", most)
    storage, content = Storage(f"{scheme}{tmp_path}"), bytes(range(256)) * 300
    storage.put("a", content)
    assert storage.reading("b") is None
    file = storage.reading("a")
    assert file is not None
    with file:
        assert file.read(7) == content[:7]
        assert file.seek(-5, os.SEEK_END) == len(content) - 5
        assert file.read(100) == content[-5:]
        assert file.read(1) == b""
        file.seek(1000)
        assert file.read() == content[1000:]


def test_a_table_of_an_object_store_is_read_by_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows of a large table ask for a small part of its bytes."""
    monkeypatch.setattr(storages, "SPOOLED_BYTES", 10)
    asked: list[int] = []
    plain = storages._Ranges.readinto
    monkeypatch.setattr(storages._Ranges, "readinto", lambda file, into: asked.append(len(into)) or plain(file, into))
    storage, values = Storage(f"mem://{tmp_path}"), np.random.default_rng(1).integers(0, 2**60, 1_000_000)
    stored = write_groups(storage, "t", [{"v": part} for part in np.split(values, 50)])
    rows = np.array([3, 600_001])
    np.testing.assert_array_equal(read_rows(storage, "t", rows)["v"], values[rows])
    assert 0 < sum(asked) < stored / 10
    np.testing.assert_array_equal(read_table(storage, "t")["v"], values)


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

"""The state folder: where it is, and what is kept secret in it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from seuron.deployment.home import PROJECT, Home, code_fingerprint


def test_the_environment_moves_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`SEURON_HOME` names the folder; without it, it lies beside the source."""
    monkeypatch.setenv("SEURON_HOME", str(tmp_path / "state"))
    assert Home.default().folder == tmp_path / "state"
    monkeypatch.delenv("SEURON_HOME")
    assert Home.default().folder == PROJECT / ".seuron"


def test_naming_the_folder_makes_nothing(tmp_path: Path) -> None:
    """Importing and asking where things are must not touch the disk."""
    home = Home(tmp_path / "state")
    assert home.logs.parent == home.folder
    assert not home.folder.exists()


def test_keys_are_made_once_for_the_owner_only(tmp_path: Path) -> None:
    """Airflow's processes share keys, and nobody else reads them."""
    home = Home(tmp_path)
    keys = home.keys()
    assert keys == home.keys()
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0
    assert len(base64.urlsafe_b64decode(keys["fernet"])) == 32
    assert Home(tmp_path / "other").folder != home.folder


def test_the_fingerprint_is_of_the_source() -> None:
    """The same source gives the same fingerprint: a second start reuses what runs."""
    assert code_fingerprint() == code_fingerprint()

"""A small object store for tests of volumes in one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos.object_store import ALIAS, ObjectStore


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A store that cloud-files knows in this process."""
    from cloudfiles.paths import add_alias

    with ObjectStore() as made, pytest.MonkeyPatch.context() as patched:
        folder: Path = tmp_path_factory.mktemp("cloud-files")
        for name, value in made.settings(folder).items():
            patched.setenv(name, value)
        add_alias(ALIAS, json.loads((folder / "aliases.json").read_text())[ALIAS]["host"])
        yield made

"""Who can open what a deployment writes, whatever the umask of whoever starts it."""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from seuron.deployment import Home
from seuron.deployment.home import write_secret
from seuron.deployment.locks import try_lock
from seuron.deployment.ports import claim_port
from seuron.deployment.supervisor import Service, Supervisor
from seuron.errors import RunError
from seuron.storage.private_files import open_log, private_folder

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to another user, which only root can")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """The umask of a careless user: files that are not closed on purpose are open to all."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files where all users may write."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_the_state_folder_is_closed(tmp_path: Path) -> None:
    """Keys, logs with addresses and parameters, and the database's files are read by other users of the machine."""
    home = Home(tmp_path / "state")
    home.create()
    folders = [home.folder, home.airflow, home.logs, home.numba_cache]
    assert [mode(folder) for folder in folders] == [0o700] * 4
    home.keys()
    home.make_login()
    assert {mode(path) for path in home.folder.iterdir() if path.is_file()} == {0o600}


def test_a_state_folder_of_before_is_closed_too(tmp_path: Path) -> None:
    """A deployment that an earlier version made stays open after an update."""
    home = Home(tmp_path / "state")
    home.logs.mkdir(parents=True)
    log = home.logs / "scheduler.log"
    log.write_text("before\n")
    home.create()
    os.close(open_log(log))
    assert mode(home.folder) & 0o067 == 0
    assert (mode(home.logs) & 0o067, mode(log), log.read_text()) == (0, 0o600, "before\n")


@pytest.mark.parametrize(("runs_tasks", "wanted"), [(False, "077"), (True, "002")])
def test_what_services_write_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs_tasks: bool, wanted: str
) -> None:
    """Services write what others can read; results, which colleagues may read, follow the owner's umask."""
    import seuron.deployment.supervisor as module

    postgres = SimpleNamespace(prepare=lambda data: SimpleNamespace(socket_folder=data))
    monkeypatch.setattr(module, "Postgres", postgres)
    home = Home(tmp_path / "state")
    home.create()
    supervisor = Supervisor(home, 1, lambda more: None, task_umask=0o002)
    program = "import os; print(f'{os.umask(0):03o}')"
    service = Service("program", [sys.executable, "-c", program], runs_tasks=runs_tasks)
    supervisor._launch(service)
    assert service.process is not None
    assert service.process.wait(60) == 0
    log = home.logs / "program.log"
    assert (log.read_text().strip(), mode(log)) == (wanted, 0o600)


def test_locks_and_secrets_follow_no_link(tmp_path: Path) -> None:
    """A link under the name of a lock or a secret makes or empties a file elsewhere that only this user may write."""
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "lock"
    link.symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic links"):
        try_lock(link)
    partial = tmp_path / f"secret.{os.getpid()}.partial"
    partial.symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic links"):
        write_secret(tmp_path / "secret", json.dumps({}))
    assert not elsewhere.exists()


def test_locks_of_ports_lie_in_a_folder_of_the_user(shared: Path) -> None:
    """In a folder of all users anybody can hold the locks, or have a link there lead to a file of this user."""
    _, lock = claim_port("127.0.0.1", 23_700)
    lock.close()
    (folder,) = shared.iterdir()
    assert mode(folder) == 0o700
    assert [mode(path) for path in folder.iterdir()] == [0o600]


def test_a_link_in_place_of_the_folder_is_refused(shared: Path, tmp_path: Path) -> None:
    """Another user has put a link to a folder of this user under the name of ours."""
    (tmp_path / "mine").mkdir()
    (shared / f"seuron-{os.getuid()}").symlink_to(tmp_path / "mine")
    with pytest.raises(RunError, match=r"only this user can open .*; remove it, or name another folder"):
        claim_port("127.0.0.1", 23_700)
    assert list((tmp_path / "mine").iterdir()) == []


@as_root
def test_a_folder_of_another_user_is_refused(shared: Path) -> None:
    """Another user has made the folder before, and may put into it what he likes."""
    folder = shared / "ours"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    with pytest.raises(RunError, match="belongs to the user 65534"):
        private_folder(folder)

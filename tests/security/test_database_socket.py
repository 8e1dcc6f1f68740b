"""Who can connect to the database of the embedded deployment: a real PostgreSQL, and this machine's other users."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from watchdog import run_folder

from seuron.deployment.postgres import Postgres, socket_folder
from seuron.errors import RunError

CONNECT = """
import os, sys, psycopg2
os.setuid(65534)
try:
    psycopg2.connect(host=sys.argv[1], user="postgres", dbname="postgres")
    print("connected")
except psycopg2.OperationalError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A database whose data folder has so long a name that its socket lies among the temporary files."""
    # As root the database runs as another user, to whom the folders of pytest are closed.
    with tempfile.TemporaryDirectory(dir=run_folder()) as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / ("deep" * 20)
        home.mkdir(mode=0o700)
        made = Postgres.prepare(home / "postgres")
        process = subprocess.Popen(made.command, user=made.user, group=made.user, extra_groups=[], umask=0, cwd=home)
        try:
            deadline = time.monotonic() + 120
            while not made.is_ready():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield made
        finally:
            process.send_signal(signal.SIGINT)  # "fast"
            process.wait(60)
            shutil.rmtree(made.socket_folder)


def test_the_socket_is_closed_to_others(postgres: Postgres) -> None:
    """In a folder that all may enter, every user of the machine is the database's superuser, who may run programs."""
    folder = postgres.socket_folder
    assert folder != postgres.data
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / ".s.PGSQL.5432").stat().st_mode) == 0o700
    assert stat.S_IMODE(postgres.data.parent.stat().st_mode) & 0o067 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="connects as another user, which only root can become")
def test_the_database_refuses_other_users_of_the_machine(postgres: Postgres) -> None:
    """The folder was opened by mistake, and whoever connects is believed to be who he says (`trust`)."""
    paths = [postgres.socket_folder, postgres.socket_folder / ".s.PGSQL.5432"]
    assert "Permission denied" in _connect_as_nobody(postgres)
    for path in paths:
        path.chmod(0o777)
    try:
        assert "Peer authentication failed" in _connect_as_nobody(postgres)
    finally:
        for path in paths:
            path.chmod(0o700)
    assert postgres.is_ready(), "the owner is not refused"


def _connect_as_nobody(postgres: Postgres) -> str:
    command = [sys.executable, "-c", CONNECT, str(postgres.socket_folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_a_link_in_place_of_the_sockets_folder_is_refused(postgres: Postgres, tmp_path: Path) -> None:
    """Another user has put a link, or a server of his own, where the socket is to be."""
    data = postgres.data.parent / "other"
    (tmp_path / "theirs").mkdir()
    link = socket_folder(data)
    link.symlink_to(tmp_path / "theirs")
    try:
        with pytest.raises(RunError, match="only this user can open"):
            Postgres.prepare(data)
    finally:
        link.unlink()
    assert list((tmp_path / "theirs").iterdir()) == []

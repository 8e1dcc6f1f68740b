"""The folder that holds all state of a deployment, and the names of what is in it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from seuron.storage.private_files import FOLDER_MODE, restrict, write_secret

#: The folder that holds `seuron/` and `dags/`.
PROJECT = Path(__file__).resolve().parents[2]

#: Environment variable that moves the state folder.
HOME_VARIABLE = "SEURON_HOME"

#: Airflow's name for whoever has the token of the embedded deployment: its only user, an administrator.
OWNER = "owner"


@dataclass(frozen=True)
class Home:
    """Names of the files of one deployment. Making one creates nothing."""

    folder: Path

    @classmethod
    def default(cls) -> Home:
        """The folder of `SEURON_HOME`, else `.seuron` beside the source."""
        return cls(Path(os.environ.get(HOME_VARIABLE) or PROJECT / ".seuron").expanduser().resolve())

    @property
    def airflow(self) -> Path:
        return self.folder / "airflow"

    @property
    def database(self) -> Path:
        return self.folder / "postgres"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def numba_cache(self) -> Path:
        return self.folder / "numba-cache"

    @property
    def viewer(self) -> Path:
        """The state of the viewer's server, which lives beside the deployment, not in it."""
        return self.folder / "viewer"

    @property
    def local_runs(self) -> Path:
        """Which runs were made here without a deployment."""
        return self.folder / "local-runs"

    @property
    def demo(self) -> Path:
        """The demonstration's volume and runs."""
        return self.folder / "demo"

    @property
    def supervisor_lock(self) -> Path:
        """Locked by the supervisor for as long as it lives: no process id can mislead."""
        return self.folder / "supervisor.lock"

    @property
    def supervisor_state(self) -> Path:
        """What the running supervisor says of itself: process id, port, and why it gave up."""
        return self.folder / "supervisor.json"

    @property
    def start_lock(self) -> Path:
        return self.folder / "start.lock"

    @property
    def settings(self) -> Path:
        """Options of Airflow that replace the deployment's own, `{"section.name": "value"}`; none need be there."""
        return self.folder / "settings.json"

    @property
    def login(self) -> Path:
        """Who may log in, `USER:TOKEN`: for the link of `seuron up`, commands, and tasks that ask Airflow."""
        return self.folder / "login"

    @property
    def passwords(self) -> Path:
        """The same for Airflow, which wants `{"USER": "TOKEN"}` and opens it for writing."""
        return self.folder / "passwords.json"

    @property
    def redis(self) -> Path:
        """The broker's data and configuration, where tasks go to Celery workers."""
        return self.folder / "redis"

    @property
    def broker_url(self) -> Path:
        """Holds the broker's address with its password; readable by the owner only."""
        return self.redis / "broker-url"

    @property
    def schema_stamp(self) -> Path:
        """Names the Airflow version whose tables the database has."""
        return self.folder / "schema-version"

    def create(self) -> None:
        """Make the folders that are not there yet, and close all of them to other users."""
        for folder in (self.folder, self.airflow, self.logs, self.numba_cache):
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            restrict(folder)

    def keys(self) -> dict[str, str]:
        """The keys that Airflow's processes share; made once, readable by the owner only."""
        path = self.folder / "keys.json"
        keys: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        missing = [name for name in ("jwt", "session", "broker", "fernet") if name not in keys]
        if missing:
            made = {name: _fernet_key() if name == "fernet" else secrets.token_urlsafe(32) for name in missing}
            keys |= made
            write_secret(path, json.dumps(keys))
        return keys

    def make_login(self) -> None:
        """The token that whoever uses the deployment shows, made once; where its file was removed, another one."""
        if not self.login.exists():
            write_secret(self.login, f"{OWNER}:{secrets.token_urlsafe(32)}\n")
        write_secret(self.passwords, json.dumps({OWNER: self.login_token()}))

    def login_token(self) -> str:
        """The token; raises FileNotFoundError before the first start."""
        return self.login.read_text().strip().partition(":")[2]


def _fernet_key() -> str:
    """32 random bytes, in the padded base64 that Fernet wants."""
    import base64

    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def code_fingerprint() -> str:
    """What changes when the source does: workers keep the code they were started with."""
    sources = sorted(
        path for name in ("abiss_py", "seuron", "dags", "plugins") for path in (PROJECT / name).rglob("*.py")
    )
    stamps = ((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in sources)
    return hashlib.sha256(repr(list(stamps)).encode()).hexdigest()[:16]

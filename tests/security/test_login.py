"""The token of the embedded deployment: who has it, and who finds it by itself.

What the server does with it is in tests/integration/test_server_access.py.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from seuron.airflow_rest.login import LOGIN_FILE_VARIABLE, TOKEN_FILE_VARIABLE, PasswordLogin
from seuron.client import connect
from seuron.cluster.local_machine import LocalMachine
from seuron.deployment import Deployment, Home
from seuron.deployment.environment import service_environment
from seuron.deployment.home import OWNER
from seuron.deployment.locks import try_lock


def test_the_token_is_made_once_for_the_owner_only(tmp_path: Path) -> None:
    """Another user of the machine reads the token, and is an administrator."""
    home = Home(tmp_path)
    home.make_login()
    token = home.login_token()
    home.make_login()
    assert home.login_token() == token
    assert len(token) > 40
    assert json.loads(home.passwords.read_text()) == {OWNER: token}
    for path in (home.login, home.passwords):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    home.login.unlink()
    home.make_login()
    assert home.login_token() != token, "an owner whose token was seen can have another"


def test_airflow_asks_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reaches the port, such as another user of the machine, starts runs; a shell's login is not handed on."""
    monkeypatch.setenv(TOKEN_FILE_VARIABLE, "/elsewhere/token")
    monkeypatch.setenv(LOGIN_FILE_VARIABLE, "/elsewhere/login")
    home = Home(tmp_path)
    made = service_environment(home, "scheduler", 8080, tmp_path, LocalMachine(cores=1, gpus=0))
    assert made["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "False"
    assert made["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == f"{OWNER}:admin"
    assert made["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] == str(home.passwords)
    assert made[LOGIN_FILE_VARIABLE] == str(home.login)
    assert TOKEN_FILE_VARIABLE not in made
    home.settings.write_text('{"core.simple_auth_manager_all_admins": "True"}')
    made = service_environment(home, "scheduler", 8080, tmp_path, LocalMachine(cores=1, gpus=0))
    assert made["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "True"


def test_this_machines_clients_find_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands and the bot work as before there was a token; a deployment elsewhere is not sent it."""
    for name in (LOGIN_FILE_VARIABLE, TOKEN_FILE_VARIABLE, "SEURON_TOKEN", "SEURON_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SEURON_HOME", str(tmp_path))
    home = Home(tmp_path)
    home.make_login()
    home.supervisor_state.write_text(json.dumps({"pid": os.getpid(), "port": 1}))
    lock = try_lock(home.supervisor_lock)
    assert lock is not None
    with lock:
        url = Deployment(home).url
        assert connect(f"{url}/").auth is not None
        assert isinstance(connect().client.auth, PasswordLogin)
        assert connect("http://127.0.0.1:2").auth is None
        assert Deployment(home).login_url == f"{url}/seuron/login?token={home.login_token()}"
        assert home.login_token() not in repr(connect()) + repr(connect().client)
    assert connect(url).auth is None, "what listens there now is not this machine's deployment"


def test_a_deployment_of_before_there_was_a_token(tmp_path: Path) -> None:
    """One that an earlier version has started asks for no token; refused, its runs would be cut off by a restart."""
    home = Home(tmp_path)
    home.supervisor_state.write_text(json.dumps({"pid": os.getpid(), "port": 1}))
    lock = try_lock(home.supervisor_lock)
    assert lock is not None
    with lock, Deployment(home).client() as client:
        assert client.auth is None

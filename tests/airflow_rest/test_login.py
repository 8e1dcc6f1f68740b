"""How one logs in to Airflow, by the files that the environment names."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from seuron.airflow_rest.login import LOGIN_FILE_VARIABLE, TOKEN_FILE_VARIABLE, PasswordLogin, TokenFile, login_from
from seuron.errors import RunError

URL = "http://127.0.0.1:1"


def test_nobody_logs_in_where_no_file_is_named() -> None:
    """An Airflow in which everybody is an administrator asks for no password."""
    assert login_from({}, URL) is None
    assert login_from({LOGIN_FILE_VARIABLE: ""}, URL) is None


def test_a_password_is_everything_behind_the_first_colon(tmp_path: Path) -> None:
    """Passwords may have colons; the login shows neither itself nor its password."""
    file = tmp_path / "login"
    file.write_text("scaling:a:b\n")
    login = login_from({LOGIN_FILE_VARIABLE: str(file)}, URL)
    assert isinstance(login, PasswordLogin)
    request = next(login.auth_flow(httpx.Request("GET", URL)))
    assert request.url == f"{URL}/auth/token"
    assert request.read() == b'{"username":"scaling","password":"a:b"}'
    assert "a:b" not in repr(login)


@pytest.mark.parametrize("content", ["", "scaling", "scaling:", ":secret"])
def test_a_file_that_is_no_login_is_reported_without_its_content(content: str, tmp_path: Path) -> None:
    """The message says how the file should be."""
    file = tmp_path / "login"
    file.write_text(content)
    with pytest.raises(RunError, match="USER:PASSWORD") as caught:
        login_from({LOGIN_FILE_VARIABLE: str(file)}, URL)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_not_there_is_reported(tmp_path: Path) -> None:
    """By its path and the variable that names it."""
    with pytest.raises(RunError, match=f"{LOGIN_FILE_VARIABLE} names: No such file"):
        login_from({LOGIN_FILE_VARIABLE: str(tmp_path / "none")}, URL)


def test_a_token_is_read_again_for_each_request(tmp_path: Path) -> None:
    """Somebody else renews it, and a connection that stays open takes the new one."""
    file = tmp_path / "token"
    login = login_from({TOKEN_FILE_VARIABLE: str(file)}, URL)
    assert isinstance(login, TokenFile)
    for token in ("first", "second"):
        file.write_text(f"{token}\n")
        request = next(login.auth_flow(httpx.Request("GET", URL)))
        assert request.headers["Authorization"] == f"Bearer {token}"
    file.unlink()
    with pytest.raises(RunError, match=TOKEN_FILE_VARIABLE):
        next(login.auth_flow(httpx.Request("GET", URL)))

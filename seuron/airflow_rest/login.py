"""Logging in to an Airflow that asks who is there.

Airflow's auth managers give a token for a user's password (`POST /auth/token`), which ends after a day or whatever
`[api_auth] jwt_expiration_time` says. Whoever has a token from elsewhere gives that instead.

Passwords come from files, so that none is in an environment, a command line, a DAG or a log. Tokens do as well,
for whatever runs by itself; a person may have one in `SEURON_TOKEN` (`deployment.py`) until it ends.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from pathlib import Path

import httpx

from seuron.errors import RunError

#: Names a file with one line, `USER:PASSWORD`.
LOGIN_FILE_VARIABLE = "SEURON_LOGIN_FILE"
#: Names a file with a token.
TOKEN_FILE_VARIABLE = "SEURON_TOKEN_FILE"

_REFUSED = 401


class BearerToken(httpx.Auth):
    """Shows a token with every request."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The request with the token."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


class PasswordLogin(httpx.Auth):
    """Asks for a token when it first needs one, and for another when Airflow takes it no longer."""

    requires_response_body = True

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url, self.user = url.rstrip("/"), user
        self._password = password
        self._token: str | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The request with a token, twice at most. Raises RunError where the password is refused."""
        renewed = self._token is None
        if renewed:
            yield from self._log_in()
        response = yield self._signed(request)
        if response.status_code == _REFUSED and not renewed:
            yield from self._log_in()
            yield self._signed(request)

    def _signed(self, request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _log_in(self) -> Generator[httpx.Request, httpx.Response, None]:
        body = {"username": self.user, "password": self._password}
        response = yield httpx.Request("POST", f"{self.url}/auth/token", json=body)
        if response.status_code in (400, _REFUSED, 403):
            raise RunError(
                f"Airflow at {self.url} refuses the password of the user {self.user} ({response.status_code}); "
                f"give one that it knows in the file that {LOGIN_FILE_VARIABLE} names, as USER:PASSWORD"
            )
        if not response.is_success:
            response.raise_for_status()
        self._token = str(response.json()["access_token"])


class TokenFile(httpx.Auth):
    """A token that somebody else renews: the file is read for each request."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The request with the token of now."""
        request.headers["Authorization"] = f"Bearer {_read(self.path, TOKEN_FILE_VARIABLE)}"
        yield request


def login_from(environment: Mapping[str, str], url: str) -> httpx.Auth | None:
    """How to log in to the Airflow at `url`; None where the environment names no file, and nobody need log in.

    Raises RunError for a file that cannot be read or is not what it should be.
    """
    if path := environment.get(TOKEN_FILE_VARIABLE):
        return TokenFile(Path(path))
    if path := environment.get(LOGIN_FILE_VARIABLE):
        user, colon, password = _read(Path(path), LOGIN_FILE_VARIABLE).partition(":")
        if not (user and colon and password):
            raise RunError(
                f"the file {path} that {LOGIN_FILE_VARIABLE} names is not one line USER:PASSWORD; write it so"
            )
        return PasswordLogin(url, user, password)
    return None


def _read(path: Path, variable: str) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise RunError(
            f"cannot read {path}, which {variable} names: {os.strerror(error.errno or 0)}; "
            "name a file that this process may read"
        ) from error

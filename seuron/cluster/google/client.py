"""Asking Compute Engine: credentials, time-outs, tries, operations, and errors in plain words.

Every request has a time-out and is tried again, with back-off, after 429, 5xx and lost connections.
Requests that change something carry a request id, so that a second try of one that was heard the
first time does nothing. No message and no repr holds a credential.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from seuron.errors import ComputeError

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_CREDENTIAL = re.compile(r"(?i)(bearer\s+|ya29\.|access_token[\"'=:\s]+|key=)[^\s\"'&,]+")
_ADVICE = {
    400: "check the cluster's file against docs/clusters.md",
    401: "run `gcloud auth application-default login`, or give google.credentials_file",
    403: "give the account the roles that docs/clusters.md lists, and look at the project's quotas",
    404: "run `seuron cluster create` to make what is missing",
    409: "another resource has this name; rename the cluster, or remove that resource",
    412: "something else changes it at the same time; run it again",
}


class MissingResourceError(ComputeError):
    """The resource is not there."""


class NameTakenError(ComputeError):
    """A resource of this name is there already."""


@dataclass(frozen=True)
class Pending:
    """An operation that was begun: what it does, in words, and Google's name and place of it."""

    what: str
    name: str
    zone: str = ""
    region: str = ""


@dataclass(frozen=True)
class Patience:
    """Seconds: for one answer, for all tries of one request, and for an operation to finish."""

    answer: float = 30.0
    tries: float = 120.0
    operation: float = 900.0
    first_pause: float = 1.0


class Connection:
    """One project of Compute Engine, reached with one set of credentials."""

    def __init__(
        self, project: str, credentials_file: Path | None = None, endpoint: str = "", patience: Patience | None = None
    ) -> None:
        self.project = project
        self.endpoint = endpoint
        self.patience = patience or Patience()
        self._credentials_file = credentials_file
        self._credentials: Any = None
        self._clients: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"Connection(project={self.project!r}, endpoint={self.endpoint!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections; the next request makes new ones."""
        for client in self._clients.values():
            client.transport.close()
        self._clients.clear()

    def ask(self, what: str, client: str, method: str, **request: Any) -> Any:
        """The answer to a request that changes nothing; `what` says what it is for, in words.

        Raises ComputeError, or MissingResourceError where there is no such resource.
        """
        return self._request(what, client, method, request, lambda answer: answer)

    def ask_all(self, what: str, client: str, method: str, **request: Any) -> list[Any]:
        """All items of a list, page after page."""
        # A page is fetched while the list is read, so both are inside what is turned into our errors.
        found: list[Any] = self._request(what, client, method, request, list)
        return found

    def begin(self, what: str, client: str, method: str, **request: Any) -> Pending:
        """Ask for a change and return at once."""
        answer = self.ask(what, client, method, request_id=str(uuid.uuid4()), **request)
        return Pending(what, answer.name, last_part(answer.zone), last_part(answer.region))

    def finish(self, operations: Sequence[Pending]) -> None:
        """Wait until all are done; raises one ComputeError that names all that failed."""
        failures = []
        deadline = time.monotonic() + self.patience.operation
        for operation in operations:
            try:
                self._finish(operation, deadline)
            except ComputeError as error:
                failures.append(str(error))
        if failures:
            raise ComputeError("\n".join(failures))

    def _finish(self, operation: Pending, deadline: float) -> None:
        client, place = _operation_place(operation)
        pause = min(0.2, self.patience.first_pause)
        while True:
            found = self.ask(operation.what, client, "get", operation=operation.name, **place)
            if found.status.name == "DONE":
                break
            if time.monotonic() > deadline:
                raise ComputeError(
                    f"{operation.what}: not done after {self.patience.operation:.0f} s; it may still end well, "
                    "look with `seuron cluster status` and run the command again"
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 5.0)
        if found.error.errors:
            said = "; ".join(f"{error.code}: {error.message}" for error in found.error.errors)
            raise ComputeError(
                f"{operation.what}: Google says {_harmless(said)}; what was made stays, and running "
                "the command again goes on from there"
            )

    def _request(self, what: str, client: str, method: str, request: dict[str, Any], read: Callable[[Any], Any]) -> Any:
        call = getattr(self._client(client), method)
        return _translated(what, lambda: read(call(request={"project": self.project, **request}, **self._patiently())))

    def _patiently(self) -> dict[str, Any]:
        from google.api_core import exceptions
        from google.api_core.retry import Retry, if_exception_type

        # Lost connections and time-outs come as OSError, of which requests' own errors are kinds.
        again = if_exception_type(exceptions.TooManyRequests, exceptions.ServerError, OSError)
        pause = self.patience.first_pause
        retry = Retry(predicate=again, initial=pause, maximum=20 * pause, multiplier=2.0, timeout=self.patience.tries)
        return {"retry": retry, "timeout": self.patience.answer}

    def _client(self, name: str) -> Any:
        if name not in self._clients:
            from google.cloud import compute_v1

            kind = getattr(compute_v1, f"{name}Client")
            transport = kind.get_transport_class("rest")
            where = {"host": self.endpoint, "url_scheme": "http"} if self.endpoint else {}
            self._clients[name] = kind(transport=transport(credentials=self._identity(), **where))
        return self._clients[name]

    def _identity(self) -> Any:
        if self._credentials is None:
            self._credentials = _credentials(self._credentials_file, bool(self.endpoint))
        return self._credentials


def last_part(url: str) -> str:
    """The name at the end of a resource's address."""
    return url.rstrip("/").rpartition("/")[2]


def _credentials(file: Path | None, anonymous: bool) -> Any:
    import google.auth
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import GoogleAuthError

    if anonymous:
        return AnonymousCredentials()  # type: ignore[no-untyped-call]
    try:
        if file is not None:
            return google.auth.load_credentials_from_file(str(file), scopes=_SCOPES)[0]  # type: ignore[no-untyped-call]
        return google.auth.default(scopes=_SCOPES)[0]
    except (GoogleAuthError, OSError, ValueError) as error:
        where = f"the credentials of {file}" if file else "the application-default credentials"
        # The cause is left out on purpose: what was read of a key file may be in it.
        raise ComputeError(f"cannot use {where} ({type(error).__name__}); {_ADVICE[401]}") from None


def _translated(what: str, request: Callable[[], Any]) -> Any:
    """The request's answer, with Google's errors turned into ours."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        return request()
    except exceptions.RetryError as error:
        cause = _harmless(str(error.cause or error))
        raise ComputeError(f"{what}: no good answer after several tries, last: {cause}; try again later") from None
    except exceptions.GoogleAPICallError as error:
        code = int(error.code or 0)
        kind = {404: MissingResourceError, 409: NameTakenError}.get(code, ComputeError)
        advice = _ADVICE.get(code, "try again later")
        raise kind(f"{what}: Google says {code} {_harmless(str(error.message))}; {advice}") from None
    except GoogleAuthError as error:
        raise ComputeError(f"{what}: Google refuses the credentials ({type(error).__name__}); {_ADVICE[401]}") from None
    except OSError as error:
        raise ComputeError(f"{what}: no connection: {_harmless(str(error))}; try again later") from None


def _harmless(message: str) -> str:
    """The message without anything that looks like a credential."""
    return _CREDENTIAL.sub(r"\1[hidden]", message)


def _operation_place(operation: Pending) -> tuple[str, dict[str, str]]:
    if operation.zone:
        return "ZoneOperations", {"zone": operation.zone}
    if operation.region:
        return "RegionOperations", {"region": operation.region}
    return "GlobalOperations", {}

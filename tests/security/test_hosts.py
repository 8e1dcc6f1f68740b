"""Which requests a browser may send: by the name they are sent to, and by the page that sends them."""

from __future__ import annotations

import pytest
from airflow.configuration import conf
from asgi import AppClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from seuron.errors import ParameterErrors
from seuron.orchestration.server_hosts import SETTING, allowed_hosts
from seuron.web.allowed_hosts import LOOPBACK, AllowedHostsMiddleware


async def _page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ours")


@pytest.fixture
def client() -> AppClient:
    """A server of a page, and of another application below it, as `/auth` is in Airflow."""
    methods = ["GET", "POST"]
    below = Mount("/auth", Starlette(routes=[Route("/login", _page, methods=methods)]))
    app = Starlette(routes=[Route("/", _page, methods=methods), below])
    return AppClient(AllowedHostsMiddleware(app, [*LOOPBACK, "airflow.example.org"], SETTING))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8080", "[::1]:8080", "LocalHost", "airflow.example.org"])
def test_own_names_are_answered(client: AppClient, host: str) -> None:
    """A check that is too strict locks out browsers that use IPv6, a port or the name that the owner gave."""
    assert client.get("/auth/login", {"Host": host}).text == "ours"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8080", "x@127.0.0.1", "", "[::1", "0.0.0.0"])
def test_other_names_are_refused(client: AppClient, host: str) -> None:
    """A page of anywhere has its name lead to 127.0.0.1, and starts runs as if it were ours (DNS rebinding)."""
    for path in ("/", "/auth/login"):
        answer = client.get(path, {"Host": host})
        assert answer.status_code == 403, path
        assert "this server answers to 127.0.0.1, ::1, airflow.example.org, localhost" in answer.text
        assert SETTING in answer.text


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1@evil.example"])
def test_other_sites_change_nothing(client: AppClient, origin: str) -> None:
    """A page of anywhere posts a form to 127.0.0.1: it cannot read the answer, and the run has begun."""
    headers = {"Host": "127.0.0.1:8080", "Origin": origin}
    assert client.request("POST", "/", headers).status_code == 403
    assert client.get("/", headers).status_code == 200
    assert client.request("POST", "/", {**headers, "Origin": "http://localhost:8080"}).status_code == 200


def test_nothing_is_shown_in_a_frame_of_another_site(client: AppClient) -> None:
    """A page of anywhere shows ours, invisible, under a button of its own, and the user presses ours."""
    for headers in ({"Host": "127.0.0.1"}, {"Host": "evil.example"}):
        answer = client.get("/auth/login", headers)
        assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'self'"
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Airflow's options as docker-compose.yml has them."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "http://api-server:8080/execution/")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.org/team")
    return monkeypatch


def test_addresses_of_tasks_and_browsers_need_no_setting(settings: pytest.MonkeyPatch) -> None:
    """Workers in containers reach the server by the name of its service; refused, no task could run."""
    assert set(allowed_hosts()) == {*LOOPBACK, "api-server", "airflow.example.org"}
    settings.setenv("AIRFLOW__SEURON__ALLOWED_HOSTS", "10.0.0.2, tissue-manager,")
    assert conf.get("seuron", "allowed_hosts").startswith("10.0.0.2")
    assert {"10.0.0.2", "tissue-manager"} <= set(allowed_hosts())


@pytest.mark.parametrize("name", ["http://airflow.example.org", "airflow.example.org:8080", "*"])
def test_a_setting_that_is_no_name_stops_the_server(settings: pytest.MonkeyPatch, name: str) -> None:
    """An entry that never fits is found at the start, not by whoever is refused."""
    settings.setenv("AIRFLOW__SEURON__ALLOWED_HOSTS", name)
    with pytest.raises(ParameterErrors, match="without scheme and port"):
        allowed_hosts()

"""What Airflow's API server answers, and to whom: a login by a link, and the names that it is asked under."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from api_server import USERS, Server

from seuron.deployment.home import OWNER

TOKEN = USERS[OWNER][1]
COOKIE = "_token"
#: One address of each application that the server is made of.
EVERYWHERE = ("/", "/api/v2/version", "/auth/login", "/seuron/runs", "/execution/health", "/ui/config", "/no-such-page")


@pytest.fixture
def browser(server: Server) -> Iterator[httpx.Client]:
    """Somebody's browser, which nobody has logged in."""
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as opened:
        yield opened


def test_no_page_of_another_name_is_answered(server: Server, browser: httpx.Client) -> None:
    """A part of the server that is mounted apart, such as the login's, answers to the name of another site."""
    for path in EVERYWHERE:
        refused = browser.get(path, headers={"Host": "evil.example"})
        assert (refused.status_code, "seuron.allowed_hosts" in refused.text) == (403, True), path
        for answer in (refused, browser.get(path)):
            assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"], path
            assert answer.headers["X-Frame-Options"] == "SAMEORIGIN", path
    assert browser.get("/execution/health").is_success


def test_a_link_logs_a_browser_in(server: Server, browser: httpx.Client) -> None:
    """Without the token nobody reads or starts anything; its link is enough, and the log does not show it."""
    assert browser.get("/api/v2/dags").status_code == 401
    assert browser.get("/auth/token").status_code == 403
    sent = browser.get("/seuron/login", params={"token": TOKEN})
    assert (sent.status_code, sent.headers["Location"]) == (303, "/")
    assert "HttpOnly" in sent.headers["Set-Cookie"]
    assert sent.headers["Referrer-Policy"] == "no-referrer"
    assert browser.get("/api/v2/dags").is_success
    assert browser.get("/ui/auth/me").json()["username"] == OWNER
    log = server.log()
    assert "/seuron/login" in log
    assert TOKEN not in log
    assert TOKEN.replace(" ", "+") not in log


def test_a_login_of_before_is_replaced(browser: httpx.Client) -> None:
    """With a cookie of another deployment, or of yesterday, Airflow takes the new one away with the old one."""
    browser.cookies.set(COOKIE, "of.another.deployment", domain="127.0.0.1", path="/")
    done = browser.get("/seuron/login", params={"token": TOKEN}, follow_redirects=True)
    assert (done.status_code, done.url.path) == (200, "/")
    assert browser.get("/api/v2/dags").is_success


@pytest.mark.parametrize("token", ["", "wrong", USERS["admin"][1], f"{TOKEN}x"])
def test_a_wrong_token_is_refused(browser: httpx.Client, token: str) -> None:
    """Passwords of others are no tokens, and the message says where the right one is."""
    refused = browser.get("/seuron/login", params={"token": token}, headers={"Accept": "text/html"})
    assert (refused.status_code, "`seuron up` prints" in refused.text) == (401, True)
    assert COOKIE not in browser.cookies

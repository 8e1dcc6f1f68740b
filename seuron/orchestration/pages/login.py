"""Logging a browser in with the token of the embedded deployment, by a link: Airflow's own login wants it typed.

The token is the password of Airflow's user `owner`. Airflow checks it, and hides it in its log of requests.
"""

from __future__ import annotations

from airflow.api_fastapi.app import get_auth_manager, get_cookie_path
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.auth.managers.simple.datamodels.login import LoginBody
from airflow.api_fastapi.auth.managers.simple.services.login import SimpleAuthManagerLogin
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from seuron.deployment.home import OWNER

login_router = APIRouter()

#: Nothing keeps the address with the token, and no other site is sent it.
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


@login_router.get("/login")
def login(request: Request, token: str, again: bool = False) -> Response:
    """Set Airflow's cookie and go to its first page; 401 for a wrong token."""
    if not isinstance(get_auth_manager(), SimpleAuthManager):
        raise HTTPException(404, "this Airflow has another login; see its first page")
    if COOKIE_NAME_JWT_TOKEN in request.cookies and not hasattr(request.state, "user") and not again:
        # Of another deployment on this host, or too old. Airflow removes it with this answer, and would remove
        # one that is set now as well.
        return RedirectResponse(str(request.url.include_query_params(again=1)), 303, _HEADERS)
    try:
        made = SimpleAuthManagerLogin.create_token(LoginBody(username=OWNER, password=token))
    except HTTPException:
        return PlainTextResponse("the token is wrong; `seuron up` prints the link with the right one\n", 401, _HEADERS)
    path, secure = get_cookie_path(), request.url.scheme == "https"
    response = RedirectResponse(path, 303, _HEADERS)
    response.set_cookie(COOKIE_NAME_JWT_TOKEN, made, path=path, secure=secure, httponly=True, samesite="lax")
    return response

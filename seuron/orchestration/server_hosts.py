"""The names that Airflow's API server answers to, from its settings."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf

from seuron.errors import ParameterErrors

#: Names beyond those that the deployment uses itself, with commas between; an option of Airflow as any other.
SECTION, OPTION = "seuron", "allowed_hosts"
SETTING = f"{SECTION}.{OPTION}"


def allowed_hosts() -> tuple[str, ...]:
    """This machine's names to itself, those by which tasks and browsers reach the server, and those of the setting.

    Raises ParameterErrors for an entry that is no plain name.
    """
    from seuron.web.allowed_hosts import LOOPBACK

    addresses = (("core", "execution_api_server_url"), ("api", "base_url"))
    found = (urlsplit(str(conf.get(*address, fallback="") or "")).hostname for address in addresses)
    added = [name.strip() for name in str(conf.get(SECTION, OPTION, fallback="")).split(",") if name.strip()]
    problems = [
        f"{SETTING}: {name!r} is no name of a host; give it as airflow.example.org or 10.0.0.2, without scheme and port"
        for name in added
        if "*" in name or urlsplit(f"//{name}").hostname != name.lower().strip("[]")
    ]
    if problems:
        raise ParameterErrors(problems, "Airflow's settings")
    return (*LOOPBACK, *filter(None, found), *added)


def host_check() -> dict[str, Any]:
    """The check as Airflow's plugins name a middleware of the whole server, `/auth` and `/execution` too."""
    from seuron.web.allowed_hosts import AllowedHostsMiddleware

    kwargs = {"hosts": allowed_hosts(), "setting": SETTING}
    return {"name": "seuron allowed hosts", "middleware": AllowedHostsMiddleware, "kwargs": kwargs}

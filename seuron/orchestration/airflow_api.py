"""Where this deployment's REST API is, seen from a task, and how a task logs in to it.

Steps of the scaling count what waits by queue. A task's own connection to Airflow (the task SDK) counts
instances by state and node, not by queue, and shows neither runs of other DAGs nor events, so they ask the REST API.
"""

from __future__ import annotations

import os

import httpx
from airflow.configuration import conf

from seuron.airflow_rest.login import login_from
from seuron.errors import RunError

_EXECUTION = "/execution"


def airflow_url() -> str:
    """The address that tasks reach Airflow at; `api.base_url` is for browsers, which may be elsewhere."""
    url = str(conf.get("core", "execution_api_server_url", fallback="") or "").rstrip("/")
    if not url.endswith(_EXECUTION):
        raise RunError(
            f"Airflow's `core.execution_api_server_url` is {url!r}; it should be http://HOST:PORT/execution/, "
            "as set by `seuron up` and docker-compose.yml"
        )
    return url.removesuffix(_EXECUTION)


def airflow_login() -> httpx.Auth | None:
    """By the files that the environment names; None where it names none."""
    return login_from(os.environ, airflow_url())

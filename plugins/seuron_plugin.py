"""The pages Runs and Volume, at home in Airflow's web UI, who may ask its server, and the notes that runs leave.

Airflow loads this file in every process, each task's too, so what only the API server needs is loaded
when it asks for it.
"""

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from seuron.orchestration import run_notes
from seuron.orchestration.server_hosts import host_check
from seuron.orchestration.views import PREFIX, views


class SeuronPlugin(AirflowPlugin):
    """Registers what seuron.orchestration defines."""

    name = "seuron"
    listeners = [run_notes]  # noqa: RUF012

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The application with the pages' routes."""
        from seuron.orchestration.pages import pages_app

        return [{"name": "seuron", "app": pages_app(), "url_prefix": PREFIX}]

    @property
    def fastapi_root_middlewares(self) -> list[dict[str, Any]]:
        """What stands before every route of the API server."""
        return [host_check()]

    @property
    def external_views(self) -> list[dict[str, Any]]:
        """The pages in the navigation, and on the page of a run."""
        return views()

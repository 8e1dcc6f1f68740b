"""Where the pages stand in Airflow's web UI: in its navigation, and on the page of a run."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf

#: Where the pages are, below Airflow's root.
PREFIX = "/seuron"


def views() -> list[dict[str, Any]]:
    """The pages as Airflow's plugins name them; `{DAG_ID}` and `{RUN_ID}` are filled in by the web UI."""
    root = urlsplit(str(conf.get("api", "base_url", fallback=""))).path.rstrip("/") + PREFIX
    return [
        _view("Runs", f"{root}/runs", "seuron-runs", f"{root}/static/runs", nav_top_level=True),
        _view("Volume", f"{root}/volume", "seuron-volume", f"{root}/static/volume", nav_top_level=True),
        _view(
            "Volume",
            f"{root}/volume?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
            "seuron-run-volume",
            f"{root}/static/volume",
            destination="dag_run",
        ),
    ]


def _view(name: str, href: str, route: str, icon: str, **more: Any) -> dict[str, Any]:
    icons = {"icon": f"{icon}.svg", "icon_dark_mode": f"{icon}dark.svg"}
    return {"name": name, "href": href, "url_route": route, "destination": "nav", **icons, **more}

"""Neuroglancer on this machine, without Airflow or a network: a server, the link to a run, and its start and stop."""

from seuron.web.focus import Focus
from seuron.web.viewer.links import focused_links, view_run, viewer_link
from seuron.web.viewer.process import ensure_server, running_server, stop_server

__all__ = ["Focus", "ensure_server", "focused_links", "running_server", "stop_server", "view_run", "viewer_link"]

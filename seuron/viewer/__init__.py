"""Neuroglancer on this machine, without a network: a server, the link to a run, and its start and stop."""

from seuron.viewer.background import ensure_server, stop_server
from seuron.viewer.server import serve
from seuron.viewer.state import Focus, register_run, view_run, viewer_link, viewer_state

__all__ = ["Focus", "ensure_server", "register_run", "serve", "stop_server", "view_run", "viewer_link", "viewer_state"]

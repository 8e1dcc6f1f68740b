"""Links that open a run in Neuroglancer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from seuron.web.focus import Focus
from seuron.web.viewer.process import ensure_server
from seuron.web.viewer.registry import RunView, ViewRegistry

if TYPE_CHECKING:
    from seuron.engine.run import Run


def viewer_link(key: str, base_url: str) -> str:
    """The address that opens a registered view; it stays good while the server keeps its port."""
    return f"{base_url}/v/{key}/#!{base_url}/state/{key}.json"


def view_run(run: Run, state_folder: str | Path, focus: Focus | None = None) -> str:
    """Start the server if needed, register the run, and return the link to open.

    What the run has by then is shown when the page is loaded.
    """
    base_url = ensure_server(state_folder)
    return viewer_link(ViewRegistry(state_folder).add(RunView(run.output, focus)), base_url)

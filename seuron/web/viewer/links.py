"""Links that open a run in Neuroglancer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from seuron.errors import NotFoundError
from seuron.web.focus import Focus
from seuron.web.neuroglancer_state import neuroglancer_state
from seuron.web.snapshot import SnapshotCache
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


def focused_links(run: Run, state_folder: str | Path, places: Sequence[Focus]) -> list[str]:
    """A link to each of many places in a run, the viewer's whole state in it: the run is registered once.

    Starts the server if needed. Raises NotFoundError while the run has no layer to show.
    """
    base_url = ensure_server(state_folder)
    key = ViewRegistry(state_folder).add(RunView(run.output))
    snapshot = SnapshotCache().get(run.output)
    data = f"{base_url}/data/{key}"
    states = (
        neuroglancer_state(snapshot, lambda name, version: f"{data}/{version}/{quote(name)}", focus)
        if snapshot is not None
        else {}
        for focus in places
    )
    found = [f"{base_url}/v/{key}/#!{quote(json.dumps(state, separators=(',', ':')))}" for state in states if state]
    if len(found) < len(places):
        raise NotFoundError(f"{run.output} has no layer to show; run it to its end first")
    return found

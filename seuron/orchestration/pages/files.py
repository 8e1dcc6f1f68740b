"""Files that the pages send: their own, Neuroglancer's client, blocks of layers, and a run's report.

No name from the browser becomes a path before it is checked: a file of the client or of the pages is looked up
by its whole name, a block has the form of a precomputed volume's and lies below the layer's folder.
"""

from __future__ import annotations

import re
from importlib.resources import files

from fastapi import HTTPException
from fastapi.responses import FileResponse, HTMLResponse, Response

from seuron.pages.layers import INFO, layer_folder, layer_info
from seuron.pages.look import Look
from seuron.viewer.server import CONTENT_TYPES, client_file, find_file

#: What a file of a precomputed volume is called: its info, a block of a scale, a shard of one.
VOLUME_FILE = re.compile(r"info|[\w.-]+/(?:-?\d+--?\d+_-?\d+--?\d+_-?\d+--?\d+|[0-9a-f]+\.shard)")
STATIC_FILE = re.compile(r"[a-z]+\.(?:js|css|svg)")
#: An address changes with the content, so that it may be kept.
KEPT = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
FRESH = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}

#: The wheel's client wants to talk to a Python process that made it. There is none: it is told that all is well.
_ALONE = b"""<script>
window.EventSource = class { constructor() { setTimeout(() => this.onopen && this.onopen()); } close() {} };
const send = window.fetch;
window.fetch = (to, how) => how && how.method === "POST" && String(to.url || to).startsWith(location.origin)
  ? Promise.resolve(new Response("", { status: 412 })) : send(to, how);
</script>"""


def page(name: str) -> HTMLResponse:
    """One of the two pages."""
    return HTMLResponse(_own(f"templates/{name}.html"), headers={**FRESH, "X-Frame-Options": "SAMEORIGIN"})


def static(name: str) -> Response:
    """A script, a style or a picture of the pages."""
    if not STATIC_FILE.fullmatch(name) or not (files("seuron.pages") / "static" / name).is_file():
        raise HTTPException(404, f"the pages have no file {name!r}")
    kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}[name.rsplit(".", 1)[-1]]
    return Response(_own(f"static/{name}"), media_type=kind, headers=FRESH)


def client(name: str) -> Response:
    """A file of Neuroglancer's client, which comes with its wheel."""
    content = client_file(name or "index.html")
    if content is None:
        raise HTTPException(404, f"the client has no file {name!r}")
    if not name:
        return HTMLResponse(content.replace(b"<head>", b"<head>" + _ALONE, 1), headers=FRESH)
    kind = CONTENT_TYPES.get("." + name.rsplit(".", 1)[-1], "application/octet-stream")
    return Response(content, media_type=kind, headers=KEPT)


def block(look: Look, layer: str, name: str) -> Response:
    """A file of a run's layer on this machine."""
    folder = layer_folder(look.run, layer)
    found = find_file(folder, name) if folder is not None and VOLUME_FILE.fullmatch(name) else None
    if found is None:
        raise HTTPException(404, f"the layer {layer!r} has no file {name!r}")
    path, encoding = found
    if name == INFO and encoding is None:
        content = layer_info(look, layer, path.read_bytes())
        return Response(content, media_type="application/json", headers=FRESH)
    headers = KEPT if encoding is None else {**KEPT, "Content-Encoding": encoding}
    return FileResponse(path, media_type="application/octet-stream", headers=headers)


def report(look: Look) -> HTMLResponse:
    """The report of a run; nothing in it can reach the API with the reader's rights."""
    content = look.run.storage.get("report.html")
    if content is None:
        raise HTTPException(404, "the run has no report yet")
    return HTMLResponse(content, headers={**FRESH, "Content-Security-Policy": "sandbox allow-scripts allow-popups"})


def _own(name: str) -> bytes:
    return (files("seuron.pages") / name).read_bytes()

"""Responses with files: of the pages, of Neuroglancer's client, of a run's layers, and its report.

No name from the browser becomes a path before it is checked: a file of the client or of the pages is found
by its whole name, one of a layer has the form of a volume's and lies below the layer's folder.
"""

from __future__ import annotations

import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from seuron.errors import DamagedFileError
from seuron.web.layers import METADATA_FILE, layer_folder, layer_info
from seuron.web.snapshot import RunSnapshot

CLIENT_FILE = re.compile(r"[a-z0-9][A-Za-z0-9_.-]*\.(?:js|map|css|wasm|html)")
STATIC_FILE = re.compile(r"[a-z]+\.(?:js|css|svg)")
#: The name of a file in a volume: one of metadata, a shard (of meshes and skeletons beside their metadata), a chunk of
#: an array (`0.0.0`, `c.0.0.0`), or, in a subfolder, what begins with a number (blocks of a scale, chunks of an array,
#: meshes and skeletons of a segment). No other part of it begins with a dot.
METADATA = r"info|zarr\.json|\.zarray|\.zattrs|\.zgroup|attributes\.json"
VOLUME_FILE = re.compile(
    rf"(?:\w[\w.-]*/)*(?:{METADATA}|[0-9a-f]+\.shard)|(?:c\.)?\d+(?:\.\d+)*|(?:\w[\w.-]*/)+-?\d[\w.:-]*"
)
#: One range of bytes.
RANGE = re.compile(r"bytes=(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})")

CONTENT_TYPES = {
    "css": "text/css",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript",
    "map": "application/json",
    "svg": "image/svg+xml",
    "wasm": "application/wasm",
}
#: An address changes with the content, so that it may be cached.
CACHED = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
FRESH = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}

#: The wheel's client expects a Python process that made it, and warns without one. There is none: requests to it
#: are answered here as if all were well.
_WITHOUT_PYTHON = b"""<script>
window.EventSource = class { constructor() { setTimeout(() => this.onopen && this.onopen()); } close() {} };
const send = window.fetch;
window.fetch = (to, how) => how && how.method === "POST" && String(to.url || to).startsWith(location.origin)
  ? Promise.resolve(new Response("", { status: 412 })) : send(to, how);
</script>"""


def page(name: str) -> Response:
    """One of the pages in Airflow."""
    content = (files("seuron.web") / "templates" / f"{name}.html").read_bytes()
    return HTMLResponse(content, headers={**FRESH, "X-Frame-Options": "SAMEORIGIN"})


def static_file(name: str) -> Response:
    """A script, a style or a picture of the pages; raises HTTPException 404."""
    path = files("seuron.web") / "static" / name
    if not STATIC_FILE.fullmatch(name) or not _is_readable(path):
        raise HTTPException(404, f"the pages have no file {name!r}")
    return Response(path.read_bytes(), media_type=_content_type(name), headers=FRESH)


def client_file(name: str) -> Response:
    """A file of Neuroglancer's client, which comes with its wheel; its page for no name. Raises HTTPException 404."""
    asked = name or "index.html"
    path = files("neuroglancer") / "static" / "client" / asked
    if not CLIENT_FILE.fullmatch(asked) or not _is_readable(path):
        raise HTTPException(404, f"the neuroglancer package has no file {asked!r}; is it installed from its wheel?")
    content = path.read_bytes()
    if not name:
        return HTMLResponse(content.replace(b"<head>", b"<head>" + _WITHOUT_PYTHON, 1), headers=FRESH)
    return Response(content, media_type=_content_type(name), headers=CACHED)


def layer_file(snapshot: RunSnapshot, layer: str, name: str) -> Response:
    """A file of a run's layer on this machine; raises HTTPException 404."""
    folder = layer_folder(snapshot.run, layer)
    path = volume_file(folder, name) if folder is not None else None
    if path is None:
        raise HTTPException(404, f"the layer {layer!r} has no file {name!r}")
    if name in METADATA_FILE.values() and path.name == name:
        try:
            content = layer_info(snapshot, layer, path.read_bytes())
        except DamagedFileError as error:
            raise HTTPException(409, str(error)) from error
        return Response(content, media_type="application/json", headers=FRESH)
    headers = {**CACHED, "Content-Encoding": "gzip"} if path.suffix == ".gz" else CACHED
    return _VolumeFileResponse(path, media_type="application/octet-stream", headers=headers)


def volume_file(folder: Path, name: str) -> Path | None:
    """Where a file of the volume in `folder` is, as `name` or, compressed, as `name.gz`.

    None when it is not there, has not the form of a volume's file, or is a link to outside the folder.
    """
    if not VOLUME_FILE.fullmatch(name):
        return None
    base = folder.resolve()
    paths = (base / name, base / f"{name}.gz")
    return next((path for path in paths if _is_readable(path) and path.resolve().is_relative_to(base)), None)


def report(snapshot: RunSnapshot) -> Response:
    """The report of a run; nothing in it can reach the API with the reader's rights. Raises HTTPException 404."""
    content = snapshot.run.storage.get("report.html")
    if content is None:
        raise HTTPException(404, "the run has no report yet")
    return HTMLResponse(content, headers={**FRESH, "Content-Security-Policy": "sandbox allow-scripts allow-popups"})


def _is_readable(path: Any) -> bool:
    """Whether a path is a file that can be read; a name that the file system does not take is that of none."""
    try:
        return bool(path.is_file()) and os.access(path, os.R_OK)
    except OSError:
        return False


class _VolumeFileResponse(FileResponse):
    """A file, or one range of it, as Neuroglancer asks for; other `Range` headers are answered 416."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Headers(scope=scope).getlist("range")
        if asked and (len(asked) > 1 or not RANGE.fullmatch(asked[0])):
            await PlainTextResponse("give one range of bytes, such as bytes=0-99", 416)(scope, receive, send)
            return
        await super().__call__(scope, receive, send)


def _content_type(name: str) -> str:
    return CONTENT_TYPES[name.rsplit(".", 1)[-1]]

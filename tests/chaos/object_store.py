"""A small object store in memory that speaks as much of S3 as boto3 asks for, and can be made slow or fail.

Objects are whole or absent, as in the real ones. `delay` is what each request waits, and of every
`refuse_each` requests one is answered by 503 SlowDown. `parts` names the objects of which parts were requested.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

#: What a client needs to know to sign its requests; the store does not look at signatures.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_SESSION_TOKEN": "none",
    "AWS_DEFAULT_REGION": "us-east-1",
}
#: cloud-volume takes no address with a port, but a name that stands for one.
ALIAS = "bench"
_XML = '<?xml version="1.0" encoding="UTF-8"?>'
_KEPT_HEADERS = ("Content-Type", "Content-Encoding", "Cache-Control")


@dataclass(frozen=True)
class StoredObject:
    """The bytes as they are stored, and the headers that came with them."""

    content: bytes
    headers: dict[str, str]

    @property
    def tag(self) -> str:
        return hashlib.md5(self.content).hexdigest()


@dataclass
class ObjectStore:
    """A running store: `with ObjectStore() as store: ... store.url("bucket", "path")`."""

    delay: float = 0.0
    refuse_each: int = 0
    objects: dict[str, StoredObject] = field(default_factory=dict)
    requests: int = 0
    refused: int = 0
    parts: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.lock = threading.Lock()
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.store = self
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def settings(self, folder: Path) -> dict[str, str]:
        """Environment variables by which cloud-files and cloud-volume find the store, in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        host = f"s3://http://127.0.0.1:{self._http.server_address[1]}/"
        (folder / "aliases.json").write_text(json.dumps({ALIAS: {"host": host}}))
        return {**CREDENTIALS, "CLOUD_FILES_DIR": str(folder)}

    def url(self, *names: str) -> str:
        """What cloud-files takes as the path of `names`, the first of which is the bucket."""
        return f"{ALIAS}://" + "/".join(names)

    def below(self, *names: str) -> dict[str, bytes]:
        """The stored bytes of the objects whose keys begin with `names`, by the rest of their keys."""
        prefix = "/".join(names) + "/"
        with self.lock:
            return {
                key.removeprefix(prefix): found.content for key, found in self.objects.items() if key.startswith(prefix)
            }

    def refuses(self) -> bool:
        """Count a request, and say whether this is one that is refused."""
        with self.lock:
            self.requests += 1
            refused = bool(self.refuse_each) and self.requests % self.refuse_each == 0
            self.refused += refused
        return refused


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    store: ObjectStore


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    #: An answer is one packet that is sent at once; else each waits 40 ms for the other side.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def handle_expect_100(self) -> bool:
        """Say at once that the body may come; the client waits a second for it."""
        told = super().handle_expect_100()
        self.wfile.flush()
        return told

    def log_message(self, *words: Any) -> None:
        """Be silent."""

    def _answer(self) -> None:
        store = self.server.store
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(store.delay)
        if store.refuses():
            self._send(503, f"{_XML}<Error><Code>SlowDown</Code><Message>asked for</Message></Error>".encode())
            return
        address = urlsplit(self.path)
        key, query = unquote(address.path).lstrip("/"), parse_qs(address.query, keep_blank_values=True)
        if self.command == "PUT" and "x-amz-copy-source" in self.headers:
            self._copy(unquote(self.headers["x-amz-copy-source"]).lstrip("/"), key)
        elif self.command == "PUT":
            self._put(key, body)
        elif self.command == "DELETE":
            self._delete([key])
        elif self.command == "POST" and "delete" in query:
            self._delete([f"{key.rstrip('/')}/{name}" for name in _keys(body)])
        elif "list-type" in query:
            self._list(key.rstrip("/") + "/", query.get("prefix", [""])[0], query.get("delimiter", [""])[0])
        else:
            self._get(key)

    def _put(self, key: str, body: bytes) -> None:
        headers = {name: self.headers[name] for name in _KEPT_HEADERS if name in self.headers}
        made = StoredObject(body, headers)
        with self.server.store.lock:
            self.server.store.objects[key] = made
        self._send(200, headers={"ETag": f'"{made.tag}"'})

    def _copy(self, source: str, key: str) -> None:
        """Copy an object within the store, headers included."""
        with self.server.store.lock:
            found = self.server.store.objects.get(source)
            if found is not None:
                self.server.store.objects[key] = found
        if found is None:
            self._send(404, f"{_XML}<Error><Code>NoSuchKey</Code><Key>{escape(source)}</Key></Error>".encode())
            return
        self._send(200, f'{_XML}<CopyObjectResult><ETag>"{found.tag}"</ETag></CopyObjectResult>'.encode())

    def _delete(self, keys: list[str]) -> None:
        with self.server.store.lock:
            for key in keys:
                self.server.store.objects.pop(key, None)
        self._send(*((204, b"") if self.command == "DELETE" else (200, f"{_XML}<DeleteResult/>".encode())))

    def _get(self, key: str) -> None:
        with self.server.store.lock:
            found = self.server.store.objects.get(key)
        if found is None:
            self._send(404, f"{_XML}<Error><Code>NoSuchKey</Code><Key>{escape(key)}</Key></Error>".encode())
            return
        content, status, headers = found.content, 200, {**found.headers, "ETag": f'"{found.tag}"'}
        if part := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            with self.server.store.lock:
                self.server.store.parts.append(key)
            first, last = int(part[1]), int(part[2] or len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        self._send(status, content, {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", **headers})

    def _list(self, bucket: str, prefix: str, delimiter: str) -> None:
        with self.server.store.lock:
            keys = {
                key.removeprefix(bucket): len(found.content)
                for key, found in self.server.store.objects.items()
                if key.startswith(bucket + prefix)
            }
        rests = {key: key.removeprefix(prefix) for key in keys}
        deeper = {key for key, rest in rests.items() if delimiter and delimiter in rest}
        common = {prefix + rests[key].partition(delimiter)[0] + delimiter for key in deeper}
        files = sorted((key, size) for key, size in keys.items() if key not in deeper)
        text = "".join(f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size></Contents>" for key, size in files)
        text += "".join(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(common))
        self._send(200, f"{_XML}<ListBucketResult><IsTruncated>false</IsTruncated>{text}</ListBucketResult>".encode())

    def _send(self, status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client was killed meanwhile


def _keys(body: bytes) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(body).iter() if node.tag.endswith("Key")]

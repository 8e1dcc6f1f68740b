"""Files for a browser: only those that are meant, with the types and headers that it needs."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from asgi import AppClient
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from seuron.engine.run import Run
from seuron.web.files import client_file, layer_file, page, report, static_file, volume_file
from seuron.web.snapshot import RunSnapshot

#: Precomputed: an info, blocks, shards, meshes. Zarr and N5: metadata and chunks.
FILES = (
    *("info", "8_8_8/0-64_-64-0_0-64", "8_8_8/0a.shard", "mesh/info", "mesh/17:0", "mesh/17.index"),
    *("zarr.json", "0/zarr.json", "0/c/0/1/2", ".zattrs", ".zgroup", "1/.zarray", "1/0.1.2", "0.1.2", "c.0.1.2"),
    *("attributes.json", "s0/attributes.json", "s0/0/1/2"),
)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """The folder of a volume with files of all forms, hidden ones and links to outside."""
    folder = tmp_path / "volume"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "8_8_8/64-128_0-64_0-64.gz").write_bytes(gzip.compress(b"x"))
    (folder / ".hidden").mkdir()
    (folder / ".hidden/info").write_bytes(b"classified")
    (tmp_path / "info").write_bytes(b"classified")
    (folder / "8_8_8/0-1_0-1_0-1").symlink_to(tmp_path / "info")
    (folder / "8_8_8/notes").write_bytes(b"classified")
    return folder


@pytest.mark.parametrize("name", FILES)
def test_files_of_a_volume_are_found(volume: Path, name: str) -> None:
    """By their names, in every format."""
    assert volume_file(volume, name) == volume / name


def test_compressed_files_answer_for_their_names(volume: Path) -> None:
    """NAME.gz answers for NAME."""
    assert volume_file(volume, "8_8_8/64-128_0-64_0-64") == volume / "8_8_8/64-128_0-64_0-64.gz"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "8_8_8",
        "8_8_8/",
        "../info",
        "8_8_8/../../info",
        "8_8_8/../info",
        "./info",
        "/etc/passwd",
        "//etc/passwd",
        ".hidden/info",
        "8_8_8/0-1_0-1_0-1",
        "8_8_8/notes",
        "8_8_8/9-9_0-1_0-1",
        "info\0",
        "info\n",
        "8_8_8/\0",
    ],
)
def test_no_other_name_becomes_a_path(volume: Path, name: str) -> None:
    """No way up, no link to outside, no hidden file, no folder, nothing that is no file of a volume."""
    assert volume_file(volume, name) is None


def test_the_client_comes_from_the_wheel() -> None:
    """Its page, with the script that stands in for a Python process, and all that the page names."""
    content = bytes(client_file("").body)
    assert content.index(b"EventSource") < content.index(b'src="')
    names = [part.split(b'"')[0].decode() for part in content.split(b'src="')[1:]]
    assert names
    for name in names:
        answer = client_file(name)
        assert answer.media_type == "text/javascript"
        assert answer.headers["Cache-Control"] != "no-cache"
    for name in ("../__init__.py", "missing.js", "a/b.js", "..", "/etc/passwd"):
        with pytest.raises(HTTPException):
            client_file(name)


def test_the_pages_have_all_that_they_name() -> None:
    """Every script, style and picture of both pages is there; nothing else of the package has an address."""
    for name in ("runs", "volume"):
        content = bytes(page(name).body).decode()
        files = [part.split('"')[0] for part in content.split('"static/')[1:]]
        assert "common.js" in files
        for file in [*files, f"{name}.svg", f"{name}dark.svg"]:
            assert static_file(file).headers["X-Content-Type-Options"] == "nosniff"
    for name in ("../__init__.py", "nothing.js", "..", "common.js/"):
        with pytest.raises(HTTPException):
            static_file(name)


def test_a_block_is_sent_whole_in_parts_or_as_its_length(small_run: Run) -> None:
    """Compressed blocks say so; shards are read by HTTP Range; HEAD gives the length."""
    snapshot = RunSnapshot(small_run, "version", frozenset(task.id for task in small_run.plan.tasks))
    folder = Path(small_run.layer("segmentation").removeprefix("file://"))
    packed = next((folder / "8_8_8").glob("*.gz"))
    (folder / "8_8_8/0.shard").write_bytes(bytes(range(100)))

    def send(request: Request) -> Response:
        return layer_file(snapshot, "segmentation", request.path_params["name"])

    client = AppClient(Starlette(routes=[Route("/{name:path}", send)]))
    block = client.get(f"/8_8_8/{packed.name.removesuffix('.gz')}")
    assert block.headers["Content-Encoding"] == "gzip"
    assert block.content == gzip.decompress(packed.read_bytes())
    part = client.get("/8_8_8/0.shard", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    head = client.request("HEAD", "/8_8_8/0.shard")
    assert (head.content, head.headers["Content-Length"]) == (b"", "100")
    assert client.get("/8_8_8/nothing").status_code == 404


def test_a_report_has_no_rights_of_its_reader(small_run: Run) -> None:
    """It is sent in a sandbox; before it is written there is none."""
    snapshot = RunSnapshot(small_run, "version", frozenset())
    with pytest.raises(HTTPException):
        report(snapshot)
    small_run.storage.put("report.html", b"<p>scores</p>")
    try:
        answer = report(snapshot)
        assert bytes(answer.body) == b"<p>scores</p>"
        assert "allow-same-origin" not in answer.headers["Content-Security-Policy"]
    finally:
        small_run.storage.delete(["report.html"])

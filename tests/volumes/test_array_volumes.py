"""OME-Zarr, Zarr and N5 used where they lie: voxels, place and size, whatever the axes, chunks, shards and codecs."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import zarr
from chaos.object_store import ObjectStore
from volumes.array_examples import (
    BOX,
    CORNER,
    EXAMPLES,
    RESOLUTION,
    VOXELS,
    Example,
    ome,
    ome_attributes,
    ordered,
    plain,
)

from seuron.box import Box
from seuron.errors import DataError, PathNotAllowedError, VolumeError
from seuron.storage import Storage
from seuron.volumes import Volume, open_volume
from seuron.volumes.fingerprints import content_digest, fingerprints_of


def check(volume: Volume, example: Example) -> None:
    """A volume is the example's, whole and in a part that cuts through chunks."""
    assert (volume.box, volume.resolution_nm, volume.channels) == (example.box, RESOLUTION, 1)
    assert (volume.dtype, volume.kind, getattr(volume, "about", "")) == (np.dtype("u1"), "image", example.about)
    part = Box.from_shape([c + 3 for c in example.box.minimum], (31, 20, 22))
    for box in (example.box, part):
        read = volume.read(box)
        assert read.flags.f_contiguous
        np.testing.assert_array_equal(read[..., 0], VOXELS[box.within(example.box)])
    assert volume.missing_blocks(volume.box) == []


def digests(folder: Path) -> dict[str, str]:
    """The hash of every file below a folder, and when it was written."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(p): f"{hashlib.sha256(p.read_bytes()).hexdigest()} {p.stat().st_mtime_ns}" for p in files}


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_volumes_are_read_where_they_lie(name: str, tmp_path: Path) -> None:
    """Voxels, corner and voxel size are what the file says, and no file is touched."""
    example = EXAMPLES[name]
    example.make(tmp_path)
    before = digests(tmp_path)
    volume = open_volume(str(tmp_path / example.path))
    check(volume, example)
    assert open_volume(volume.path, volume.mip).box == volume.box
    found = fingerprints_of(volume, volume.box)
    assert not found.has_holes(volume.box)
    content_digest(volume, volume.box, "error")
    volume.check_decoding(volume.box)
    assert digests(tmp_path) == before


@pytest.mark.parametrize("name", ["0.4, slashes", "0.4, tczyx", "0.5, shards", "0.5, a scale by a colon", "N5, scales"])
def test_volumes_in_object_stores_are_read_through_the_same_door(name: str, tmp_path: Path, store: ObjectStore) -> None:
    """The same numbers from a bucket; of a shard only parts are asked for."""
    example, bucket = EXAMPLES[name], uuid4().hex
    example.make(tmp_path)
    remote = Storage(store.url("bucket", bucket))
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        remote.put(str(file.relative_to(tmp_path)), file.read_bytes())
    volume = open_volume(f"{remote.path}/{example.path}")
    check(volume, example)
    assert not fingerprints_of(volume, volume.box).has_holes(volume.box)
    if volume.is_sharded:
        assert any("/c/" in part for part in store.parts)


def test_codecs_that_tensorstore_lacks_are_read_by_zarr(tmp_path: Path) -> None:
    """Zarr 2's filters are numcodecs': a delta filter is undone."""
    from numcodecs import Delta

    ome("zyx", 2, filters=[Delta(dtype="u1")])(tmp_path)
    check(open_volume(str(tmp_path / "image.zarr")), Example(ome(), "OME-Zarr 0.4"))


@pytest.mark.parametrize("centres", [True, False])
def test_coarser_scales_lie_on_the_finest(centres: bool, tmp_path: Path) -> None:
    """Translations of centres and of corners both give the corner that a precomputed pyramid has."""
    group = zarr.open_group(tmp_path / "image.zarr", mode="w", zarr_format=3)
    for mip, factor in enumerate((1, 2, 4)):
        voxels = ordered("zyx")[::factor, ::factor, ::factor]
        group.create_array(str(mip), data=voxels, chunks=(16, 16, 16))
    image = ome_attributes("zyx", ["0", "1", "2"], (1, 2, 4), centres=centres, unit="nanometer")
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    path = str(tmp_path / "image.zarr")
    assert [open_volume(path, mip).box.minimum for mip in range(3)] == [CORNER, (15, 10, 5), (8, 5, 3)]
    assert open_volume(path, 2).resolution_nm == (16.0, 16.0, 160.0)
    assert open_volume(f"{path}:1").box == open_volume(path, 1).box
    with pytest.raises(VolumeError, match="3 scales, and mip 7 is none of 0 to 2"):
        open_volume(path, 7)


@pytest.mark.parametrize(
    ("dtype", "label", "kind", "origin"),
    [
        ("u2", False, "image", ""),
        ("u2", True, "segmentation", "attribute `image-label`"),
        ("u8", False, "segmentation", ""),
    ],
)
def test_kinds_are_what_metadata_say_and_else_follow_from_the_type(
    dtype: str, label: bool, kind: str, origin: str, tmp_path: Path
) -> None:
    """`image-label` marks labels; without it 32 and 64 bit integers are labels, and that is known to be a guess."""
    group = zarr.open_group(tmp_path / "l.zarr", mode="w", zarr_format=3)
    group.create_array("0", data=ordered("zyx").astype(dtype))
    more: dict[str, Any] = {"image-label": {}} if label else {}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [ome_attributes("zyx", ["0"])], **more}
    volume = open_volume(str(tmp_path / "l.zarr"))
    assert (volume.kind, volume.kind_origin, volume.dtype) == (kind, origin, np.dtype(dtype))


def test_channels_come_last(tmp_path: Path) -> None:
    """Three channels of an array with c first, each in files of its own: one block has three files."""
    voxels = np.stack([VOXELS, VOXELS // 2, VOXELS // 3], axis=-1)
    group = zarr.open_group(tmp_path / "c.zarr", mode="w", zarr_format=3)
    group.create_array("0", data=voxels.transpose(3, 2, 1, 0), chunks=(1, 16, 16, 16))
    group.attrs["ome"] = {"version": "0.5", "multiscales": [ome_attributes("czyx", ["0"])]}
    volume = open_volume(str(tmp_path / "c.zarr"))
    np.testing.assert_array_equal(volume.read(volume.box), voxels)
    first = volume.blocks(volume.box)[0]
    assert volume.files(first) == tuple(f"0/c/{channel}/0/0/0" for channel in range(3))
    (tmp_path / "c.zarr/0/c/1/0/0/0").unlink()
    assert volume.missing_blocks(volume.box) == [first]
    assert fingerprints_of(volume, volume.box).has_holes(first)


def test_what_is_not_stored_is_an_error_or_the_fill_value(tmp_path: Path) -> None:
    """A chunk without a file is refused and named, unless the run says that it means what Zarr says."""
    ome(fill_value=7)(tmp_path)
    volume = open_volume(str(tmp_path / "image.zarr"))
    lost = volume.blocks(volume.box)[1]
    (tmp_path / "image.zarr" / volume.block_name(lost)).unlink()
    assert volume.missing_blocks(volume.box) == [lost]
    with pytest.raises(DataError, match=r"0/c/0/0/1; programs that write Zarr may leave out .* `missing_blocks`"):
        volume.read(volume.box)
    expected = VOXELS.copy()
    expected[lost.within(BOX)] = 7
    np.testing.assert_array_equal(volume.read(BOX, missing="zero")[..., 0], expected)


@pytest.mark.parametrize("name", ["0.5, zyx", "0.5, shards", "N5, scales"])
def test_a_damaged_chunk_is_named(name: str, tmp_path: Path) -> None:
    """Bytes that are no chunk are an error that names the file, also when one block is tried before a run."""
    example = EXAMPLES[name]
    example.make(tmp_path)
    volume = open_volume(str(tmp_path / example.path))
    middle = Box.from_shape([(a + b) // 2 for a, b in zip(BOX.minimum, BOX.maximum, strict=True)], (1, 1, 1))
    block = volume.blocks(middle if volume.box == BOX else Box.from_shape((25, 20, 15), (1, 1, 1)))[0]
    (tmp_path / example.path / volume.block_name(block)).write_bytes(b"these bytes are no chunk of any kind")
    with pytest.raises(DataError, match=f"{volume.block_name(block)} is damaged"):
        volume.read(volume.box)
    with pytest.raises(DataError, match="is damaged"):
        volume.check_decoding(volume.box)


def _edited(folder: Path, name: str, **changes: Any) -> str:
    """The path of an OME-Zarr one of whose metadata files is changed."""
    ome()(folder)
    document = folder / "image.zarr" / name
    document.write_text(json.dumps(json.loads(document.read_text()) | changes))
    return str(folder / "image.zarr")


def _without_unit(folder: Path) -> str:
    image = ome_attributes("zyx", ["0"])
    for axis in image["axes"]:
        axis.pop("unit")
    return _edited(folder, "zarr.json", attributes={"ome": {"version": "0.5", "multiscales": [image]}})


def _times(folder: Path) -> str:
    group = zarr.open_group(folder / "image.zarr", mode="w", zarr_format=3)
    group.create_array("0", data=np.stack([ordered("zyx")] * 2), chunks=(1, 16, 16, 16))
    group.attrs["ome"] = {"version": "0.5", "multiscales": [ome_attributes("tzyx", ["0"])]}
    return str(folder / "image.zarr")


def _plain(folder: Path, **attributes: Any) -> str:
    plain(2, **attributes)(folder)
    return str(folder / "image.zarr")


def _file(folder: Path, name: str) -> str:
    (folder / name).write_bytes(b"\x89HDF\r\n")
    return str(folder / name)


def _group(folder: Path) -> str:
    zarr.open_group(folder / "g.zarr", mode="w").create_array("raw", shape=(1, 1, 1), dtype="u1")
    return str(folder / "g.zarr")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_without_unit, r"voxels is not known: OME scale says .* without a unit.* seuron import .* --resolution X,Y,Z"),
        (_times, r"holds 2 times; import one: seuron import .* --time 0"),
        (lambda f: _plain(f), r"do not name the 3 axes of its array .* --axes zyx --resolution X,Y,Z"),
        (lambda f: _plain(f, _ARRAY_DIMENSIONS=["z", "y", "x"]), r"no attribute of it names one.* --resolution X,Y,Z"),
        (_group, r"is a Zarr group without OME metadata. Name an array .*g.zarr:raw; there are: raw"),
        (lambda f: _file(f, "a.h5"), r"it is a file. Import it first, and give the layer: seuron import .*a.h5 LAYER"),
        (lambda f: _file(f, "a.h5") + ":raw", r"it is a file. Import it first.*a.h5:raw LAYER"),
        (lambda f: str(f / "nothing"), "nothing lies there.*seuron import"),
        (lambda f: str(f), "none of `info`.*`zarr.json`.*lies there"),
        (lambda f: _edited(f, "0/zarr.json", data_type="string"), "its data type is 'string'"),
        (lambda f: _edited(f, "0/zarr.json", chunk_grid={"name": "rectilinear"}), "chunk grid is 'rectilinear'"),
        (
            lambda f: _edited(f, "0/zarr.json", codecs=[{"name": "bytes"}, {"name": "secret"}]),
            "cannot be decoded.*secret",
        ),
        (lambda f: _edited(f, "0/zarr.json", shape="large"), "gives 'large' where sizes were expected"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(make: Any, message: str, tmp_path: Path) -> None:
    """What is missing is named, with the command that works."""
    with pytest.raises(VolumeError, match=message):
        open_volume(make(tmp_path))


def test_metadata_that_are_no_json_are_named(tmp_path: Path) -> None:
    """Half of a zarr.json is no traceback."""
    ome()(tmp_path)
    (tmp_path / "image.zarr/zarr.json").write_text('{"zarr_format": 3')
    with pytest.raises(VolumeError, match=r"`zarr\.json` is no JSON"):
        open_volume(str(tmp_path / "image.zarr"))


def test_volumes_that_are_given_are_never_written(tmp_path: Path) -> None:
    """Only layers of ours can be written."""
    ome()(tmp_path)
    volume = open_volume(str(tmp_path / "image.zarr"))
    with pytest.raises(VolumeError, match="never written"):
        volume.write(BOX, VOXELS)


@pytest.mark.parametrize("name", ["0.4, slashes", "0.5, shards", "N5, scales", "bioformats2raw"])
def test_volumes_on_web_servers_are_read_where_the_owner_allows_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that lists no folders, and sends whole files where parts are asked for, is enough."""
    example = EXAMPLES[name]
    example.make(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(tmp_path))) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}/{example.path}"
            with pytest.raises(PathNotAllowedError, match="SEURON_HTTP_HOSTS"):
                open_volume(url)
            monkeypatch.setenv("SEURON_HTTP_HOSTS", "127.0.0.1")
            check(open_volume(url), example)
        finally:
            server.shutdown()
            thread.join()


class _Files(SimpleHTTPRequestHandler):
    """Files of a folder, without a log, and without lists of what is in folders."""

    def log_message(self, format: str, *args: object) -> None:
        return

    def list_directory(self, path: object) -> None:
        self.send_error(404)

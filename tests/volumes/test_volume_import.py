"""Importing: what was understood is what is written, in bounded slabs, once, by blocks, whoever is killed meanwhile."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from seuron.box import Box, Triple
from seuron.errors import DataError, ParameterErrors, VolumeError
from seuron.volumes import open_volume, volume_import
from seuron.volumes.import_record import recorded_import
from seuron.volumes.layouts import LayerFormat
from seuron.volumes.section_spool import section_spool
from seuron.volumes.sources import open_source
from seuron.volumes.sources.source import SourceOptions, SourceVolume
from seuron.volumes.volume_import import import_volume, slabs

#: zyx, as files store it; no size is a multiple of a block.
SHAPE = (11, 30, 37)
RESOLUTION = (4.6, 4.6, 45.0)
BLOCK = (16, 16, 8)


def _grey(dtype: str = "uint8") -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 250, SHAPE).astype(dtype)


def _hdf5(path: Path, **arrays: NDArray[Any]) -> str:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name.replace("__", "/"), data=array, chunks=True)
    return str(path)


def _read(path: Path | str) -> NDArray[Any]:
    volume = open_volume(str(path))
    return volume.read(volume.box)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_voxels_and_place_arrive(tmp_path: Path) -> None:
    """Files are zyx, layers are xyz; the corner is where --offset says, also below 0; all scales are complete."""
    stack, options = np.tile(_grey(), (1, 3, 3)), SourceOptions(offset=(5, -3, 100))
    path = _hdf5(tmp_path / "a.h5", volumes__raw=stack, other=stack[:1])
    volume = import_volume(f"{path}:volumes/raw", str(tmp_path / "layer"), RESOLUTION, options=options)
    assert volume.box == Box.from_shape((5, -3, 100), stack.shape[::-1])
    assert (volume.kind, volume.dtype, volume.resolution_nm) == ("image", np.dtype("uint8"), RESOLUTION)
    np.testing.assert_array_equal(_read(volume.path)[..., 0], stack.T)
    assert volume.scales > 1
    for mip in range(volume.scales):
        scale = open_volume(volume.path, mip)
        assert scale.missing_blocks(scale.box) == []


def test_affinities_keep_their_channels(tmp_path: Path) -> None:
    """czyx in the file becomes XYZC."""
    stack = np.random.default_rng(0).random((3, *SHAPE), dtype=np.float32)
    volume = import_volume(_hdf5(tmp_path / "a.h5", affinities=stack), str(tmp_path / "layer"), RESOLUTION)
    np.testing.assert_array_equal(_read(volume.path), stack.transpose(3, 2, 1, 0))


@pytest.mark.parametrize(
    ("name", "dtype", "kind", "stored"),
    [
        ("raw", "uint16", "image", "uint16"),
        ("raw", "float64", "image", "float32"),
        ("anything", "uint32", "segmentation", "uint32"),
        ("anything", "int64", "segmentation", "uint64"),
        ("labels__neuron_ids", "uint8", "segmentation", "uint32"),
        ("fragments__ws", "uint16", "segmentation", "uint32"),
        ("mask", "bool", "image", "uint8"),
    ],
)
def test_the_kind_is_guessed_from_type_and_name(tmp_path: Path, name: str, dtype: str, kind: str, stored: str) -> None:
    """Wide integers are labels; narrow ones are when they are named so. Values survive."""
    stack = _grey() > 99 if dtype == "bool" else _grey(dtype)
    volume = import_volume(_hdf5(tmp_path / "segments.h5", **{name: stack}), str(tmp_path / "layer"), (9, 9, 9))
    assert (volume.kind, volume.dtype) == (kind, np.dtype(stored))
    np.testing.assert_array_equal(_read(volume.path)[..., 0], stack.T.astype(stored))


def test_the_guess_can_be_overruled(tmp_path: Path) -> None:
    """A wide image stays an image when told so; labels stored as floats are labels when told so."""
    wide = _hdf5(tmp_path / "a.h5", raw=_grey("uint32"))
    assert import_volume(wide, str(tmp_path / "a"), (9, 9, 9), kind="image").kind == "image"
    floats = _hdf5(tmp_path / "b.h5", found=_grey("float32"))
    volume = import_volume(floats, str(tmp_path / "b"), (9, 9, 9), kind="segmentation")
    np.testing.assert_array_equal(_read(volume.path)[..., 0], _grey().T)


def test_slabs_and_sections_of_any_size_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little is held at once, and whether sections are cut in memory or on disk, the layer is the same."""
    path = _hdf5(tmp_path / "a.h5", raw=_grey())
    stored = []
    for name, limit, whole_sections in (("one", 1 << 30, False), ("many", 4000, False), ("disk", 4000, True)):
        monkeypatch.setattr(volume_import, "SLAB_BYTES", limit)
        monkeypatch.setattr(volume_import, "_slab_unit", lambda b, *_, whole=whole_sections: None if whole else b)
        import_volume(path, str(tmp_path / name), (9, 9, 9), block_size=(8, 8, 4))
        stored.append({name: content for name, content in _files(tmp_path / name).items() if name != "provenance"})
    assert stored[0] == stored[1] == stored[2]


def _counted(source: SourceVolume, read: list[Box]) -> SourceVolume:
    def counting(box: Box) -> NDArray[Any]:
        read.append(box)
        return source.read(box)

    return SourceVolume(**{**vars(source), "read": counting})


def test_a_spooled_section_is_decoded_once(tmp_path: Path) -> None:
    """What is cut out of spooled sections is what the source would give, and the source is asked once for each."""
    path, decoded = _hdf5(tmp_path / "a.h5", raw=_grey("uint16")), list[Box]()
    with open_source(path, SourceOptions(resolution_nm=RESOLUTION)) as source:
        counting = SourceVolume(**{**vars(_counted(source, decoded)), "blocks": (37, 30, 2)})
        with section_spool(counting, 3, 7, 1 << 20) as read:
            for box in (Box((0, 0, 3), (37, 30, 10)), Box((5, 29, 4), (6, 30, 9)), Box((36, 0, 9), (37, 7, 10))):
                np.testing.assert_array_equal(read(box), source.read(box))
    assert [box.maximum[2] - box.minimum[2] for box in decoded] == [2, 2, 2, 1]


sizes = st.tuples(*[st.integers(1, 90)] * 3)


@given(sizes, st.tuples(*[st.integers(1, 32)] * 3), st.integers(1, 8), st.integers(1, 10**6))
def test_slabs_cover_the_box_once_on_the_block_grid(shape: Triple, block: Triple, size: int, limit: int) -> None:
    """No slab cuts a block, and none is larger than the limit unless it is one block."""
    box = Box.from_shape((3, -4, 5), shape)
    parts = slabs(box, block, size, limit)
    assert sum(part.voxels for part in parts) == box.voxels
    for part in parts:
        assert all((a - o) % b == 0 for a, o, b in zip(part.minimum, box.minimum, block, strict=True))
        fits = part.voxels * size <= limit
        assert fits or (part.shape[0] <= block[0] and part.shape[1] <= block[1])
        assert part.shape[2] <= block[2]


@pytest.mark.parametrize("layer_format", ["precomputed", "ome-zarr"])
def test_only_missing_blocks_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer_format: LayerFormat
) -> None:
    """The same import finishes what was begun, reads no more than what is not stored, and writes the same bytes."""
    form: dict[str, Any] = {"block_size": BLOCK, "layer_format": layer_format}
    path, layer, read = _hdf5(tmp_path / "a.h5", raw=_grey()), tmp_path / "layer", list[Box]()
    volume = import_volume(path, str(layer), (9, 9, 9), **form)
    np.testing.assert_array_equal(_read(layer)[..., 0], _grey().T)
    before = _files(layer)
    lost = volume.blocks(volume.box)[2:4]
    for block in lost:
        (layer / volume.block_name(block)).unlink()
    opened = volume_import.open_for_layer
    monkeypatch.setattr(volume_import, "open_for_layer", lambda *words: _counted(opened(*words), read))
    import_volume(path, str(layer), (9, 9, 9), **form)
    assert _files(layer) == before
    assert read == [lost[0].hull(lost[1])]


def test_an_import_of_anything_else_is_refused_by_name(tmp_path: Path) -> None:
    """Another voxel size, another dataset, a source that has changed, a layer that is no import's: each is named."""
    path, layer = _hdf5(tmp_path / "a.h5", raw=_grey(), more=_grey()), str(tmp_path / "layer")
    import_volume(f"{path}:raw", layer, (9, 9, 9), block_size=BLOCK)
    with pytest.raises(ParameterErrors, match=r"`resolution_nm` was \[9.0, 9.0, 9.0\], now \[8.0, 8.0, 8.0\]"):
        import_volume(f"{path}:raw", layer, (8, 8, 8), block_size=BLOCK)
    with pytest.raises(ParameterErrors, match=r"`source` was .*:raw"):
        import_volume(f"{path}:more", layer, (9, 9, 9), block_size=BLOCK)
    os.utime(path, ns=(1, 1))
    with pytest.raises(ParameterErrors, match="`version` was"):
        import_volume(f"{path}:raw", layer, (9, 9, 9), block_size=BLOCK)
    (tmp_path / "layer" / "provenance").unlink()
    with pytest.raises(ParameterErrors, match="which no import has made"):
        import_volume(f"{path}:raw", layer, (9, 9, 9), block_size=BLOCK)


def test_the_record_says_where_a_layer_comes_from(tmp_path: Path) -> None:
    """cloud-volume shows it as the layer's provenance."""
    from cloudvolume import CloudVolume

    from seuron.storage import Storage

    path = _hdf5(tmp_path / "a.h5", raw=_grey())
    volume = import_volume(path, str(tmp_path / "layer"), (9, 9, 9))
    facts = recorded_import(Storage(volume.path))
    assert facts is not None
    assert (facts["source"], facts["kind"], facts["window"]) == (f"{path}:raw", "image", None)
    assert CloudVolume(volume.path, progress=False).provenance.sources == [f"{path}:raw"]


def test_what_was_read_of_a_mapped_file_does_not_add_up(tmp_path: Path) -> None:
    """A stack that is mapped into memory and read box by box takes no more memory than a box."""
    tifffile.imwrite(tmp_path / "a.tif", np.ones((64, 1024, 1024), np.uint8), photometric="minisblack")
    memory = psutil.Process().memory_info
    with open_source(str(tmp_path / "a.tif")) as source:
        before, most = memory().rss, 0
        for z in range(0, 64, 4):
            assert source.read(Box((0, 0, z), (1024, 1024, z + 4))).all()
            most = max(most, memory().rss - before)
    assert most < 24 << 20


@pytest.mark.long
def test_processes_and_a_kill_change_nothing(tmp_path: Path) -> None:
    """An import by two processes that is killed in its middle and given again has the bytes of one that ran through."""
    stack = np.random.default_rng(1).integers(0, 9, (300, 200, 190)).astype("uint8")
    path = _hdf5(tmp_path / "a.h5", raw=stack)
    whole = import_volume(path, str(tmp_path / "whole"), (9, 9, 9))
    script = (
        "import sys; from seuron.volumes import volume_import\n"
        "volume_import.BYTES_WORTH_A_PROCESS = 1 << 20; volume_import.SLAB_BYTES = 1 << 20\n"
        "if __name__ == '__main__':\n"
        "    volume_import.import_volume(sys.argv[1], sys.argv[2], (9, 9, 9), workers=2)\n"
    )
    (tmp_path / "run.py").write_text(script)
    command = [sys.executable, str(tmp_path / "run.py"), path, str(tmp_path / "killed")]
    first = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    blocks = tmp_path / "killed" / whole.key
    while not (blocks.is_dir() and len([p for p in blocks.iterdir() if not p.name.startswith(".")]) > 3):
        assert first.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert len(list(blocks.iterdir())) < len(whole.blocks(whole.box))
    import_volume(path, str(tmp_path / "killed"), (9, 9, 9))
    _same_layers(tmp_path / "whole", tmp_path / "killed")


def _same_layers(one: Path, other: Path) -> None:
    found = [{n: c for n, c in _files(folder).items() if not n.endswith(".partial")} for folder in (one, other)]
    assert found[0] == found[1]


def test_a_source_is_never_changed(tmp_path: Path) -> None:
    """Its bytes stay, and a layer in or around it is refused before anything is written."""
    folder = tmp_path / "stack"
    folder.mkdir()
    for z, section in enumerate(_grey()):
        tifffile.imwrite(folder / f"s{z}.tif", section)
    before = {name: hashlib.sha256(content).digest() for name, content in _files(tmp_path).items()}
    for inside in (folder, folder / "layer", tmp_path):
        with pytest.raises(ParameterErrors, match="never changed; give another folder"):
            import_volume(str(folder), str(inside), (9, 9, 9))
    assert {name: hashlib.sha256(content).digest() for name, content in _files(tmp_path).items()} == before
    import_volume(str(folder), str(tmp_path / "layer"), (9, 9, 9))
    assert {name: hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in before} == before


def test_all_problems_are_told_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    """No voxel size, and negative labels; signed images; a label below 0 that the sample has not seen."""
    path = _hdf5(tmp_path / "a.h5", labels=_grey("int64") - 1, raw=_grey("int16"))
    with pytest.raises(ParameterErrors) as raised:
        import_volume(f"{path}:labels", str(tmp_path / "layer"))
    assert [word in str(raised.value) for word in ("how large its voxels are", "the label -1")] == [True, True]
    with pytest.raises(ParameterErrors, match=r"allowed are uint8, uint16.*--window auto"):
        import_volume(f"{path}:raw", str(tmp_path / "layer"), (9, 9, 9))
    assert not (tmp_path / "layer").exists()
    hidden = _grey("int64")
    hidden[0, 0, 0] = -7
    with pytest.raises(DataError, match="holds the label -7"):
        import_volume(_hdf5(tmp_path / "b.h5", labels=hidden), str(tmp_path / "layer"), (9, 9, 9))


def test_a_worker_that_dies_is_told_and_the_import_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that the system ends is an error with a way on; two processes and a restart give the bytes of one."""
    path = _hdf5(tmp_path / "a.h5", raw=_grey())
    import_volume(path, str(tmp_path / "whole"), (9, 9, 9), block_size=BLOCK)
    monkeypatch.setattr(volume_import, "BYTES_WORTH_A_PROCESS", 1)
    monkeypatch.setattr(volume_import, "SLAB_BYTES", 5000)
    lively = multiprocessing.active_children()

    def kill(*_: object) -> None:
        # All of them: the one that is left could do the rest before the pool sees that the other is gone.
        for worker in multiprocessing.active_children():
            if worker not in lively and worker.pid is not None:
                os.kill(worker.pid, signal.SIGKILL)

    with pytest.raises(VolumeError, match="import again: it goes on"):
        import_volume(path, str(tmp_path / "killed"), (9, 9, 9), block_size=BLOCK, workers=2, progress=kill)
    import_volume(path, str(tmp_path / "killed"), (9, 9, 9), block_size=BLOCK)
    _same_layers(tmp_path / "whole", tmp_path / "killed")

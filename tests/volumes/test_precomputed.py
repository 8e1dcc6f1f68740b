"""The door to precomputed layers: what is written reads back, and wrong use is refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seuron.box import Box
from seuron.errors import DataError, VolumeError
from seuron.volumes import create_volume, open_volume
from seuron.volumes.precomputed import volume_info
from seuron.volumes.precomputed_checks import ENCODINGS
from seuron.volumes.volume import pyramid_factors

BOX = Box((3, -5, 7), (43, 28, 27))


def _segmentation(path: Path, box: Box = BOX) -> tuple[str, np.ndarray]:
    labels = np.random.default_rng(0).integers(0, 2**63, box.shape, dtype=np.uint64)
    volume = create_volume(str(path), box, (4.6, 4.6, 45), dtype="uint64", kind="segmentation", block_size=(16, 16, 8))
    volume.write(box, labels)
    return volume.path, labels


def test_what_is_written_reads_back_from_any_box(tmp_path: Path) -> None:
    """Labels of 63 bits survive the codec, whatever the offset, and a box may cut through blocks."""
    path, labels = _segmentation(tmp_path)
    volume = open_volume(path)
    assert (volume.box, volume.dtype, volume.kind) == (BOX, np.dtype(np.uint64), "segmentation")
    part = Box((9, -1, 9), (30, 20, 21))
    np.testing.assert_array_equal(volume.read(part)[..., 0], labels[part.within(BOX)])


def test_writing_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    """A task that is delivered twice must not change a file."""
    _segmentation(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    _segmentation(tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_affinities_keep_their_channels(tmp_path: Path) -> None:
    """A layer of several channels is (X, Y, Z, C) on both sides."""
    box = Box((0, 0, 0), (10, 9, 8))
    voxels = np.random.default_rng(1).random((*box.shape, 3), dtype=np.float32)
    volume = create_volume(str(tmp_path), box, (10, 10, 10), dtype="float32", channels=3, block_size=(8, 8, 8))
    volume.write(box, voxels)
    read = volume.read(box)
    np.testing.assert_array_equal(read, voxels)
    assert read.flags.f_contiguous


def test_missing_blocks_are_named_or_read_as_zero(tmp_path: Path) -> None:
    """A lost block is never silently zero; only the blocks of the box are asked for."""
    path, labels = _segmentation(tmp_path)
    volume = open_volume(path)
    lost = Box((19, -5, 7), (35, 11, 15))
    (tmp_path / (volume.block_name(lost) + ".gz")).unlink()
    assert volume.missing_blocks(BOX) == [lost]
    assert volume.missing_blocks(Box((3, -5, 7), (19, 11, 15))) == []
    assert volume.missing_blocks(Box((3, -5, 7), (20, -4, 8))) == [lost]
    with pytest.raises(DataError, match="missing_blocks"):
        volume.read(BOX)
    expected = labels.copy()
    expected[lost.within(BOX)] = 0
    np.testing.assert_array_equal(volume.read(BOX, missing="zero")[..., 0], expected)


def test_missing_blocks_of_a_coarse_scale_are_counted_in_its_own_voxels(tmp_path: Path) -> None:
    """At scale 1 of an empty layer every block is missing, and there is one name for each."""
    box = Box((8, 0, 0), (208, 90, 30))
    volume = create_volume(str(tmp_path), box, (10, 10, 10), dtype="uint8", block_size=(32, 32, 32))
    coarse = open_volume(volume.path, 1)
    assert coarse.missing_blocks(coarse.box) == coarse.blocks(coarse.box)
    assert len(coarse.blocks(coarse.box)) == 4 * 2 * 1


def test_blocks_cover_exactly_what_meets_the_box(tmp_path: Path) -> None:
    """No block is named that lies outside the volume, also for boxes that do."""
    path, _ = _segmentation(tmp_path)
    volume = open_volume(path)
    assert sum(block.voxels for block in volume.blocks(BOX)) == BOX.voxels
    assert volume.blocks(Box((-100, -100, -100), (4, -4, 8))) == [Box((3, -5, 7), (19, 11, 15))]
    assert volume.blocks(Box((100, 100, 100), (200, 200, 200))) == []


@pytest.mark.parametrize(
    ("box", "shape", "message"),
    [
        (Box((3, -5, 7), (20, 28, 27)), (17, 33, 20), "cuts through storage blocks"),
        (BOX, (1, 2, 3), "cannot write"),
    ],
)
def test_a_write_that_would_tear_blocks_is_refused(
    tmp_path: Path, box: Box, shape: tuple[int, int, int], message: str
) -> None:
    """Two tasks never share a block, so a box that cuts one is a mistake."""
    path, _ = _segmentation(tmp_path)
    with pytest.raises(VolumeError, match=message):
        open_volume(path).write(box, np.zeros(shape, np.uint64))


def test_wrong_paths_and_boxes_say_what_to_do(tmp_path: Path) -> None:
    """A path without a volume and a box outside it are told before anything is read."""
    with pytest.raises(VolumeError, match="seuron import"):
        open_volume(str(tmp_path / "nothing"))
    path, _ = _segmentation(tmp_path)
    with pytest.raises(VolumeError, match="outside the volume"):
        open_volume(path).read(Box((0, 0, 0), (5, 5, 8)))
    with pytest.raises(VolumeError, match="mip 9"):
        open_volume(path, 9)


def test_anisotropic_volumes_become_isotropic_before_sections_are_mixed() -> None:
    """45 nm sections are left alone until x and y have grown as coarse."""
    assert pyramid_factors((1024, 1024, 20), (4.6, 4.6, 45))[:4] == [(2, 2, 1), (2, 2, 1), (2, 2, 1), (2, 2, 2)]
    assert pyramid_factors((64, 64, 64), (10, 10, 10)) == []
    assert pyramid_factors((1, 1, 200), (1, 1, 100)) == [(1, 1, 2), (1, 1, 2)]


def test_scales_sit_on_each_other() -> None:
    """Sizes round up, offsets go to the nearest whole voxel, keys are unique and free of float noise."""
    info = volume_info(Box((3, 0, 6), (303, 301, 26)), (4.6, 4.6, 45), dtype="uint8")
    sizes = [scale["size"] for scale in info["scales"]]
    assert sizes == [[300, 301, 20], [150, 151, 20], [75, 76, 20], [38, 38, 20]]
    assert [scale["voxel_offset"] for scale in info["scales"]] == [[3, 0, 6], [2, 0, 6], [1, 0, 6], [0, 0, 6]]
    assert [scale["key"] for scale in info["scales"]] == ["4.6_4.6_45", "9.2_9.2_45", "18.4_18.4_45", "36.8_36.8_45"]


def test_labels_that_the_codec_cannot_hold_are_refused() -> None:
    """compressed_segmentation knows uint32 and uint64 only."""
    with pytest.raises(VolumeError, match="uint32 and uint64"):
        volume_info(BOX, (10, 10, 10), dtype="uint8", kind="segmentation")
    with pytest.raises(VolumeError, match="empty box"):
        volume_info(Box((0, 0, 0), (0, 5, 5)), (10, 10, 10), dtype="uint8")


def _changed_info(path: Path, **changes: Any) -> str:
    """A layer whose `info` somebody changed by hand; None takes an entry away, `scale_` begins those of the scale."""
    _segmentation(path)
    info = json.loads((path / "info").read_text())
    for name, value in changes.items():
        place, key = (info["scales"][0], name.removeprefix("scale_")) if name.startswith("scale_") else (info, name)
        if value is None:
            del place[key]
        else:
            place[key] = value
    (path / "info").write_text(json.dumps(info))
    return str(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale_resolution": None}, "scale 0: `resolution` is missing"),
        ({"scale_size": None, "num_channels": None}, "`num_channels` is missing; scale 0: `size` is missing"),
        ({"data_type": "UINT64"}, "`data_type` is 'UINT64', allowed are uint8"),
        ({"scale_encoding": "foo"}, "`encoding` is 'foo', expected one of raw, compressed_segmentation, crackle"),
        ({"scale_resolution": [4, 4, -40]}, "`resolution` is .*-40.*, expected three numbers of nanometres above 0"),
        ({"scale_resolution": [4, 4, float("inf")]}, "`resolution` is .*inf.*, expected three numbers of nanometres"),
        ({"scale_encoding": ["raw"]}, r"`encoding` is \['raw'\], expected one of raw"),
        ({"scale_sharding": {"@type": "other"}}, "`sharding` is .* expected a specification of neuroglancer"),
        ({"scale_size": [4, 4]}, "`size` is .* expected three whole numbers"),
        ({"scale_chunk_sizes": []}, "`chunk_sizes` is .* expected a list of sizes"),
        ({"scales": []}, "`scales` is .* expected a list of scales"),
        ({"scales": None}, "`scales` is missing"),
    ],
)
def test_an_info_that_lacks_something_is_refused_in_a_sentence(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """All that is wrong with a damaged or hand-made info is named at once."""
    with pytest.raises(VolumeError, match=message):
        open_volume(_changed_info(tmp_path, **changes))


def test_an_encoding_without_its_library_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is said when the volume is opened, not when its first block is decoded."""
    monkeypatch.setitem(ENCODINGS, "fpzip", ("a_module_that_nobody_has", "fpzip"))
    with pytest.raises(VolumeError, match="`encoding` is fpzip, for which the Python package fpzip is not installed"):
        open_volume(_changed_info(tmp_path, scale_encoding="fpzip"))


def test_an_info_that_is_no_json_is_refused(tmp_path: Path) -> None:
    """Half of a file is no traceback."""
    _segmentation(tmp_path)
    (tmp_path / "info").write_text('{"scales": [')
    with pytest.raises(VolumeError, match="`info` is no JSON"):
        open_volume(str(tmp_path))


@pytest.mark.parametrize("encoding", ["crackle", "compresso", "raw", "compressed_segmentation"])
def test_labels_of_other_programs_are_read_in_every_encoding(encoding: str, tmp_path: Path) -> None:
    """As cloud-volume writes them; blocks of another encoding than the info names are damage with a name."""
    from cloudvolume import CloudVolume

    labels = np.random.default_rng(0).integers(0, 5, BOX.shape).astype(np.uint32)
    info = CloudVolume.create_new_info(
        1, "segmentation", "uint32", encoding, (8, 8, 40), BOX.minimum, BOX.shape, chunk_size=(64, 64, 64)
    )
    theirs = CloudVolume(f"file://{tmp_path}", info=info, progress=False, compress=False)
    theirs.commit_info()
    theirs[BOX.slices] = labels[..., np.newaxis]
    volume = open_volume(str(tmp_path))
    np.testing.assert_array_equal(volume.read(BOX)[..., 0], labels)
    other = "raw" if encoding == "crackle" else "crackle"
    (tmp_path / "info").write_text((tmp_path / "info").read_text().replace(f'"{encoding}"', f'"{other}"'))
    with pytest.raises(DataError, match="is damaged"):
        open_volume(str(tmp_path)).check_decoding(BOX)

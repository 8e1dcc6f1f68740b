"""What the report's figures are made from: times, sizes, pictures, and how numbers are written."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from seuron.box import Box
from seuron.engine.plan import Estimate, Plan, StagePlan, Tier
from seuron.engine.records import TaskRecord
from seuron.engine.run import Run
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.facts import VolumeFacts
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.segment_sizes import segment_sizes
from seuron.reporting import quantities
from seuron.reporting.pictures import PIXELS, grey, label_colours, overlay, png_uri, section_pictures
from seuron.reporting.timings import stage_timings, sum_counts, timeline
from seuron.volumes import create_volume, open_volume
from seuron.volumes.pyramid import build_pyramid

BOX = Box((0, 0, 0), (10, 10, 10))


def _plan(count: int) -> Plan:
    tier = Tier.of_whole(BOX, Estimate(1.0, 1), indices=Box((0, 0, 0), (count, 1, 1)))
    return Plan((StagePlan("watershed", (replace(tier, stage="watershed"),)), StagePlan("evaluation", ())))


def _record(number: int, start: float, end: float, **counts: float) -> TaskRecord:
    return TaskRecord(
        f"watershed-0-{number}_0_0", "watershed", 0, "key", end - start, 1.0, 100 * number, start, end, "m:1", counts
    )


spans = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 10)), min_size=1, max_size=12)


@given(spans)
def test_lanes_never_overlap_and_idle_time_is_exact(found: list[tuple[int, int]]) -> None:
    """Against a slow twin that looks at every half second."""
    records = [_record(i, start, start + length) for i, (start, length) in enumerate(found)]
    times = timeline(_plan(len(found)), records)
    first = min(start for start, _ in found)
    assert sorted((bar.start, bar.end) for bar in times.bars) == sorted((s - first, s + n - first) for s, n in found)
    for a in times.bars:
        for b in times.bars:
            assert a is b or a.lane != b.lane or a.end <= b.start or b.end <= a.start
    busy = sum(any(bar.start <= t < bar.end for bar in times.bars) for t in np.arange(0, times.seconds, 0.5)) / 2
    assert times.busy == pytest.approx(busy)
    moments = np.arange(0, times.seconds, 0.5)
    most = max((sum(bar.start <= t < bar.end for bar in times.bars) for t in moments), default=0)
    assert max(most, 1) <= times.lanes <= len(found)


def test_stages_are_summed_and_empty_ones_left_out() -> None:
    """Wall time spans the stage; processor times and counts add up; memory is the largest."""
    records = [_record(0, 100, 104, supervoxels=5), _record(1, 102, 110, supervoxels=7, contacts=1)]
    (stage,) = stage_timings(_plan(3), records, 1_000_000)
    assert (stage.done, stage.planned, stage.wall, stage.work, stage.cpu) == (2, 3, 10, 12, 2)
    assert (stage.peak_bytes, stage.voxels_per_second) == (100, 100_000)
    assert stage.counts == {"supervoxels": 12, "contacts": 1} == sum_counts(records)


def test_a_run_without_records_has_no_times() -> None:
    """Nothing is divided by zero."""
    (stage,) = stage_timings(_plan(3), [], 1_000_000)
    assert (stage.done, stage.wall, stage.voxels_per_second) == (0, 0, 0)
    assert timeline(_plan(3), []).lanes == 0


def test_segments_are_counted_from_the_layer(tmp_path: Path) -> None:
    """Largest first, background apart; at a coarser scale in voxels of the finest; missing blocks are background."""
    box = Box((5, 5, 5), (133, 69, 37))
    labels = np.zeros(box.shape, np.uint64)
    labels[:64], labels[64:96] = 2**60, 7
    volume = create_volume(str(tmp_path), box, (8, 8, 8), dtype="uint64", kind="segmentation", block_size=(32, 32, 32))
    volume.write(box, labels)
    build_pyramid(volume)
    for limit, scale in ((10**9, 0), (50_000, 1)):
        sizes = segment_sizes(volume, limit)
        assert (sizes.scale, sizes.ids.tolist()) == (scale, [2**60, 7])
        assert sizes.voxels.tolist() == [64 * 64 * 32, 32 * 64 * 32]
        assert (sizes.background, sizes.total) == (32 * 64 * 32, 96 * 64 * 32)
    bins = sizes.bins()
    assert [(b.low, b.high, b.segments) for b in bins] == [(50_000, 100_000, 1), (100_000, 200_000, 1)]
    assert sum(b.share for b in bins) == pytest.approx(1)
    for path in (tmp_path / volume.key).iterdir():
        path.unlink()
    empty = segment_sizes(open_volume(volume.path))
    assert (len(empty.ids), empty.background, empty.bins()) == (0, box.voxels, [])


def test_every_size_has_its_bin() -> None:
    """From one voxel to the largest that fits, at the edges of bins too."""
    from seuron.pipelines.segmentation.segment_sizes import Sizes

    voxels = np.array([10**17, 5000, 4999, 2, 1], np.int64)
    sizes = Sizes(np.arange(5, dtype=np.uint64), voxels, 0, 0)
    bins = sizes.bins()
    for size in voxels.tolist():
        assert sum(b.low <= size < b.high and b.segments > 0 for b in bins) == 1
    assert sum(b.segments for b in bins) == 5


def _pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))


def test_pictures_show_the_middle_section_the_right_way_round(tmp_path: Path) -> None:
    """x runs to the right and y down; the section is cut where the caption says, at any scale."""
    box = Box((100, 200, 300), (140, 230, 311))
    image = np.zeros(box.shape, np.uint8)
    image[30:, :5, 5] = 255
    image[:, :, 6:] = 90
    volume = create_volume(str(tmp_path / "image"), box, (8, 8, 40), dtype="uint8")
    volume.write(box, image)
    build_pyramid(volume)
    params = SegmentationParams(image=volume.path, output=str(tmp_path))
    run = Run(PIPELINE, params, VolumeFacts(box, (8.0, 8.0, 40.0), "uint8", {}))
    flat, front, side = section_pictures(
        run, {"image": volume.path, "missing": str(tmp_path / "nothing"), "none": None}
    )
    assert (flat.where, front.where, side.where) == ("z = 305", "y = 215", "x = 120")
    assert (flat.width_nm, flat.height_nm, side.width_nm, side.height_nm) == (320, 240, 240, 440)
    pixels = _pixels(flat.uri)
    rows, columns = pixels.shape
    assert max(rows, columns) <= PIXELS
    assert pixels[0, -1] == 255
    assert pixels[0, 0] == pixels[-1, -1] == 0
    assert _pixels(front.uri)[-1, 0] == 90
    assert _pixels(front.uri)[0, 0] == 0


def test_a_big_layer_is_drawn_from_a_coarse_scale(tmp_path: Path) -> None:
    """The picture is as large as the page needs, not as large as the layer."""
    box = Box((0, 0, 0), (3000, 2000, 1))
    volume = create_volume(str(tmp_path / "image"), box, (4, 4, 40), dtype="uint8", block_size=(256, 256, 1))
    for part in volume.blocks(box):
        volume.write(part, np.full(part.shape, part.minimum[0] // 12, np.uint8))
    build_pyramid(volume)
    run = Run(
        PIPELINE,
        SegmentationParams(image=volume.path, output=str(tmp_path)),
        VolumeFacts(box, (4.0, 4.0, 40.0), "uint8", {}),
    )
    shown = _pixels(section_pictures(run, {"image": volume.path})[0].uri)
    assert PIXELS // 2 <= max(shown.shape) <= PIXELS
    assert shown[0, 0] < shown[0, -1]


def test_labels_keep_their_colour_and_background_its_grey() -> None:
    """One colour for an id wherever it is; 0 shows what lies under it."""
    labels = np.array([[0, 5, 5, 2**63, 6]], np.uint64)
    colours = label_colours(labels)
    np.testing.assert_array_equal(colours[0, 1], colours[0, 2])
    np.testing.assert_array_equal(colours[0, 0], 0)
    many = label_colours(np.arange(1, 500, dtype=np.uint64))
    assert len(np.unique(many.astype(np.uint8), axis=0)) > 450
    assert many.min() > 30
    assert many.max() <= 255
    drawn = overlay(labels, np.full(labels.shape, 77, np.float32))
    np.testing.assert_array_equal(drawn[0, 0], 77)


def test_greys_are_stretched_only_where_they_must_be() -> None:
    """uint8 as it is, floats over their range, and constants, NaN included, do no harm."""
    np.testing.assert_array_equal(grey(np.array([[0, 9, 255]], np.uint8)), [[0, 9, 255]])
    assert grey(np.linspace(-1, 1, 100)).max() == 255
    assert np.isfinite(grey(np.array([[np.nan, 1.0, 1.0]]))).all()
    assert png_uri(np.zeros((2, 3, 3), np.uint8)).startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (quantities.count(10_375_000), "10 375 000"),
        (quantities.count(4.6), "4.6"),
        (quantities.big(0), "0"),
        (quantities.big(999), "999"),
        (quantities.big(10_375_000), "10.4 M"),
        (quantities.big(200_000), "200 k"),
        (quantities.file_size(1536), "1.50 KiB"),
        (quantities.length(2500), "2.50 µm"),
        (quantities.length(896), "896 nm"),
        (quantities.duration(0), "0 s"),
        (quantities.duration(0.25), "250 ms"),
        (quantities.duration(59.97), "1 min 00 s"),
        (quantities.duration(3725), "1 h 02 min"),
        (quantities.percent(0.0001), "<0.1 %"),
        (quantities.percent(0.25), "25.0 %"),
    ],
)
def test_numbers_are_written_as_people_write_them(written: str, expected: str) -> None:
    """With spaces at which lines do not break."""
    assert " ".join(written.split()) == expected
    assert " " not in written


@given(st.floats(1, 1e12))
def test_three_digits_never_become_a_thousand_of_a_unit(value: float) -> None:
    """999.96 k is 1.00 M."""
    number = float(quantities.big(value).split()[0])
    assert number < 1000 or value >= 1e15
    assert not math.isnan(number)

"""The segment table and the contacts: right to the voxel, the same bytes for every chunking, after kills as well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seuron.box import Box
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.engine.setup import parse_run
from seuron.errors import ParameterErrors
from seuron.params import parse_parameters
from seuron.pipelines.products import PIPELINE
from seuron.pipelines.products.params import ProductsParams
from seuron.storage import Storage
from seuron.storage.tables import read_table, write_groups
from seuron.volumes import create_volume
from seuron.web.neuroglancer_state import neuroglancer_state
from seuron.web.snapshot import RunSnapshot

CORNER, SHAPE, VOXEL = (3, -5, 7), (44, 36, 30), (8.0, 10.0, 40.0)
BOX = Box.from_shape(CORNER, SHAPE)
CELLS = ((16, 16, 16), (11, 40, 9))


def store(path: Path, voxels: np.ndarray, *, kind: str = "segmentation", voxel: Any = VOXEL) -> None:
    box = Box.from_shape(CORNER, voxels.shape[:3])
    channels = voxels.shape[3] if voxels.ndim == 4 else 1
    layer = create_volume(
        str(path), box, voxel, dtype=str(voxels.dtype), channels=channels, kind=kind, block_size=(16, 16, 16),
        pyramid=False,
    )  # fmt: skip
    layer.write(box, np.asfortranarray(voxels))


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    """Lumps of twenty segments, of ids above 2^63 as well, and background."""
    random = np.random.default_rng(1)
    ids = np.array([0, 0, 2**64 - 5, 7, 8, *random.integers(1, 2**63, 17).tolist()], np.uint64)
    lumps = ids[random.integers(0, len(ids), (11, 9, 6))]
    return np.kron(lumps, np.ones((4, 4, 5), np.uint64)).astype(np.uint64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, labels: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    store(folder / "labels", labels)
    affinities = np.random.default_rng(2).random((*SHAPE, 3)).astype(np.float32)
    store(folder / "affinities", affinities, kind="image")
    store(folder / "image", np.full(SHAPE, 90, np.uint8), kind="image")
    store(folder / "small", affinities[:20], kind="image")
    store(folder / "coarse", affinities, kind="image", voxel=(16.0, 20.0, 40.0))
    return folder


def values(folder: Path, output: Path, **changes: Any) -> dict[str, Any]:
    files = {"segmentation": str(folder / "labels"), "affinities": str(folder / "affinities")}
    return {**files, "output": str(output), "products": "segment_table,contacts", **changes}


def made(folder: Path, output: Path, **changes: Any) -> Run:
    return run_local(parse_parameters(ProductsParams, values(folder, output, **changes)))


def content(run: Run) -> list[bytes | None]:
    return [run.storage.get(name) for name in ("segments.parquet", "contacts.parquet", "segment_properties/info")]


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made(folder, tmp_path_factory.mktemp("whole") / "run")


def test_segments_are_those_of_the_voxels(whole: Run, labels: np.ndarray) -> None:
    """Each row by a search through all voxels: size, box, centroid, and the voxel that is nearest to it."""
    table = read_table(whole.storage, "segments")
    assert table["id"].tolist() == [label for label in np.unique(labels).tolist() if label]
    for row, label in enumerate(table["id"]):
        voxels = np.argwhere(labels == label) + CORNER
        assert table["voxels"][row] == len(voxels)
        assert table["volume_um3"][row] == pytest.approx(len(voxels) * 8 * 10 * 40 / 1e9)
        assert [table[name][row] for name in ("x0", "y0", "z0")] == voxels.min(axis=0).tolist()
        assert [table[name][row] for name in ("x1", "y1", "z1")] == (voxels.max(axis=0) + 1).tolist()
        centroid = [table[f"centroid_{axis}_nm"][row] for axis in "xyz"]
        np.testing.assert_allclose(centroid, (voxels.mean(axis=0) + 0.5) * VOXEL)
        squares = (((voxels - voxels.mean(axis=0)) * VOXEL) ** 2).sum(axis=1)
        nearest = voxels[squares <= squares.min() * (1 + 1e-12)]
        inside = [table[f"inside_{axis}"][row] for axis in "xyz"]
        assert inside in nearest.tolist()
        assert len(nearest) > 1 or inside == nearest[0].tolist()
        border = (voxels == BOX.minimum).any() or (voxels + 1 == BOX.maximum).any()
        assert table["touches_border"][row] == border


def test_contacts_are_those_of_the_voxels(whole: Run, labels: np.ndarray, folder: Path) -> None:
    """Each contact by a search through all faces: areas by axis, centroid, box and mean affinity."""
    affinities = np.random.default_rng(2).random((*SHAPE, 3)).astype(np.float32)
    expected: dict[tuple[int, int], list[tuple[int, list[float], float]]] = {}
    for axis in range(3):
        behind = np.moveaxis(labels, axis, 0)[1:]
        before = np.moveaxis(labels, axis, 0)[:-1]
        step = np.eye(3, dtype=int)[axis]
        for place in np.argwhere(np.moveaxis((behind != before) & (behind != 0) & (before != 0), 0, axis)):
            pair = sorted((int(labels[tuple(place)]), int(labels[tuple(place + step)])))
            middle = (place + CORNER + 0.5 + step / 2) * VOXEL
            affinity = float(affinities[(*(place + step), axis)])
            expected.setdefault((pair[0], pair[1]), []).append((axis, middle.tolist(), affinity))
    table = read_table(whole.storage, "contacts")
    assert list(zip(table["a"].tolist(), table["b"].tolist(), strict=True)) == sorted(expected)
    face_um2 = np.array([10 * 40, 8 * 40, 8 * 10]) / 1e6
    for row, pair in enumerate(sorted(expected)):
        axes, middles, found = (np.array(column) for column in zip(*expected[pair], strict=True))
        faces = np.bincount(axes, minlength=3)
        assert [table[f"faces_{axis}"][row] for axis in "xyz"] == faces.tolist()
        np.testing.assert_allclose([table[f"area_{axis}_um2"][row] for axis in "xyz"], faces * face_um2)
        np.testing.assert_allclose(table["area_um2"][row], (faces * face_um2).sum())
        centroid = np.average(middles, axis=0, weights=face_um2[axes])
        np.testing.assert_allclose([table[f"centroid_{axis}_nm"][row] for axis in "xyz"], centroid)
        assert table["mean_affinity"][row] == pytest.approx(found.mean(), abs=2**-24)


@pytest.mark.parametrize("cell", CELLS)
def test_cells_change_no_byte(
    whole: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: tuple[int, ...]
) -> None:
    """Tables and properties of many small cells are those of one cell, with several tiers of sums between."""
    monkeypatch.setattr("seuron.pipelines.products.cells.CHILDREN", 5)
    parts = made(folder, tmp_path / "run", cell_size=cell)
    assert len(parts.plan.stage("contacts").tiers[0]) > 10
    assert len(parts.plan.stage("contacts").tiers) > 2
    assert content(parts) == content(whole)
    counted = [record.counts.get("voxels", 0) for record in parts.records() if record.stage == "contacts"]
    assert sum(counted) == BOX.voxels


class Killed(Exception):
    """A process that ends here."""


def test_kills_and_second_deliveries_change_no_byte(
    whole: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks end behind any of the tables that sums write, the last ones included; a start resumes."""
    written, left = 0, [0, 2, 4]

    def killed(*args: Any, **named: Any) -> int:
        nonlocal written
        done = write_groups(*args, **named)
        written += 1
        if left and written > left[0]:
            left.pop(0)
            raise Killed
        return done

    for stage in ("contacts", "segment_table"):
        monkeypatch.setattr(f"seuron.pipelines.products.stages.{stage}.write_groups", killed)
    params = parse_parameters(ProductsParams, values(folder, tmp_path / "run", cell_size=(24, 40, 40)))
    while left:
        with pytest.raises(Killed):
            run_local(params)
    assert content(run_local(params)) == content(whole)


def test_a_product_alone_and_another_later(whole: Run, folder: Path, tmp_path: Path) -> None:
    """Only what is asked for is made; what is added later keeps what is there; what is left out is removed."""
    alone = {"products": "contacts"}
    run = made(folder, tmp_path / "run", **alone)
    assert content(run) == [None, content(whole)[1], None]
    assert not run.plan.stage("segment_table").tiers
    before = run.record(run.plan.stage("contacts").tiers[0][0].id)
    both = made(folder, tmp_path / "run")
    assert content(both) == content(whole)
    assert both.record(both.plan.stage("contacts").tiers[0][0].id) == before
    assert content(made(folder, tmp_path / "run", **alone))[0] is None


def test_a_changed_block_is_noticed(folder: Path, labels: np.ndarray, tmp_path: Path) -> None:
    """A start after a change of the labels gives what a run from nothing gives, and counts only that block's cells."""
    store(tmp_path / "labels", labels)
    changes = {"segmentation": str(tmp_path / "labels"), "cell_size": (24, 24, 40)}
    run = made(folder, tmp_path / "run", **changes)
    counts = run.plan.stage("contacts").tiers[0]
    before = {task.id: run.record(task.id) for task in counts}
    labels = labels.copy()
    labels[1, 1, 1] = 99
    store(tmp_path / "labels", labels)
    again = made(folder, tmp_path / "run", **changes)
    assert content(again) == content(made(folder, tmp_path / "fresh", **changes))
    computed = [task for task, record in before.items() if getattr(again.record(task), "outcome", "") == "computed"]
    assert 0 < len(computed) < len(before)


def test_the_viewer_gets_the_properties(whole: Run, labels: np.ndarray) -> None:
    """A second source of the segmentation once they are there; every segment that is no dust is in them."""
    snapshot = RunSnapshot(whole, "version", whole.finished_ids())
    layer = neuroglancer_state(snapshot, lambda name, version: f"http://h/{version}/{name}")["layers"][-1]
    assert layer["source"][1] == "precomputed://http://h/version/segment_properties"
    unfinished = RunSnapshot(whole, "version", frozenset())
    layer = neuroglancer_state(unfinished, lambda name, version: f"http://h/{name}")["layers"][-1]
    assert layer["source"] == "precomputed://http://h/segmentation"
    found = json.loads(whole.storage.get("segment_properties/info") or b"")
    assert found["inline"]["ids"] == [str(label) for label in np.unique(labels).tolist() if label]
    assert all(len(column["values"]) == len(found["inline"]["ids"]) for column in found["inline"]["properties"])


def test_dust_is_in_the_table_and_not_in_the_list(folder: Path, tmp_path: Path, labels: np.ndarray) -> None:
    """The threshold is about what is shown of single segments."""
    sizes = np.unique(labels[labels > 0], return_counts=True)[1]
    threshold = int(np.median(sizes))
    run = made(folder, tmp_path / "run", dust_threshold=threshold, products="segment_table", affinities=None)
    assert read_table(run.storage, "segments")["id"].size == sizes.size
    listed = json.loads(run.storage.get("segment_properties/info") or b"")["inline"]["ids"]
    assert len(listed) == np.count_nonzero(sizes >= threshold)


def test_the_report_names_both(whole: Run) -> None:
    """The largest segment and the number of contacts stand on the page."""
    page = (whole.storage.get("report.html") or b"").decode()
    table = read_table(whole.storage, "segments")
    assert str(table["id"][np.argmax(table["voxels"])]) in page
    assert str(read_table(whole.storage, "contacts")["a"].size) in page


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nothing there": ({"segmentation": "{folder}/none"}, "`segmentation`: cannot open"),
    "an image": ({"segmentation": "{folder}/image"}, "is an image"),
    "numbers that are no labels": ({"segmentation": "{folder}/affinities"}, "3 channels of float32; labels are one"),
    "no such scale": ({"mip": 3}, "at mip 3"),
    "an unknown product": ({"products": "contact"}, "'contact' is none; did you mean contacts?"),
    "an empty box": ({"bbox": "9,9,9,9,12,12"}, "`bbox` is empty"),
    "a box outside": ({"bbox": "0,0,8,20,20,20"}, "is outside the volume"),
    "affinities that are none": ({"affinities": "{folder}/image"}, "has 1 channels of uint8; expected are 3"),
    "affinities of other voxels": ({"affinities": "{folder}/coarse"}, "give another `affinities_mip`"),
    "affinities of less": ({"affinities": "{folder}/small"}, "does not hold the run's box"),
    "affinities for nothing": ({"products": "segment_table"}, "`affinities` are for the product `contacts`"),
    "a cell too large": ({"cell_size": "2048,2048,2048"}, "`cell_size` (2048, 2048, 2048) is 8589934592 voxels"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_inputs_have_one_clear_message(folder: Path, tmp_path: Path, case: str) -> None:
    """What is wrong is said before anything runs, once, by the parameter's name, and nothing is written."""
    changes, message = WRONG[case]
    given = {name: value.format(folder=folder) if isinstance(value, str) else value for name, value in changes.items()}
    with pytest.raises(ParameterErrors) as caught:
        run_local(parse_run(PIPELINE, values(folder, tmp_path / "run", **given)))
    assert len(caught.value.problems) == 1
    assert message in caught.value.problems[0]
    assert Storage(str(tmp_path / "run")).get("run.json") is None


def test_affinities_out_of_range_name_the_voxel(folder: Path, tmp_path: Path) -> None:
    """Such are found when they are read, and no retry helps."""
    affinities = np.full((*SHAPE, 3), 0.5, np.float32)
    affinities[3, 4, 5, 1] = np.nan
    store(tmp_path / "affinities", affinities, kind="image")
    with pytest.raises(Exception, match="3, 4, 5") as caught:
        made(folder, tmp_path / "run", affinities=str(tmp_path / "affinities"), products="contacts")
    assert "nan" in str(caught.value)

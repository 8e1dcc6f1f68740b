"""Meshes and skeletons of a segmentation: the same bytes however tasks are cut, nothing lost, nothing invisible."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
import zmesh
from cells import cells
from hypothesis import given
from hypothesis import strategies as st
from osteoid import Skeleton
from scipy import ndimage
from typer.testing import CliRunner

from seuron.box import Box
from seuron.cli import app
from seuron.engine.execute import run_task
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.engine.setup import prepare_run
from seuron.errors import NotFoundError, ParameterErrors, RunError, VolumeError
from seuron.meshes.surface import LatticeSurface, joined
from seuron.params import parse_parameters
from seuron.pipelines.products import shapes
from seuron.pipelines.products.params import ProductsParams
from seuron.storage.tables import write_table
from seuron.volumes import create_volume
from seuron.volumes.object_shards import StoredMesh, StoredShapes
from seuron.web.viewer import ensure_server, stop_server, viewer_link
from seuron.web.viewer.registry import RunView, ViewRegistry

CORNER, SHAPE, VOXEL = (5, -3, 7), (45, 40, 33), (16.0, 16.0, 40.0)
#: Ids beyond 32 bits, as segmentations of many chunks have them; one of eight voxels, on a corner of cells.
FIRST_ID, SPECK = 2**40, 77
SHAPES = ("meshes", "skeletons")


def labels() -> np.ndarray:
    """Cells that fill the volume but for a gap; one that lies within it, and a speck."""
    found = cells(SHAPE, 9, 3) + np.uint64(FIRST_ID)
    found[20:24] = 0
    found[14:16, 14:16, 15:17] = SPECK
    return np.asfortranarray(found)


@pytest.fixture(scope="module")
def segmentation(tmp_path_factory: pytest.TempPathFactory) -> str:
    path, box = tmp_path_factory.mktemp("input") / "segmentation", Box.from_shape(CORNER, SHAPE)
    create_volume(
        str(path), box, VOXEL, dtype="uint64", kind="segmentation", block_size=(16, 16, 16), pyramid=False
    ).write(box, labels())
    return str(path)


@pytest.fixture(autouse=True)
def _several_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes of this small volume go to four files."""
    monkeypatch.setattr(shapes, "SHARD_VOXELS", 2**14)


def parameters(segmentation: str, output: Path, **changes: Any) -> ProductsParams:
    small = {"mesh_cell": (16, 16, 16), "skeleton_cell": (24, 20, 16), "skeleton_constant_nm": 100}
    limits = {"skeleton_shortest_nm": 100, "skeleton_branch_nm": 100}
    values = {"segmentation": segmentation, "output": str(output), "products": SHAPES, **small, **limits}
    return parse_parameters(ProductsParams, {**values, **changes})


@pytest.fixture(scope="module")
def whole(segmentation: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All cells in one task of each stage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "SHARD_VOXELS", 2**14)
        return run_local(parameters(segmentation, tmp_path_factory.mktemp("whole") / "run"))


def files(run: Run) -> dict[str, bytes]:
    """All that a viewer is given."""
    names = [name for kind in SHAPES for name in run.storage.names(f"{kind}/")]
    assert len(names) >= 6
    return {name: run.storage.get(name) or b"" for name in names}


def stored(run: Run, kind: str) -> StoredShapes:
    return StoredShapes(f"{run.output}/{kind}")


def test_every_segment_has_a_closed_mesh_in_its_place_at_every_level(whole: Run) -> None:
    """Read by cloud-volume: all ids, no open edge, the box of the voxels' faces, about their volume."""
    voxels = labels()
    ids = np.unique(voxels[voxels != 0])
    np.testing.assert_array_equal(stored(whole, "meshes").ids(), ids)
    for number in ids.tolist():
        where = np.argwhere(voxels == number)
        for level in range(3):
            mesh = stored(whole, "meshes").mesh(number, level)
            welded = _welded(mesh)
            assert welded.open_edges() == 0
        mesh = stored(whole, "meshes").mesh(number)
        for found, edge in (
            (mesh.points_nm.min(axis=0), where.min(axis=0)),
            (mesh.points_nm.max(axis=0), where.max(axis=0) + 1),
        ):
            np.testing.assert_allclose(found, (edge + CORNER) * VOXEL, atol=21)
        if number != SPECK:
            assert _welded(mesh).volume((0.1, 0.1, 0.1)) == pytest.approx(len(where) * np.prod(VOXEL), rel=0.12)
    with pytest.raises(NotFoundError, match="no mesh of the segment 5"):
        stored(whole, "meshes").mesh(5)


def _welded(mesh: StoredMesh) -> LatticeSurface:
    """The fragments as one surface, on a lattice of 0.1 nm: that is finer than the format's own."""
    corners = np.rint(mesh.points_nm.astype(np.float64) / 0.1).astype(np.int32)
    return joined([LatticeSurface(corners, mesh.triangles), LatticeSurface(corners[:0], mesh.triangles[:0])])


def test_skeletons_lie_in_their_segments(whole: Run) -> None:
    """All large segments have one; its vertices are the middles of pooled voxels, most of which the segment has."""
    voxels = labels()
    ids = stored(whole, "skeletons").ids()
    assert set(np.unique(voxels).tolist()) - {0, SPECK} <= set(ids.tolist())
    for number in ids.tolist():
        skeleton = stored(whole, "skeletons").skeleton(number)
        at = np.floor((skeleton.vertices / VOXEL) - CORNER).astype(int)
        inside = voxels[tuple(np.minimum(at, np.array(SHAPE) - 1).T)] == number
        assert inside.mean() > 0.8
        assert (skeleton.radius > 0).all()
        pieces = ndimage.label(voxels == number, np.ones((3, 3, 3)))[1]
        assert len(skeleton.components()) <= pieces
    with pytest.raises(NotFoundError, match="no skeleton of the segment 5"):
        stored(whole, "skeletons").skeleton(5)


@pytest.mark.parametrize("cell_size", [(16, 16, 16), (20, 50, 40)])
def test_how_tasks_are_cut_changes_no_byte(whole: Run, segmentation: str, tmp_path: Path, cell_size: Any) -> None:
    """One cell a task or rows of them: the files are the same."""
    parts = run_local(parameters(segmentation, tmp_path / "run", cell_size=cell_size))
    assert all(len(parts.plan.stage(kind).tiers[0]) > 1 for kind in SHAPES)
    assert files(parts) == files(whole)


def test_dust_is_left_out_by_the_voxels_of_the_whole_segment(whole: Run, segmentation: str, tmp_path: Path) -> None:
    """The speck has one voxel in each of eight cells: with a threshold of 8 it stays, with 9 it is nowhere."""
    for threshold, expected in ((8, {SPECK}), (9, set())):
        only = {"products": ("meshes",), "dust_threshold": threshold}
        run = run_local(parameters(segmentation, tmp_path / str(threshold), **only))
        kept = set(stored(run, "meshes").ids().tolist())
        assert kept & {SPECK} == expected
        assert kept | {SPECK} == set(stored(whole, "meshes").ids().tolist())
    number = FIRST_ID + 1
    for level in range(3):
        one, other = (stored(r, "meshes").mesh(number, level) for r in (run, whole))
        np.testing.assert_array_equal(one.points_nm, other.points_nm)


class Killed(Exception):
    """A process that ends here."""


def test_kills_change_nothing(whole: Run, segmentation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks end behind any of the tables that they hand on; each start resumes, and the bytes are the same."""
    written, left = 0, [0, 3, 7, 12, 16]

    def killed(*args: Any, **named: Any) -> int:
        nonlocal written
        done = write_table(*args, **named)
        written += 1
        if left and written > left[0]:
            left.pop(0)
            raise Killed
        return done

    monkeypatch.setattr("seuron.pipelines.products.stages.shapes.write_table", killed)
    params = parameters(segmentation, tmp_path / "run", cell_size=(30, 50, 40))
    while left:
        with pytest.raises(Killed):
            run_local(params)
    assert files(run_local(params)) == files(whole)


def test_what_a_viewer_would_not_find_stops_the_run(segmentation: str, tmp_path: Path) -> None:
    """A file that lost its segments behind the back of the run: the stage fails, and no info shows the others."""
    run = prepare_run(parameters(segmentation, tmp_path / "run", products=("meshes",)))
    *before, last = run.plan.stage("meshes").tasks
    for task in before:
        run_task(run, task.id)
    name, lost = next((name, name) for name in run.storage.names("meshes/") if name.endswith(".shard"))
    run.storage.put(name, bytes(len(run.storage.get(lost) or b"")))
    with pytest.raises(RunError, match=r"segments were made, and a viewer finds .* `redo` the stage meshes"):
        run_task(run, last.id)
    assert run.storage.get("meshes/info") is None


def test_the_viewer_is_served_all_shapes(whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP, from the addresses in the viewer's state: the same ids, the same meshes and skeletons."""
    monkeypatch.setenv("SEURON_HTTP_HOSTS", "127.0.0.1")
    url = ensure_server(tmp_path)
    try:
        key = ViewRegistry(tmp_path).add(RunView(whole.output))
        assert key in viewer_link(key, url)
        with urlopen(f"{url}/state/{key}.json") as answer:
            state = json.loads(answer.read())
        sources = state["layers"][-1]["source"]
        assert [source.rpartition("/")[2] for source in sources[1:]] == list(SHAPES)
        meshes, skeletons = (StoredShapes(source.removeprefix("precomputed://")) for source in sources[1:])
        np.testing.assert_array_equal(meshes.ids(), stored(whole, "meshes").ids())
        np.testing.assert_array_equal(skeletons.ids(), stored(whole, "skeletons").ids())
        number = FIRST_ID + 1
        here, there = (shapes_.mesh(number, 1) for shapes_ in (meshes, stored(whole, "meshes")))
        np.testing.assert_array_equal(here.points_nm, there.points_nm)
        found = (shapes_.skeleton(number) for shapes_ in (skeletons, stored(whole, "skeletons")))
        assert len({skeleton.to_precomputed() for skeleton in found}) == 1
    finally:
        stop_server(tmp_path)


def test_a_segment_is_exported_for_other_tools(whole: Run, tmp_path: Path) -> None:
    """Its mesh as OBJ and PLY and its skeleton as SWC, in nm; what cannot be is refused, with the reason."""
    number = FIRST_ID + 1
    for name in ("mesh.obj", "mesh.ply", "skeleton.swc"):
        said = _exported(whole.output, number, tmp_path / name)
        assert said.startswith(f"{tmp_path / name}: ")
        with pytest.raises(ParameterErrors, match="exists; give another name, or --overwrite"):
            _exported(whole.output, number, tmp_path / name)
    mesh, skeleton = stored(whole, "meshes").mesh(number), stored(whole, "skeletons").skeleton(number)
    for read in (zmesh.Mesh.from_obj, zmesh.Mesh.from_ply):
        found = read((tmp_path / f"mesh.{read.__name__[5:]}").read_bytes())
        np.testing.assert_allclose(found.vertices, mesh.points_nm, atol=1e-3)
    points = Skeleton.from_swc((tmp_path / "skeleton.swc").read_text()).vertices
    assert {tuple(p) for p in np.rint(points)} == {tuple(p) for p in np.rint(skeleton.vertices)}
    with pytest.raises(ParameterErrors, match=r"the name must end in \.obj, \.ply or \.swc"):
        _exported(whole.output, number, tmp_path / "mesh.stl")
    with pytest.raises(VolumeError, match="holds no meshes or skeletons"):
        _exported(tmp_path, number, tmp_path / "none.obj")


def _exported(*words: object) -> str:
    result = CliRunner().invoke(app, ["export-segment", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mesh_cell": (400, 16, 16)}, "`mesh_cell` .*allowed are 4 to 320"),
        ({"mesh_levels": 9}, "`mesh_levels`"),
        ({"mesh_error_nm": -1}, "`mesh_error_nm`"),
        ({"skeleton_factor": (32, 2, 1)}, "`skeleton_factor` .*allowed are 1 to 16"),
        ({"skeleton_cell": (8, 8, 8), "skeleton_factor": (4, 4, 1)}, "`skeleton_cell` .*give a larger one"),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    segmentation: str, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Each with what is allowed, before anything runs."""
    with pytest.raises(ParameterErrors, match=message):
        parameters(segmentation, tmp_path / "run", **changes)


@given(st.integers(1, 3000), st.integers(2, 400), st.sampled_from([0, 1]))
def test_cells_cover_an_axis_evenly(voxels: int, wanted: int, unwanted: int) -> None:
    """Cells are near what was wanted, and the last one is what it may be."""
    edge = shapes.even_edge(voxels, wanted, unwanted)
    assert voxels == 1 or voxels % edge != unwanted
    assert edge >= min(voxels, wanted) / 2
    assert edge <= max(1.5 * wanted + 2, 11), "11 is the first that does not divide 2520"

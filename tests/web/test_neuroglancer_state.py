"""The state that Neuroglancer gets: every layer that is there, in the right place, and no other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from seuron.engine.run import Run
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.volumes import create_volume
from seuron.web.focus import Focus
from seuron.web.neuroglancer_state import neuroglancer_state
from seuron.web.snapshot import RunSnapshot


def state_of(run: Run, focus: Focus | None = None, done: frozenset[str] | None = None) -> dict[str, Any]:
    """The state of a run whose tasks are done, all by default."""
    snapshot = RunSnapshot(run, "version", frozenset(task.id for task in run.plan.tasks) if done is None else done)
    return neuroglancer_state(snapshot, lambda name, version: f"http://h/{version}/{name}", focus)


def test_all_layers_of_a_finished_run_are_shown(small_run: Run) -> None:
    """Their types, the centre of the run's box, and each layer in some group of the layout."""
    state = state_of(small_run)
    types = {layer["name"]: layer["type"] for layer in state["layers"]}
    labels = dict.fromkeys(["supervoxels", "segmentation", "ground truth"], "segmentation")
    assert types == {"image": "image", "affinities": "image", **labels}
    assert state["position"] == [74, 76, 78]
    assert state["dimensions"] == {axis: [8e-9, "m"] for axis in "xyz"}
    groups = json.dumps(state["layout"])
    assert all(f'"{name}"' in groups for name in types)
    assert '"4panel"' in groups


def test_a_run_shows_what_it_has_so_far(small_run: Run, tmp_path: Path) -> None:
    """Before the segmentation is there, the affinities can be seen; with nothing, the state is empty."""
    affinities = tmp_path / "affinities"
    shutil.copytree(small_run.storage.path.removeprefix("file://") + "/affinities", affinities)
    run = Run(PIPELINE, SegmentationParams(affinities=str(affinities), output=str(tmp_path / "run")), small_run.facts)
    for done in (None, frozenset[str]()):  # also where records are there, and their layers were deleted
        state = state_of(run, done=done)
        assert [layer["name"] for layer in state["layers"]] == ["affinities"]
        assert state["layout"]["layers"] == ["affinities"]
    shutil.rmtree(affinities)
    assert state_of(run) == {}


def test_images_of_other_types_are_shown_over_the_range_they_use(small_run: Run, tmp_path: Path) -> None:
    """uint16 from a microscope rarely spans 0 to 65535."""
    box = small_run.facts.box
    volume = create_volume(str(tmp_path / "image"), box, small_run.facts.resolution_nm, dtype="uint16", pyramid=False)
    volume.write(box, np.linspace(1000, 2000, box.voxels).reshape(box.shape, order="F").astype(np.uint16))
    run = Run(small_run.pipeline, small_run.params.model_copy(update={"image": volume.path}), small_run.facts)
    low, high = state_of(run)["layers"][0]["shaderControls"]["normalized"]["range"]
    assert 1000 <= low < 1020
    assert 1980 < high <= 2000


def test_a_place_is_shown_close_by_with_its_segments_selected(small_run: Run) -> None:
    """The middle of the panels is the middle of the voxel, and only the segmentation has selected segments."""
    whole, state = state_of(small_run), state_of(small_run, Focus((100, 40, 50), (17, 2**60)))
    assert state["position"] == [100.5, 40.5, 50.5]
    assert state["crossSectionScale"] <= whole["crossSectionScale"]
    selected = {layer["name"]: layer.get("segments") for layer in state["layers"]}
    assert selected == {**dict.fromkeys(selected), "segmentation": ["17", str(2**60)]}


def test_layers_in_an_object_store_keep_their_address(small_run: Run, monkeypatch: Any) -> None:
    """The browser reads those itself; one on this machine has the address that the server gives."""
    import seuron.web.neuroglancer_state as module

    local = module.open_volume(small_run.params.image)
    opened = module.open_volume
    monkeypatch.setattr(module, "open_volume", lambda path: local if path.startswith("gs://") else opened(path))
    run = Run(small_run.pipeline, small_run.params.model_copy(update={"image": "gs://bucket/image"}), small_run.facts)
    sources = {layer["name"]: layer["source"] for layer in state_of(run)["layers"]}
    assert sources["image"] == "precomputed://gs://bucket/image"
    assert sources["ground truth"] == "precomputed://http://h/0/ground truth"

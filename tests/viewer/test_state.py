"""The state that Neuroglancer gets: every layer that is there, in the right place, and no other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from seuron.engine.run import Run
from seuron.errors import SeuronError
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.viewer.registry import HERE, Registry
from seuron.viewer.server import find_file
from seuron.viewer.state import Focus, register_run, viewer_link, viewer_state
from seuron.volumes import create_volume


def test_all_layers_of_a_finished_run_are_shown(small_run: Run) -> None:
    """Their types, the centre of the run's box, and each layer in some group of the layout."""
    state = viewer_state(small_run)
    types = {layer["name"]: layer["type"] for layer in state["layers"]}
    labels = dict.fromkeys(["supervoxels", "segmentation", "ground truth"], "segmentation")
    assert types == {"image": "image", "affinities": "image", **labels}
    assert state["position"] == [74, 76, 78]
    assert state["dimensions"] == {axis: [8e-9, "m"] for axis in "xyz"}
    groups = json.dumps(state["layout"])
    assert all(f'"{name}"' in groups for name in types)
    assert '"4panel"' in groups


def test_a_run_shows_what_it_has_so_far(small_run: Run, tmp_path: Path) -> None:
    """Before the segmentation is there, the affinities can be looked at; with nothing, it is said."""
    affinities = tmp_path / "affinities"
    shutil.copytree(small_run.storage.path.removeprefix("file://") + "/affinities", affinities)
    params = SegmentationParams(affinities=str(affinities), output=str(tmp_path / "run"))
    run = Run(params, small_run.facts)
    state = viewer_state(run)
    assert [layer["name"] for layer in state["layers"]] == ["affinities"]
    assert state["layout"]["layers"] == ["affinities"]
    shutil.rmtree(affinities)
    with pytest.raises(SeuronError, match="no layer to show yet"):
        viewer_state(run)


def test_images_of_other_types_are_shown_over_the_range_they_use(small_run: Run, tmp_path: Path) -> None:
    """uint16 from a microscope rarely spans 0 to 65535."""
    box = small_run.facts.box
    volume = create_volume(str(tmp_path / "image"), box, small_run.facts.resolution_nm, dtype="uint16", pyramid=False)
    volume.write(box, np.linspace(1000, 2000, box.voxels).reshape(box.shape, order="F").astype(np.uint16))
    run = Run(small_run.params.model_copy(update={"image": volume.path}), small_run.facts)
    low, high = viewer_state(run)["layers"][0]["shaderControls"]["normalized"]["range"]
    assert 1000 <= low < 1020
    assert 1980 < high <= 2000


def test_a_registered_run_can_be_found_by_the_server(small_run: Run, tmp_path: Path) -> None:
    """Every local layer becomes a URL of the server that leads to its info file, wherever it lies."""
    registry = Registry(tmp_path)
    key = register_run(small_run, tmp_path)
    assert register_run(small_run, tmp_path) == key
    assert viewer_link(small_run, "http://h:1") == f"http://h:1/v/{key}/#!http://h:1/state/{key}.json"
    state = registry.state(key)
    assert state is not None
    for layer in state["layers"]:
        root_key, _, name = layer["source"].removeprefix(f"precomputed://{HERE}/data/").partition("/")
        root = registry.root(root_key)
        assert root is not None
        assert find_file(root, f"{name}/info".removeprefix("/")) is not None


def test_a_place_is_shown_close_by_with_its_segments_picked_out(small_run: Run, tmp_path: Path) -> None:
    """Under a key of its own, beside the run's; the middle of the panels is the middle of the voxel."""
    focus = Focus((100, 40, 50), (17, 2**60))
    whole, state = viewer_state(small_run), viewer_state(small_run, focus=focus)
    assert state["position"] == [100.5, 40.5, 50.5]
    assert state["crossSectionScale"] <= whole["crossSectionScale"]
    picked = {layer["name"]: layer.get("segments") for layer in state["layers"]}
    assert picked == {**dict.fromkeys(picked), "segmentation": ["17", str(2**60)]}
    key, place = register_run(small_run, tmp_path), register_run(small_run, tmp_path, focus)
    assert place == f"{key}-at-100_40_50"
    assert Registry(tmp_path).state(place) != Registry(tmp_path).state(key)
    assert viewer_link(small_run, "http://h:1", focus) == f"http://h:1/v/{place}/#!http://h:1/state/{place}.json"


def test_layers_in_an_object_store_keep_their_address(small_run: Run) -> None:
    """The browser reads those itself."""
    from seuron.viewer.state import registered_source

    source = registered_source(Registry("/nowhere"), None)
    assert source("gs://bucket/image") == "gs://bucket/image"

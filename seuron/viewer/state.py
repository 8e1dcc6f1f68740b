"""What Neuroglancer shows of a run: its layers, where to look, and how they are arranged.

One large group of four panels shows the segmentation over the image; a column beside it shows what
it was made from: affinities, supervoxels, and the ground truth where there is one. All panels move
together.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seuron.box import Triple
from seuron.engine.run import Run
from seuron.errors import SeuronError
from seuron.storage import cloud_path, local_folder
from seuron.viewer.background import ensure_server
from seuron.viewer.registry import HERE, Registry, address_key, root_key
from seuron.volumes import Volume, open_volume

#: Red, green and blue are the affinities along x, y and z: white inside cells, dark on membranes.
AFFINITY_SHADER = """void main() {
  emitRGB(vec3(toNormalized(getDataValue(0)), toNormalized(getDataValue(1)), toNormalized(getDataValue(2))));
}
"""
IMAGE_SHADER = """#uicontrol invlerp normalized
void main() {
  emitGrayscale(normalized());
}
"""
#: Pixels that the longer side of the box takes when the viewer opens; a panel is some 400 wide.
PANEL_PIXELS = 380
LABEL_OPACITY = 0.4
#: Voxels across a panel that shows a place.
FOCUS_VOXELS = 200
#: Not quite black, so that the volume's own black can be told from what lies outside.
BACKGROUND = "#15181c"


@dataclass(frozen=True)
class Focus:
    """A place to open a run at: a voxel of the run's scale, and the segments to pick out there."""

    voxel: Triple
    segments: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return "at-" + "_".join(str(v) for v in self.voxel)


@dataclass(frozen=True)
class RunLayer:
    """A layer that a run has: what it is called, and its finest scale."""

    name: str
    volume: Volume

    @property
    def is_labels(self) -> bool:
        return self.volume.kind == "segmentation"


def run_layers(run: Run) -> list[RunLayer]:
    """The layers of a run that can be opened, in the order they were made; ground truth comes last."""
    params = run.params
    paths = {
        "image": params.image,
        "affinities": run.layer("affinities"),
        "supervoxels": run.layer("supervoxels"),
        "segmentation": run.layer("segmentation"),
        "ground truth": params.ground_truth,
    }
    return [RunLayer(name, volume) for name, volume in _opened(paths)]


def _opened(paths: dict[str, str | None]) -> Iterator[tuple[str, Volume]]:
    for name, path in paths.items():
        if path is None:
            continue
        try:
            yield name, open_volume(path)
        except SeuronError:
            continue  # an unfinished run has not all its layers; the others can be looked at


def viewer_state(
    run: Run,
    source: Callable[[str], str] = cloud_path,
    focus: Focus | None = None,
    *,
    shown: Container[str] | None = None,
) -> dict[str, Any]:
    """Neuroglancer's state for a run: the whole of its box, or what `focus` points at.

    `shown` names the layers to show, by default all that can be opened.

    `source` gives the URL under which Neuroglancer finds a layer's path; `registered_source` makes
    one for the local server. Raises SeuronError when the run has no layer yet.
    """
    layers = [layer for layer in run_layers(run) if shown is None or layer.name in shown]
    if not layers:
        raise SeuronError(f"{run.output} has no layer to show yet; wait for its first stage or look at its input")
    box, resolution = run.facts.box, run.facts.resolution_nm
    size_nm = [s * r for s, r in zip(box.shape, resolution, strict=True)]
    unit = min(resolution)
    state = {
        "title": f"{run.output.rsplit('/', 1)[-1]} - seuron",
        "dimensions": {axis: [value * 1e-9, "m"] for axis, value in zip("xyz", resolution, strict=True)},
        "position": [(a + b) / 2 for a, b in zip(box.minimum, box.maximum, strict=True)],
        "crossSectionScale": max(size_nm) / unit / PANEL_PIXELS,
        "projectionScale": 1.6 * max(size_nm) / unit,
        "crossSectionBackgroundColor": BACKGROUND,
        "projectionBackgroundColor": BACKGROUND,
        "layers": [_layer_state(layer, source) for layer in layers],
        "selectedLayer": {"layer": layers[-1].name, "visible": False},
        "layout": _layout([layer.name for layer in layers]),
    }
    return state if focus is None else _focused(state, focus)


def _focused(state: dict[str, Any], focus: Focus) -> dict[str, Any]:
    """The state with its middle in the middle of a voxel, closer by, and with segments picked out."""
    picked = {"segments": [str(segment) for segment in focus.segments]}
    return {
        **state,
        "position": [v + 0.5 for v in focus.voxel],
        "crossSectionScale": min(state["crossSectionScale"], FOCUS_VOXELS / PANEL_PIXELS),
        "layers": [{**layer, **picked} if layer["name"] == "segmentation" else layer for layer in state["layers"]],
    }


def _layer_state(layer: RunLayer, source: Callable[[str], str]) -> dict[str, Any]:
    state: dict[str, Any] = {"name": layer.name, "source": f"precomputed://{source(layer.volume.path)}"}
    if layer.is_labels:
        return {**state, "type": "segmentation", "selectedAlpha": LABEL_OPACITY, "hideSegmentZero": True}
    if layer.volume.channels >= 3:
        return {**state, "type": "image", "shader": AFFINITY_SHADER, "opacity": 1}
    controls = {"normalized": {"range": _grey_range(layer.volume)}}
    return {**state, "type": "image", "shader": IMAGE_SHADER, "shaderControls": controls, "opacity": 1}


def _grey_range(volume: Volume) -> list[float]:
    """What is shown as black and white: the full range of uint8, else what the coarsest scale spans."""
    if volume.dtype == np.uint8:
        return [0, 255]
    coarse = open_volume(volume.path, volume.scales - 1)
    voxels = coarse.read(coarse.box, missing="zero")
    low, high = (float(value) for value in np.nanpercentile(voxels, (1, 99)))
    return [low, high if high > low else low + 1]


def _layout(names: list[str]) -> dict[str, Any]:
    """Four panels of the result over its base, beside a column of what else there is."""
    base = [name for name in ("image", "affinities") if name in names][:1]
    result = [name for name in ("segmentation", "supervoxels") if name in names][:1]
    main = {"type": "viewer", "layers": base + result, "layout": "4panel", "flex": 1.5}
    aside = [name for name in names if name not in base + result]
    column = [
        {"type": "viewer", "layers": ([] if name == "affinities" else base) + [name], "layout": "xy"} for name in aside
    ]
    if not column:
        return main
    return {"type": "row", "children": [main, {"type": "column", "flex": 0.6, "children": column}]}


def registered_source(registry: Registry, run_folder: Path | None) -> Callable[[str], str]:
    """URLs of layers on whatever server serves `registry`; layers outside the run's folder are registered on their own.

    Layers in an object store keep their own URL: they need a network wherever they are.
    """

    def source(path: str) -> str:
        folder = local_folder(path)
        if folder is None:
            return path
        folder = folder.resolve()
        if run_folder is not None and folder.is_relative_to(run_folder):
            return f"{HERE}/data/{root_key(run_folder)}/{folder.relative_to(run_folder).as_posix()}"
        return f"{HERE}/data/{registry.add_root(folder)}"

    return source


def run_key(run: Run, focus: Focus | None = None) -> str:
    """The name of a run, or of a place in it, in the viewer's URLs."""
    folder = local_folder(run.output)
    key = root_key(folder) if folder is not None else address_key(run.output)
    return key if focus is None else f"{key}-{focus.name}"


def register_run(run: Run, state_folder: str | Path, focus: Focus | None = None) -> str:
    """Let the server of `state_folder` show a run; returns the key of its state. Again after more layers came."""
    registry, folder = Registry(state_folder), local_folder(run.output)
    folder = folder.resolve() if folder is not None else None
    if folder is not None:
        registry.add_root(folder)
    key = run_key(run, focus)
    registry.set_state(key, viewer_state(run, registered_source(registry, folder), focus))
    return key


def viewer_link(run: Run, base_url: str, focus: Focus | None = None) -> str:
    """The address that opens a registered run; it stays good while the server keeps its port."""
    key = run_key(run, focus)
    return f"{base_url}/v/{key}/#!{base_url}/state/{key}.json"


def view_run(run: Run, state_folder: str | Path, focus: Focus | None = None) -> str:
    """Start the server if needed, register the run, and return the link to open."""
    base_url = ensure_server(state_folder)
    register_run(run, state_folder, focus)
    return viewer_link(run, base_url, focus)

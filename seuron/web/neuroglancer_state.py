"""The state that Neuroglancer gets for a run: its layers, where to look, and how they are arranged.

One large group of four panels shows the segmentation over the image; a column beside it shows what
it was made from: affinities, supervoxels, and the ground truth where there is one. All panels move
together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from seuron.engine.pipeline import Layer
from seuron.engine.run import Run
from seuron.errors import SeuronError
from seuron.storage import local_folder
from seuron.storage.documents import read_if_whole
from seuron.volumes import Volume, open_volume
from seuron.volumes.detection import dataset_path
from seuron.web.focus import Focus
from seuron.web.layer_sources import layer_source
from seuron.web.layers import attachment_versions, layer_versions
from seuron.web.snapshot import RunSnapshot

#: Red, green and blue are the first three channels, such as affinities along x, y and z: dark on membranes.
CHANNELS_SHADER = """void main() {
  emitRGB(vec3(toNormalized(getDataValue(0)), toNormalized(getDataValue(1)), toNormalized(getDataValue(2))));
}
"""
IMAGE_SHADER = """#uicontrol invlerp normalized
void main() {
  emitGrayscale(normalized());
}
"""
#: Pixels that the longer side of the box takes when Neuroglancer opens; a panel is some 400 wide.
PANEL_PIXELS = 380
LABEL_OPACITY = 0.4
#: Voxels across a panel that shows a place.
FOCUS_VOXELS = 200
#: Not quite black, so that the volume's own black differs from what lies outside.
BACKGROUND = "#15181c"


@dataclass(frozen=True)
class ShownLayer:
    """A layer that is shown, the URL at which Neuroglancer finds it, and its finest scale.

    `attached` are the URLs of its attachments, `segments` those that are selected at first.
    """

    layer: Layer
    url: str
    volume: Volume
    attached: tuple[str, ...] = ()
    segments: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self.layer.name


def neuroglancer_state(
    snapshot: RunSnapshot, address: Callable[[str, str], str], focus: Focus | None = None
) -> dict[str, Any]:
    """Neuroglancer's state for what there is of a run; empty while there is nothing.

    It shows the whole of the run's box, or what `focus` points at. `address` gives the URL of a layer on this
    machine from its name and version; layers in an object store keep their own.
    """
    layers = list(_shown_layers(snapshot, address))
    if not layers:
        return {}
    state = _run_state(snapshot.run, layers)
    return state if focus is None else _focused(state, focus, _result(layers))


def _shown_layers(snapshot: RunSnapshot, address: Callable[[str, str], str]) -> Iterator[ShownLayer]:
    versions = layer_versions(snapshot)
    for layer in snapshot.run.layers:
        if layer.name not in versions:
            continue
        try:
            volume = open_volume(layer.path)
        except SeuronError:
            continue  # an input that was moved away since; the others can be shown
        folder = dataset_path(layer.path)
        url = folder if local_folder(folder) is None else address(layer.name, versions[layer.name])
        inside = volume.path.removeprefix(folder) if volume.path.startswith(f"{folder}/") else ""
        attached = tuple(_attached(snapshot, layer, address))
        yield ShownLayer(layer, url + inside, volume, attached, _first_segments(snapshot.run, layer))


def _attached(snapshot: RunSnapshot, layer: Layer, address: Callable[[str, str], str]) -> Iterator[str]:
    """The URL of each attachment of a layer that is there."""
    versions = attachment_versions(snapshot, layer)
    for attachment in layer.attachments:
        if attachment.name in versions:
            local = local_folder(attachment.path) is not None
            yield address(attachment.name, versions[attachment.name]) if local else attachment.path


def _first_segments(run: Run, layer: Layer) -> tuple[int, ...]:
    return (read_if_whole(run.storage, layer.first_segments, tuple[int, ...]) or ()) if layer.first_segments else ()


def _run_state(run: Run, layers: list[ShownLayer]) -> dict[str, Any]:
    box, resolution = run.facts.box, run.facts.resolution_nm
    size_nm = [s * r for s, r in zip(box.shape, resolution, strict=True)]
    unit = min(resolution)
    return {
        "title": f"{run.output.rsplit('/', 1)[-1]} - seuron",
        "dimensions": {axis: [value * 1e-9, "m"] for axis, value in zip("xyz", resolution, strict=True)},
        "position": [(a + b) / 2 for a, b in zip(box.minimum, box.maximum, strict=True)],
        "crossSectionScale": max(size_nm) / unit / PANEL_PIXELS,
        "projectionScale": 1.6 * max(size_nm) / unit,
        "crossSectionBackgroundColor": BACKGROUND,
        "projectionBackgroundColor": BACKGROUND,
        "layers": [_layer_state(layer) for layer in layers],
        "selectedLayer": {"layer": layers[-1].name, "visible": False},
        "layout": _layout(layers),
    }


def _focused(state: dict[str, Any], focus: Focus, result: str | None) -> dict[str, Any]:
    """The state with its middle in the middle of a voxel, closer by, and with segments of the result selected."""
    selected = {"segments": [str(segment) for segment in focus.segments]}
    return {
        **state,
        "position": [v + 0.5 for v in focus.voxel],
        "crossSectionScale": min(state["crossSectionScale"], FOCUS_VOXELS / PANEL_PIXELS),
        "layers": [{**layer, **selected} if layer["name"] == result else layer for layer in state["layers"]],
    }


def _layer_state(layer: ShownLayer) -> dict[str, Any]:
    source: Any = layer_source(layer.volume, layer.url)
    if layer.attached:
        source = [source, *(f"precomputed://{url}" for url in layer.attached)]
    state: dict[str, Any] = {"name": layer.name, "source": source}
    if layer.volume.kind == "segmentation":
        selected = {"segments": [str(segment) for segment in layer.segments]} if layer.segments else {}
        return {**state, "type": "segmentation", "selectedAlpha": LABEL_OPACITY, "hideSegmentZero": True, **selected}
    if layer.volume.channels >= 3:
        return {**state, "type": "image", "shader": layer.layer.shader or CHANNELS_SHADER, "opacity": 1}
    controls = {"normalized": {"range": _grey_range(layer.volume)}}
    return {
        **state,
        "type": "image",
        "shader": layer.layer.shader or IMAGE_SHADER,
        "shaderControls": controls,
        "opacity": 1,
    }


def _grey_range(volume: Volume) -> list[float]:
    """What is shown as black and white: the full range of uint8, else what the coarsest scale spans."""
    if volume.dtype == np.uint8:
        return [0, 255]
    coarse = open_volume(volume.path, volume.scales - 1)
    voxels = coarse.read(coarse.box, missing="zero")
    low, high = (float(value) for value in np.nanpercentile(voxels, (1, 99)))
    return [low, high if high > low else low + 1]


def _result(layers: list[ShownLayer]) -> str | None:
    """The label layer that a run is for, or another of its own while that one is not there."""
    labels = [shown.layer for shown in layers if shown.layer.kind == "segmentation"]
    own = [layer for layer in labels if layer.stage or layer.attachments]
    return next((layer.name for layer in sorted(own, key=lambda layer: not layer.selected)), None)


def _layout(layers: list[ShownLayer]) -> dict[str, Any]:
    """Four panels of the result over its base, an image or else channels, beside a column of what else there is."""
    images = sorted((shown.layer for shown in layers if shown.layer.kind == "image"), key=lambda layer: layer.channels)
    base, result = [layer.name for layer in images[:1]], _result(layers)
    front = base + ([result] if result else [])
    main = {"type": "viewer", "layers": front, "layout": "4panel", "flex": 1.5}
    column = [
        {"type": "viewer", "layers": ([] if shown.layer.kind == "image" else base) + [shown.name], "layout": "xy"}
        for shown in layers
        if shown.name not in front
    ]
    if not column:
        return main
    return {"type": "row", "children": [main, {"type": "column", "flex": 0.6, "children": column}]}

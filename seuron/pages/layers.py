"""What Neuroglancer may show of a run, and the files it asks for: only layers of the run, and only files in them.

A layer is shown once something has been written to it, and its scales once they have been made; the address of
a layer changes whenever more of it has been written, so that a browser never keeps what was missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seuron.engine.plan import Task
from seuron.engine.run import Run
from seuron.pages.look import Look
from seuron.pipelines.segmentation.plan import PYRAMID_SCALES
from seuron.storage import cloud_path, local_folder

#: The stage that writes each layer of a run's own.
WRITERS = {"affinities": "affinities", "supervoxels": "labels", "segmentation": "labels"}
INFO = "info"


def layer_paths(run: Run) -> dict[str, str]:
    """The layers of a run, with the paths of those that it was given."""
    params = run.params
    paths = {
        "image": params.image,
        "affinities": run.layer("affinities"),
        "supervoxels": run.layer("supervoxels"),
        "segmentation": run.layer("segmentation"),
        "ground truth": params.ground_truth,
    }
    return {name: cloud_path(path) for name, path in paths.items() if path is not None}


def layer_versions(look: Look) -> dict[str, str]:
    """The layers in which there is something to see; each with a word that changes when there is more."""
    run, versions = look.run, {}
    for name in layer_paths(run):
        writer = WRITERS.get(name)
        if writer is None or _is_given(look, name):
            versions[name] = "0"
            continue
        done = sum(task.id in look.done for task in run.plan.stage(writer).tasks)
        if done:
            coarse = sum(task.id in look.done for task in _pyramid(run, name))
            versions[name] = f"{look.version[:8]}-{done}-{coarse}"
    return versions


def scales_made(look: Look, layer: str) -> int:
    """How many scales of a layer of the run's own are there: the first, and those that the pyramid has made."""
    tiers = [[task.id for task in tier if task.layer == layer] for tier in look.run.plan.stage("pyramid").tiers]
    made = 1
    for tier in tiers:
        if not tier or not look.done.issuperset(tier):
            return made
        made += PYRAMID_SCALES
    return made


def layer_info(look: Look, layer: str, content: bytes) -> bytes:
    """The `info` of a layer without the scales that are still to be made."""
    if layer not in WRITERS or _is_given(look, layer):
        return content
    info: dict[str, Any] = json.loads(content)
    info["scales"] = info["scales"][: scales_made(look, layer)]
    return json.dumps(info).encode()


def layer_folder(run: Run, layer: str) -> Path | None:
    """The folder of a layer on this machine; None for another name, or a layer in an object store."""
    path = layer_paths(run).get(layer)
    return None if path is None else local_folder(path)


def viewer_state_of(look: Look, address: Callable[[str, str], str]) -> dict[str, Any]:
    """Neuroglancer's state for what there is of a run; empty while there is nothing.

    `address` gives the URL of a layer on this machine from its name and version. Layers in an object store keep
    their own.
    """
    from seuron.viewer.state import viewer_state  # loads what opens volumes

    versions = layer_versions(look)
    if not versions:
        return {}
    paths = {path: name for name, path in layer_paths(look.run).items()}

    def source(path: str) -> str:
        name = paths[cloud_path(path)]
        return cloud_path(path) if local_folder(path) is None else address(name, versions[name])

    return viewer_state(look.run, source, shown=versions)


def _is_given(look: Look, layer: str) -> bool:
    return layer == "affinities" and look.run.params.affinities is not None


def _pyramid(run: Run, layer: str) -> list[Task]:
    return [task for task in run.plan.stage("pyramid").tasks if task.layer == layer]

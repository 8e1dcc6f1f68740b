"""The layers of a run that Neuroglancer may show, and how much of them has been written.

A layer is shown once something has been written to it, and its scales once they have been made. The version of
a layer changes whenever more of it has been written: it is part of its address, so that a browser never keeps
what was missing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seuron.engine.pipeline import Layer
from seuron.engine.run import Run
from seuron.pipelines.stages.pyramid import PYRAMID, SCALES_PER_TASK
from seuron.storage import local_folder
from seuron.storage.documents import parse_document
from seuron.volumes.detection import dataset_path
from seuron.volumes.layouts import LayerFormat
from seuron.web.snapshot import RunSnapshot

#: The file that names a layer's scales.
METADATA_FILE: dict[LayerFormat, str] = {"precomputed": "info", "ome-zarr": "zarr.json"}


def layer_versions(snapshot: RunSnapshot) -> dict[str, str]:
    """The layers in which there is something to see, with their versions."""
    versions = {}
    for layer in snapshot.run.layers:
        if not layer.stage:
            versions[layer.name] = "0"
            continue
        written = _done(snapshot, f"{layer.stage}-")
        if written:
            versions[layer.name] = f"{snapshot.version[:8]}-{written}-{scales_made(snapshot, layer)}"
    return versions


def attachment_versions(snapshot: RunSnapshot, layer: Layer) -> dict[str, str]:
    """The attachments of a layer that are whole, each with its version."""
    versions = {}
    for attachment in layer.attachments:
        tiers = snapshot.run.plan.stage(attachment.stage).tiers
        if tiers and _done(snapshot, tiers[-1].id_prefix()) == len(tiers[-1]):
            versions[attachment.name] = snapshot.version[:8]
    return versions


def scales_made(snapshot: RunSnapshot, layer: Layer) -> int:
    """How many scales of a layer of the run's own are there: the first, and those that the pyramid has made."""
    made = 1
    for tier in snapshot.run.plan.stage(PYRAMID).tiers if layer.scales > 1 else ():
        if layer.name not in tier.layers or _done(snapshot, tier.id_prefix(layer.name)) < tier.indices.voxels:
            return made
        made += SCALES_PER_TASK
    return made


def layer_info(snapshot: RunSnapshot, name: str, content: bytes) -> bytes:
    """The metadata of a layer, its `info` or its group's `zarr.json`, without the scales that are still to be made."""
    layer = _layer(snapshot.run, name)
    if layer is None or not layer.stage:
        return content
    path = f"{layer.path}/{METADATA_FILE[layer.layer_format]}"
    found = parse_document(content, dict[str, Any], path, "start the run again, which writes it")
    image, scales = found, "scales"
    if layer.layer_format == "ome-zarr":
        image, scales = found["attributes"]["ome"]["multiscales"][0], "datasets"
    image[scales] = image[scales][: scales_made(snapshot, layer)]
    return json.dumps(found).encode()


def layer_folder(run: Run, name: str) -> Path | None:
    """The folder of a layer or an attachment on this machine; None for another name, or one in an object store."""
    layer = _layer(run, name)
    if layer is not None:
        return local_folder(dataset_path(layer.path))
    attached = (attachment for layer in run.layers for attachment in layer.attachments)
    return next((local_folder(attachment.path) for attachment in attached if attachment.name == name), None)


def _layer(run: Run, name: str) -> Layer | None:
    return next((layer for layer in run.layers if layer.name == name), None)


def _done(snapshot: RunSnapshot, prefix: str) -> int:
    """How many tasks are done whose ids begin with these letters."""
    return sum(task_id.startswith(prefix) for task_id in snapshot.done)

"""The layers of a segmentation: what it was given and what it writes, in the order in which a viewer shows them."""

from __future__ import annotations

from seuron.engine.pipeline import Layer
from seuron.pipelines.segmentation.facts import SegmentationRun, VolumeFacts
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.storage import cloud_path, join

#: Bytes a voxel that a run leaves on disk besides affinities: 0.5 on FIB-25 (docs/performance.md), and
#: several times that where supervoxels are many and small.
BYTES_PER_VOXEL = 4
#: What an affinity map that the run makes itself takes on top, pyramid included.
AFFINITY_BYTES = {"uint8": 4, "float32": 14}


def layers(params: SegmentationParams, facts: VolumeFacts) -> list[Layer]:
    """All volumes of a run."""
    found = [Layer("image", cloud_path(params.image), "image", "uint8", mip=params.mip)] if params.image else []
    found.append(_affinities(params, facts))
    for name in ("supervoxels", "segmentation"):
        path = join(params.output, name)
        found.append(
            Layer(
                name,
                path,
                "segmentation",
                block_size=params.block_size,
                stage="labels",
                scales=facts.scales[name],
                layer_format=params.layer_format,
                shard_above=facts.shard_above,
                selected=name == "segmentation",
            )
        )
    if params.ground_truth:
        truth = cloud_path(params.ground_truth)
        found.append(Layer("ground truth", truth, "segmentation", selected=False, mip=params.mip))
    return found


def _affinities(params: SegmentationParams, facts: VolumeFacts) -> Layer:
    if params.affinities is not None:
        path = cloud_path(params.affinities)
        return Layer("affinities", path, "image", facts.dtype, channels=3, selected=False, mip=params.mip)
    return Layer(
        "affinities",
        join(params.output, "affinities"),
        "image",
        params.affinity_dtype,
        channels=3,
        block_size=params.block_size,
        stage="affinities",
        scales=facts.scales["affinities"],
        layer_format=params.layer_format,
        shard_above=facts.shard_above,
        selected=False,
    )


def stored_bytes(params: SegmentationParams, facts: VolumeFacts) -> int:
    """What a run leaves on disk, at most."""
    each = BYTES_PER_VOXEL + (AFFINITY_BYTES[params.affinity_dtype] if params.image else 0)
    return facts.box.voxels * each


def affinity_mip(run: SegmentationRun) -> int:
    """The scale at which the affinities lie: a run's own layers begin at its scale."""
    return next(layer.mip for layer in run.layers if layer.name == "affinities")

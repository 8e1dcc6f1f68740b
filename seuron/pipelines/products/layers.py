"""The volumes of a products run, and what is shown with the segmentation."""

from __future__ import annotations

from seuron.engine.pipeline import Layer, LayerAttachment
from seuron.pipelines.products import segment_table
from seuron.pipelines.products.facts import ProductsFacts
from seuron.pipelines.products.meshes import MESHES
from seuron.pipelines.products.params import ProductsParams
from seuron.pipelines.products.skeletons import SKELETONS
from seuron.storage import cloud_path, join

#: Bytes that a run leaves for a segment, at most, and the voxels of small ones.
SEGMENT_BYTES, SEGMENT_VOXELS = 4000, 1000


def layers(params: ProductsParams, facts: ProductsFacts) -> list[Layer]:
    """The volumes that were given; the segmentation is shown with what the run makes of it."""
    found = []
    if params.image is not None:
        found.append(Layer("image", cloud_path(params.image), "image", "uint8"))
    if params.affinities is not None:
        path = cloud_path(params.affinities)
        found.append(Layer("affinities", path, "image", facts.affinity_dtype, channels=3, mip=params.affinities_mip))
    path, attachments = cloud_path(params.segmentation), attachments_of(params)
    labels = Layer(
        "segmentation",
        path,
        "segmentation",
        facts.label_dtype,
        mip=params.mip,
        attachments=attachments,
        first_segments=segment_table.LARGEST if params.wants(segment_table.NAME) else "",
    )
    return [*found, labels]


def attachments_of(params: ProductsParams) -> tuple[LayerAttachment, ...]:
    """What Neuroglancer shows with the segmentation: an entry for each product that makes something of the kind."""
    found = []
    if params.wants(segment_table.NAME):
        properties = segment_table.PROPERTIES
        found.append(LayerAttachment(properties, join(params.output, properties), segment_table.NAME))
    found += [kind.attachment(params) for kind in (MESHES, SKELETONS) if params.wants(kind.name)]
    return tuple(found)


def stored_bytes(params: ProductsParams, facts: ProductsFacts) -> int:
    """What a run leaves on disk, at most."""
    return facts.box.voxels // SEGMENT_VOXELS * SEGMENT_BYTES

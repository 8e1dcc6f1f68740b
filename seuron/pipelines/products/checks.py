"""What can be checked of a products run before its first task."""

from __future__ import annotations

from seuron.box import Box
from seuron.errors import SeuronError
from seuron.pipelines.products.facts import ProductsFacts, ProductsRun
from seuron.pipelines.products.params import ProductsParams
from seuron.volumes import Volume, open_volume

#: Voxel sizes that differ by less than this share of them are the same: files round them.
SAME_SIZE = 1e-3
#: The types of affinities, which are summed as whole numbers.
AFFINITY_DTYPES = ("uint8", "float32")


def check(params: ProductsParams, before: ProductsRun | None, workers: int) -> tuple[ProductsFacts | None, list[str]]:
    """The facts of the run's input, and a sentence for each thing that is wrong; None where it cannot be opened."""
    try:
        labels = open_volume(params.segmentation, params.mip)
    except SeuronError as error:
        return None, [f"`segmentation`: {error}"]
    problems = _label_problems(labels)
    box = Box.from_corners(params.bbox) if params.bbox else labels.box
    if not labels.box.contains(box):
        problems.append(f"`bbox`: {box} is outside the volume {labels.path}, which is {labels.box}")
        box = box.intersect(labels.box) if box.intersect(labels.box).voxels else labels.box
    if not problems:
        problems += _decoding_problems("segmentation", labels, box)
    if params.image is not None:
        problems += _image_problems(params.image)
    dtype = ""
    if params.affinities is not None:
        try:
            affinities = open_volume(params.affinities, params.affinities_mip)
        except SeuronError as error:
            problems.append(f"`affinities`: {error}")
        else:
            problems += _affinity_problems(affinities, labels, box)
            dtype = str(affinities.dtype)
    return ProductsFacts(box, labels.resolution_nm, str(labels.dtype), dtype), problems


def _image_problems(path: str) -> list[str]:
    try:
        image = open_volume(path)
    except SeuronError as error:
        return [f"`image`: {error}"]
    if image.kind != "image":
        return [f"`image`: {image.path} has labels; give an image, or leave it out: only a viewer shows it"]
    return []


def _label_problems(labels: Volume) -> list[str]:
    if labels.dtype.kind != "u" or labels.channels != 1:
        return [
            f"`segmentation`: {labels.path} has {labels.channels} channels of {labels.dtype}; labels are one channel "
            "of uint8 to uint64. Give a layer of labels, or `seuron import` it as one (--kind segmentation)"
        ]
    if labels.kind != "segmentation":
        return [
            f"`segmentation`: {labels.path} is an image ({labels.kind_origin or 'by its type'}); give a layer of "
            "labels, or `seuron import` it as one (--kind segmentation)"
        ]
    return []


def _affinity_problems(affinities: Volume, labels: Volume, box: Box) -> list[str]:
    path, problems = affinities.path, []
    if affinities.channels != 3 or str(affinities.dtype) not in AFFINITY_DTYPES:
        problems.append(
            f"`affinities`: {path} has {affinities.channels} channels of {affinities.dtype}; expected are 3, of "
            f"{' or '.join(AFFINITY_DTYPES)}"
        )
    sizes = zip(affinities.resolution_nm, labels.resolution_nm, strict=True)
    if any(abs(a - b) > SAME_SIZE * b for a, b in sizes):
        problems.append(
            f"`affinities`: voxels of {path} are {affinities.resolution_nm} nm and those of the segmentation "
            f"{labels.resolution_nm} nm; give another `affinities_mip` or `mip`"
        )
    elif not affinities.box.contains(box):
        problems.append(
            f"`affinities`: {path} is {affinities.box}, which does not hold the run's box {box}; give a smaller `bbox`"
        )
    return problems or _decoding_problems("affinities", affinities, box)


def _decoding_problems(name: str, volume: Volume, box: Box) -> list[str]:
    try:
        volume.check_decoding(box)
    except SeuronError as error:
        return [f"`{name}`: {error}"]
    return []

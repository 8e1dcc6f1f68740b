"""Training voxels: read from layers, HDF5 or made, with every problem of a data set named before the first step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from seuron.box import Box
from seuron.errors import ParameterErrors, PermanentError, SeuronError
from seuron.nets.normalisation import Normalisation, measure_normalisation
from seuron.training.file import LabelledSource, TrainingFile

Voxel = tuple[float, float, float]
Part = Literal["training", "validation"]

#: How far voxels of two sources may differ, as a share, and still be called the same.
SAME_VOXEL = 0.01
#: How far voxels of the validation part may differ from those of a training volume.
LIKE_VOXEL = 0.25


@dataclass(frozen=True)
class TrainingVolume:
    """An image with dense labels.

    Attributes:
        name: for messages and the log.
        image: uint8 `(X, Y, Z)`.
        labels: uint32 `(X, Y, Z)`, one id for each neurite.
        resolution: nm of a voxel along x, y, z. Axes are swapped in augmentation only where equal.
        zero: what label 0 means: `boundary` (membrane, extracellular) or `unknown` (left out).
        weight: how often patches come from here, relative to the other volumes.
        mask: bool `(X, Y, Z)`, where labels are to be learned from; everywhere if None.
        part: `training` or `validation`.
    """

    name: str
    image: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint32]
    resolution: Voxel
    zero: Literal["boundary", "unknown"] = "boundary"
    weight: float = 1.0
    mask: npt.NDArray[np.bool_] | None = None
    part: Part = "training"

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape != self.labels.shape:
            raise PermanentError(
                f"training volume {self.name}: the image is {self.image.shape}, the labels are "
                f"{self.labels.shape}; both must be the same (X, Y, Z)"
            )
        if self.image.dtype != np.uint8 or self.labels.dtype != np.uint32:
            raise PermanentError(
                f"training volume {self.name}: got image {self.image.dtype}, labels "
                f"{self.labels.dtype}; convert to uint8 and uint32"
            )
        if self.mask is not None and self.mask.shape != self.labels.shape:
            raise PermanentError(
                f"training volume {self.name}: the mask is {self.mask.shape}, the labels are {self.labels.shape}; "
                "both must be the same (X, Y, Z)"
            )

    def normalisation(self) -> Normalisation:
        """The volume's own scale, measured as a run measures it."""
        return measure_normalisation(self.image)

    def digest(self) -> str:
        """Of all voxels: another training has another digest."""
        found = hashlib.sha256(repr((self.image.shape, self.resolution, self.zero, self.weight, self.part)).encode())
        for array in (self.image, self.labels, self.mask):
            if array is not None:
                found.update(np.ascontiguousarray(array.T).tobytes())
        return found.hexdigest()

    def described(self) -> str:
        """A line for the record."""
        size = "x".join(map(str, self.image.shape))
        return f"{self.name} {size}" + (f" weight {self.weight:g}" if self.part == "training" else " validation")


def read_volumes(training: TrainingFile) -> list[TrainingVolume]:
    """The voxels of a training file.

    Raises:
        ParameterErrors: everything that is wrong with them, at once.
    """
    volumes: list[TrainingVolume] = []
    problems: list[str] = []
    for source in training.volumes:
        try:
            volumes.append(_volume(source))
        except ParameterErrors as error:
            problems += [f"{source.title}: {problem}" for problem in error.problems]
    problems += set_problems(training, volumes) if len(volumes) == len(training.volumes) else []
    for volume in volumes:
        problems += volume_problems(training, volume)
    if problems:
        raise ParameterErrors(problems, "the data set")
    return volumes


def volume_problems(training: TrainingFile, volume: TrainingVolume) -> list[str]:
    """What keeps a net from learning of a volume, or from being scored on it."""
    problems = []
    patch, shape = training.schedule.patch_size, volume.image.shape
    if any(size < side for size, side in zip(shape, patch, strict=True)):
        problems.append(f"{shape} voxels hold no patch of {patch}; lower `schedule.patch_size` or enlarge `box`")
    if volume.image.min() == volume.image.max():
        problems.append(f"every voxel of the image is {volume.image.min()}; is this the image, and the right `box`?")
    known = labelled_voxels(volume, training.loss.minimum_body)
    if not volume.labels.any():
        problems.append("the labels have no object: every voxel is 0; is this the right `box`?")
    elif volume.mask is not None and not volume.mask.any():
        problems.append("the mask leaves nothing: every voxel is 0")
    elif not (known & (volume.labels != 0)).any():
        problems.append(
            "nothing is left to learn from: mask, `zero` and `loss.minimum_body` "
            f"({training.loss.minimum_body} voxels) leave out every object"
        )
    elif (volume.labels == volume.labels.flat[0]).all():
        problems.append(
            f"the labels are one object, {volume.labels.flat[0]}, without any boundary; is this a mask of the tissue?"
        )
    elif np.unique(volume.labels[::2, ::2, ::2]).size > volume.labels[::2, ::2, ::2].size // 8:
        problems.append("more than an eighth of the voxels have a label of their own; are these the labels?")
    return [f"{volume.name}: {problem}" for problem in problems]


def set_problems(training: TrainingFile, volumes: Sequence[TrainingVolume]) -> list[str]:
    """What does not fit between volumes."""
    problems = []
    trained = [volume for volume in volumes if volume.part == "training"]
    held = [volume for volume in volumes if volume.part == "validation"]
    if not trained:
        problems.append("no volume is for training; give one with part = 'training'")
    elif not any(volume.weight > 0 for volume in trained):
        problems.append("every training volume has weight 0; give one of them a weight")
    if training.watching.patience and not held:
        problems.append("`watching.patience` ends a training by its validation part; give a volume part = 'validation'")
    names = [volume.name for volume in volumes]
    twice = sorted({name for name in names if names.count(name) > 1 and not _told_apart(training, name)})
    problems += [f"{name}: two volumes are called so; give each a `name`" for name in twice]
    for volume in held:
        if trained and not any(_near(volume.resolution, other.resolution, LIKE_VOXEL) for other in trained):
            found = " and ".join(sorted({_written(other.resolution) for other in trained}))
            problems.append(
                f"{volume.name}: voxels of {_written(volume.resolution)} nm are validated, of {found} nm trained on; "
                "they may differ by 25 %"
            )
    return problems + _overlaps(training, volumes)


def labelled_voxels(volume: TrainingVolume, minimum_body: int) -> npt.NDArray[np.bool_]:
    """Where the labels of a volume are to be learned from, `(X, Y, Z)`."""
    from seuron.training.targets import small_bodies

    known: npt.NDArray[np.bool_] = ~small_bodies(volume.labels, minimum_body)
    if volume.zero == "unknown":
        known &= volume.labels != 0
    if volume.mask is not None:
        known &= volume.mask
    return known


def read_hdf5(source: str, box: Box | None = None) -> npt.NDArray[np.generic]:
    """The array of `FILE.h5:dataset`, stored `(z, y, x)`, as `(X, Y, Z)` in Fortran order.

    Args:
        source: path and dataset, for example `cube.h5:labels/neuron_ids`.
        box: what to read, in x, y, z; everything if None.

    Raises:
        PermanentError: no such file or dataset, not 3D, or the box leaves the array.
    """
    import h5py  # Only here: most runs read no HDF5.

    path, colon, dataset = source.rpartition(":")
    if not colon or not Path(path).is_file():
        raise PermanentError(f"HDF5 source {source!r}: no such file; write FILE.h5:dataset")
    with h5py.File(path, "r") as file:
        if dataset not in file or not isinstance(file[dataset], h5py.Dataset):
            raise PermanentError(f"HDF5 source {source!r}: no dataset {dataset!r}; it has {list(file)}")
        stored = file[dataset]
        if stored.ndim != 3:
            raise PermanentError(f"HDF5 source {source!r}: got {stored.ndim} axes; only (z, y, x) is read")
        whole = Box.from_shape((0, 0, 0), stored.shape[::-1])
        box = box or whole
        if not whole.contains(box) or box.voxels == 0:
            raise PermanentError(f"HDF5 source {source!r}: box {box} is empty or leaves {whole}")
        array: npt.NDArray[np.generic] = np.asarray(stored[box.slices[::-1]])
    return array.T


def hdf5_volume(
    name: str,
    image: str,
    labels: str,
    resolution: Voxel,
    box: Box | None = None,
    zero: Literal["boundary", "unknown"] = "boundary",
    weight: float = 1.0,
) -> TrainingVolume:
    """A training volume from two `FILE.h5:dataset` sources; only `box` is read."""
    return TrainingVolume(
        name,
        read_hdf5(image, box).astype(np.uint8, copy=False),
        read_hdf5(labels, box).astype(np.uint32, copy=False),
        resolution,
        zero,
        weight,
    )


def _volume(source: LabelledSource) -> TrainingVolume:
    """The voxels of a source; raises ParameterErrors with all that is wrong with it by itself."""
    if source.synthetic is not None:
        return _synthetic(source)
    problems: list[str] = []
    found: dict[str, tuple[npt.NDArray[Any], Voxel | None]] = {}
    for kind in ("image", "labels", "mask"):
        if path := getattr(source, kind):
            try:
                found[kind] = _read(path, source.region)
            except (SeuronError, OSError) as error:
                problems.append(f"{kind}: {error}")
    arrays = {kind: array for kind, (array, _) in found.items()}
    problems += _array_problems(arrays) + _voxel_problems(source, {kind: voxel for kind, (_, voxel) in found.items()})
    if problems:
        raise ParameterErrors(problems)
    voxel = source.resolution or found["image"][1] or found["labels"][1]
    assert voxel is not None  # said by _voxel_problems
    mask = arrays["mask"] != 0 if "mask" in arrays else None
    image = arrays["image"].astype(np.uint8, copy=False)
    labels = _small_ids(arrays["labels"])
    return TrainingVolume(source.title, image, labels, voxel, source.zero, source.weight, mask, source.part)


def _synthetic(source: LabelledSource) -> TrainingVolume:
    from seuron.synth import synthesize  # loads numba

    assert source.synthetic is not None
    voxel = source.resolution or (10.0, 10.0, 10.0)
    try:
        made = synthesize(source.synthetic.shape, source.synthetic.seed, resolution=voxel)
    except PermanentError as error:
        raise ParameterErrors([str(error)]) from error
    cut = (source.region or Box.from_shape((0, 0, 0), made.image.shape)).slices
    image, labels = made.image[cut], made.labels[cut]
    return TrainingVolume(source.title, image, labels, voxel, source.zero, source.weight, None, source.part)


def _read(path: str, box: Box | None) -> tuple[npt.NDArray[Any], Voxel | None]:
    """Voxels `(X, Y, Z)` of a layer or an HDF5 dataset, and their size where it is stored."""
    if path.rpartition(":")[0].endswith((".h5", ".hdf5", ".hdf")):
        return read_hdf5(path, box), None
    from seuron.volumes import open_volume

    layer = open_volume(path)
    if layer.channels != 1:
        raise PermanentError(f"{path}: {layer.channels} channels; images and labels have one")
    whole = layer.box
    if box is not None and (box.voxels == 0 or not whole.contains(box)):
        raise PermanentError(f"{path}: box {box} is empty or leaves {whole}")
    return layer.read(box or whole)[..., 0], layer.resolution_nm


def _array_problems(arrays: dict[str, npt.NDArray[Any]]) -> list[str]:
    """What is wrong with shapes and types."""
    problems = []
    shapes = {kind: array.shape for kind, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        words = ", ".join(f"{kind} {shape}" for kind, shape in shapes.items())
        problems.append(
            f"different shapes: {words}; all must have the same voxels, or give a `box` that all of them hold"
        )
    if "image" in arrays and arrays["image"].dtype != np.uint8:
        problems.append(
            f"the image is {arrays['image'].dtype}; nets are trained on uint8: convert it (`seuron import --window`)"
        )
    if "labels" in arrays and arrays["labels"].dtype.kind not in "iu":
        problems.append(f"the labels are {arrays['labels'].dtype}; they must be integers, one id for each object")
    elif "labels" in arrays and arrays["labels"].size and arrays["labels"].min() < 0:
        problems.append(f"the labels have negative ids, such as {arrays['labels'].min()}; 0 is what is no object")
    return problems


def _voxel_problems(source: LabelledSource, stored: dict[str, Voxel | None]) -> list[str]:
    """What is wrong with the sizes of voxels."""
    known = {kind: voxel for kind, voxel in stored.items() if voxel is not None}
    if source.resolution is not None:
        return [
            f"`resolution` is {_written(source.resolution)} nm, the {kind} says {_written(voxel)}; correct one of them"
            for kind, voxel in known.items()
            if not _near(voxel, source.resolution, SAME_VOXEL)
        ]
    if stored and not known:
        return ["`resolution` is missing, and HDF5 does not say it; give nm of a voxel along x, y, z"]
    first = next(iter(known.values()), None)
    return [
        f"the {kind} has voxels of {_written(voxel)} nm, other ones of {_written(first)}; give layers of one scale"
        for kind, voxel in known.items()
        if first is not None and not _near(voxel, first, SAME_VOXEL)
    ]


def _small_ids(labels: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    """Labels as uint32, 0 kept; ids that do not fit are counted again."""
    if labels.size == 0 or labels.max() < 2**32:
        return labels.astype(np.uint32, copy=False)
    ids, inverse = np.unique(labels, return_inverse=True)
    first = 0 if ids[0] == 0 else 1
    return np.asarray(inverse.reshape(labels.shape) + first, np.uint32)


def _overlaps(training: TrainingFile, volumes: Sequence[TrainingVolume]) -> list[str]:
    """Where the validation part holds voxels that are trained on: by path and box, or as a copy."""
    pairs = list(zip(training.volumes, volumes, strict=True))
    return [
        f"{held.title}: the validation part overlaps the training volume {used.title} ({said}); move its `box`"
        for held, scored in pairs
        for used, trained in pairs
        if held.part == "validation" and used.part == "training" and (said := _shared(held, scored, used, trained))
    ]


def _shared(held: LabelledSource, scored: TrainingVolume, used: LabelledSource, trained: TrainingVolume) -> str:
    """How two volumes share voxels, in words; empty where they do not."""
    if scored.image.shape == trained.image.shape and np.array_equal(scored.image, trained.image):
        return "they hold the same voxels"
    same = held.synthetic == used.synthetic if held.synthetic else bool(held.image) and _same_path(held, used)
    if not same or held.resolution != used.resolution:
        return ""
    first, second = held.region, used.region
    if first is None or second is None:
        return "one of them has no `box`"
    shared = first.intersect(second)
    return f"they share the box {shared}" if shared.voxels else ""


def _same_path(held: LabelledSource, used: LabelledSource) -> bool:
    first, second = (source.image.removeprefix("file://").rstrip("/") for source in (held, used))
    return first == second


def _told_apart(training: TrainingFile, name: str) -> bool:
    """Whether volumes of one name are boxes of one image: their records say which."""
    boxes = [source.box for source in training.volumes if source.title == name]
    return not any(source.name == name for source in training.volumes) and len(set(boxes)) == len(boxes)


def _near(first: Sequence[float], second: Sequence[float], share: float) -> bool:
    return all(abs(a - b) <= share * max(a, b) for a, b in zip(first, second, strict=True))


def _written(voxel: Sequence[float]) -> str:
    return " x ".join(f"{size:g}" for size in voxel)

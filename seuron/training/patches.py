"""Patches of training volumes, each a function of the seed and its number: any process can draw any of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from seuron.box import Box, Triple, triple
from seuron.nets.network import DESCRIPTORS
from seuron.training.augmentations import LabelledPatch, draw_changes
from seuron.training.descriptors import shape_descriptors
from seuron.training.file import AugmentationChoice, TrainingFile
from seuron.training.loss import PatchTensors
from seuron.training.targets import affinity_targets, balance_weights, finest_axes, grow_boundaries
from seuron.training.volumes import TrainingVolume, labelled_voxels

#: Places that are tried for a patch in which something is known.
TRIES = 10
#: Nothing is changed: patches of the validation part.
UNCHANGED = AugmentationChoice(flip_rotate=False, grey=0, recontrasted=0)
#: The streams of random numbers.
TRAINING, VALIDATION = 0, 1

Arrays = tuple[npt.NDArray[np.float32], ...]


class PatchSampler:
    """Draws patches from volumes that were prepared once.

    Args:
        training: patch size, loss and augmentation.
        volumes: of one part.
        offsets: of the net's affinities.
        augmented: whether patches are changed at random.
    """

    def __init__(
        self,
        training: TrainingFile,
        volumes: Sequence[TrainingVolume],
        offsets: Sequence[Triple],
        *,
        augmented: bool = True,
    ) -> None:
        self.training, self.volumes, self.offsets = training, volumes, offsets
        self.choice = training.augmentation if augmented else UNCHANGED
        self.stream = TRAINING if augmented else VALIDATION
        weights = np.array([volume.weight if augmented else volume.image.size for volume in volumes], np.float64)
        self.share = weights / weights.sum()
        self.images = [volume.normalisation().apply(volume.image) for volume in volumes]
        self.known = [labelled_voxels(volume, training.loss.minimum_body) for volume in volumes]

    def batch(self, first: int, count: int) -> PatchTensors:
        """Patches `first` to `first + count`."""
        parts = [self._arrays(number) for number in range(first, first + count)]
        return PatchTensors(*(torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True)))

    def patch(self, number: int) -> tuple[LabelledPatch, TrainingVolume]:
        """A changed patch and the volume that it is from."""
        rng = np.random.default_rng([self.training.schedule.seed, self.stream, number])
        size = self.training.schedule.patch_size
        index = int(rng.choice(len(self.share), p=self.share))
        volume = self.volumes[index]
        room = triple([whole - side for whole, side in zip(volume.image.shape, size, strict=True)])
        changes = draw_changes(rng, self.choice, volume.resolution, size, room)
        shape = [side + more for side, more in zip(size, changes.extra, strict=True)]
        for _ in range(TRIES):
            start = [int(rng.integers(left - more + 1)) for left, more in zip(room, changes.extra, strict=True)]
            cut = Box.from_shape(start, shape).slices
            if self.known[index][cut].any():
                break
        found = LabelledPatch(self.images[index][cut], volume.labels[cut], self.known[index][cut])
        return changes.apply(found, rng), volume

    def _arrays(self, number: int) -> Arrays:
        """Image, targets, weights, descriptors and where those are known."""
        patch, volume = self.patch(number)
        loss = self.training.loss
        grown = grow_boundaries(patch.labels, loss.erosion, finest_axes(volume.resolution))
        affinities, mask = affinity_targets(grown, patch.known, self.offsets)
        weights = balance_weights(affinities, mask) if loss.balance == "patch" else mask.astype(np.float32)
        targets = (loss.margin + (1 - 2 * loss.margin) * affinities).astype(np.float32)
        image = np.ascontiguousarray(patch.image[None], np.float32)
        if not self.training.network.descriptors:
            nothing = np.zeros((0, *patch.shape), np.float32)
            return image, targets, weights, nothing, nothing
        described = (patch.known & (patch.labels != 0)).astype(np.float32)[None]
        labels = np.ascontiguousarray(patch.labels)
        shapes = shape_descriptors(labels, volume.resolution, loss.descriptor_sigma_nm)
        assert len(shapes) == DESCRIPTORS
        return image, targets, weights, shapes, described

"""From image to the outputs of a net: patch by patch, each computed once, added as integers.

What a patch adds is a function of the image, its bounds, the patch grid, the grey scale and the engine, never of who
computes it and of what else he computes (see `patches.py`). Two things outside this module's reach must be equal on
every machine of a run for that to hold to the bit: the engine with its precision, which a run keeps in its facts, and
the number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt

from seuron.box import Box, Triple, triple
from seuron.errors import DataError
from seuron.nets.augmented_views import views_of
from seuron.nets.engines import Engine
from seuron.nets.models import ModelDescription
from seuron.nets.normalisation import GreyScale, Normalisation, measure_image, measure_percentiles
from seuron.nets.patches import Blending, FixedPoint, Floats, PatchGrid, Sums, cut_patch

Grey = npt.NDArray[np.uint8]


@dataclass
class PatchCounts:
    """What was done with patches.

    `run` went through the net; `even` ones, of one grey value, were answered from memory; `masked` ones were left out.
    `net_voxels` is what the net computed, `net_seconds` the time that it took, `net_cpu_seconds` that of all threads.
    """

    run: int = 0
    even: int = 0
    masked: int = 0
    net_voxels: int = 0
    net_seconds: float = 0.0
    net_cpu_seconds: float = 0.0


@dataclass
class PatchPredictor:
    """Runs a net on patches of an image and adds its outputs to sums.

    Attributes:
        engine: runs the net.
        grid: the patches.
        scale: of the image's grey values.
        channels: those of the engine's outputs that are wanted, in the order of the sums.
        augmentation: `none`, `flips` or `all`; the mean over the views of a patch is taken.
        batch: patches that the engine is given at once.
    """

    engine: Engine
    grid: PatchGrid
    scale: GreyScale = field(default_factory=Normalisation)
    channels: tuple[int, ...] = ()
    augmentation: str = "none"
    batch: int = 1
    counts: PatchCounts = field(default_factory=PatchCounts)
    _even: dict[bytes, list[Floats]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        described = self.engine.description
        self.channels = self.channels or tuple(range(described.channels))
        self.numbers = FixedPoint(*value_range(described, self.channels))
        self._views = views_of(self.augmentation, offsets_of(described, self.channels))

    def add(
        self,
        indices: Iterable[Triple],
        region: Grey,
        covers: Box,
        sums: Sums,
        at: Box,
        kept: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Add what patches say to sums.

        Args:
            indices: of the patches.
            region: uint8 `(X, Y, Z)`, voxels of `covers`, which holds all that the patches see of the image.
            covers: the box of `region`.
            sums: int32 `(K, X, Y, Z)`, of the voxels `at`; what patches say of others is dropped.
            at: the box of `sums`.
            kept: `(X, Y, Z)` of `covers`, where the image is not masked; patches without any such voxel are left out.

        Raises:
            DataError: the net gives NaN or an infinite number.
        """
        scaled = self.scale.apply(region, covers.minimum[2])
        if kept is not None:  # masked voxels are as if they were 0, which is what missing ones are
            region = np.where(kept, region, 0)
            scaled = np.where(kept, scaled, self.scale.apply(np.zeros_like(region), covers.minimum[2]))
        waiting = self._waiting(indices, region, covers, kept)
        while group := list(islice(waiting, self.batch)):
            patches = [cut_patch(scaled, covers, self.grid.patch(index), self.grid.image) for index, _ in group]
            found = self._values([index for index, _ in group], patches, [even for _, even in group])
            for (index, _), outputs in zip(group, found, strict=True):
                self._add_patch(index, outputs, sums, at)

    def _waiting(
        self, indices: Iterable[Triple], region: Grey, covers: Box, kept: npt.NDArray[np.bool_] | None
    ) -> Iterator[tuple[Triple, bool]]:
        """The patches that are not masked, and whether all of each has one grey value."""
        for index in indices:
            inside = self.grid.patch(index).intersect(self.grid.image).within(covers)
            if kept is not None and not kept[inside].any():
                self.counts.masked += 1
                continue
            seen = region[inside]
            yield index, bool((seen == seen[0, 0, 0]).all())

    def _values(self, indices: list[Triple], patches: list[Floats], even: list[bool]) -> list[list[Floats]]:
        """What the net says of each view of patches, `(K, X, Y, Z)` each.

        The answer for an even patch (masked, missing) is remembered: it is what the net gives for it, so remembering
        changes the time and nothing else.
        """
        found: list[list[Floats] | None] = [None] * len(patches)
        for number, patch in enumerate(patches):
            if even[number]:
                key = patch[0, 0].tobytes()  # a section may have a scale of its own
                if key in self._even:
                    self.counts.even += 1
                else:
                    self._even.clear()  # one is kept: nearly always that of grey value 0
                    self._even[key] = self._run([indices[number]], [patch])[0]
                found[number] = self._even[key]
        left = [number for number, values in enumerate(found) if values is None]
        run = self._run([indices[number] for number in left], [patches[number] for number in left]) if left else []
        for number, values in zip(left, run, strict=True):
            found[number] = values
        return [values for values in found if values is not None]

    def _run(self, indices: list[Triple], patches: list[Floats]) -> list[list[Floats]]:
        found: list[list[Floats]] = [[] for _ in patches]
        self.counts.run += len(patches)
        for view in self._views:
            batch = np.stack([np.ascontiguousarray(view.input(patch)) for patch in patches])[:, None]
            started, used = time.perf_counter(), time.process_time()
            outputs = self.engine.run(batch)
            self.counts.net_seconds += time.perf_counter() - started
            self.counts.net_cpu_seconds += time.process_time() - used
            self.counts.net_voxels += batch.size
            for index, output, values in zip(indices, outputs, found, strict=True):
                self._check_finite(index, output)
                values.append(view.output(output[list(self.channels)]))
        return found

    def _check_finite(self, index: Triple, output: Floats) -> None:
        if np.isfinite(output.sum()):  # numbers of a range: their sum is finite unless one of them is not
            return
        channel, *place = np.argwhere(~np.isfinite(output))[0].tolist()
        patch = self.grid.patch(index)
        voxel = triple([a + b for a, b in zip(patch.minimum, place, strict=True)])
        raise DataError(
            f"the net {self.engine.description.name} gives {output[(channel, *place)]} for channel {channel} at voxel "
            f"{voxel}, in the patch {patch}; look at the image there, at its grey scale, and at the net with "
            "`seuron models check`"
        )

    def _add_patch(self, index: Triple, outputs: list[Floats], sums: Sums, at: Box) -> None:
        shared = self.grid.reach(index).intersect(at)
        if shared.voxels == 0:
            return
        shares = self.grid.shares(index, shared) / np.float32(len(outputs))  # a power of two: nothing is rounded
        inside, here = shared.within(self.grid.patch(index)), shared.within(at)
        for values in outputs:
            self.numbers.add(sums[(slice(None), *here)], values[(slice(None), *inside)], shares)


def model_scale(described: ModelDescription, read: Callable[[Box], Grey], box: Box) -> Normalisation:
    """The grey scale of a box of an image as a model wants it: the model's own, or measured in the box.

    Raises PermanentError where there is nothing to measure.
    """
    scale = described.scale
    if scale.kind == "fixed":
        return Normalisation(scale.mean, scale.std)
    if scale.kind == "none":
        return Normalisation(0.0, 1.0)
    if scale.kind == "percentiles":
        return measure_percentiles(read, box, scale.low, scale.high)
    return measure_image(read, box)


def value_range(described: ModelDescription, channels: tuple[int, ...]) -> tuple[float, float]:
    """The lowest and the highest number that channels of a net may have."""
    every = [layer.range for layer in described.outputs for _ in layer.channels]
    ranges = [every[channel] for channel in channels]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def offsets_of(described: ModelDescription, channels: tuple[int, ...]) -> tuple[Triple | None, ...]:
    """The offset of each of a net's channels, None of those that are no affinities."""
    every = [channel.offset for layer in described.outputs for channel in layer.channels]
    return tuple(every[channel] for channel in channels)


def predict_volume(
    engine: Engine,
    image: Grey,
    scale: GreyScale = Normalisation(),
    patch_size: Triple = (96, 96, 96),
    overlap: Triple = (16, 16, 16),
    *,
    blending: Blending = "blend",
    augmentation: str = "none",
) -> npt.NDArray[np.float32]:
    """What a net says of a whole image in memory.

    Args:
        engine: runs the net.
        image: uint8 `(X, Y, Z)`.
        scale: of its grey values.
        patch_size: the largest patch; 96 was the fastest per voxel of 64 to 192 on a CPU: larger ones leave its cache.
        overlap: voxels shared by neighbouring patches (docs/performance.md has what less costs).
        blending, augmentation: as in `PatchGrid` and `PatchPredictor`.

    Returns:
        float32 `(X, Y, Z, K)`: a view of `(K, X, Y, Z)`.

    Raises:
        PermanentError: the patches do not fit the net or the image.
        DataError: the net gives NaN.
    """
    covers = Box((0, 0, 0), triple(image.shape))
    shapes = engine.description.patch
    grid = PatchGrid.fitted(
        covers,
        patch_size,
        overlap,
        step=shapes.granularity,
        least=shapes.minimum,
        margin=engine.description.margin,
        blending=blending,
    )
    predictor = PatchPredictor(engine, grid, scale, augmentation=augmentation)
    sums = np.zeros((len(predictor.channels), *image.shape), np.int32)
    predictor.add(grid.meeting(covers).places(), image, covers, sums, covers)
    return np.moveaxis(predictor.numbers.numbers(sums), 0, 3)


def to_uint8(numbers: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Numbers in [0, 1] as `round(255 a)`, same shape and order."""
    scaled: npt.NDArray[np.uint8] = np.rint(np.multiply(numbers, np.float32(255))).astype(np.uint8)
    return scaled

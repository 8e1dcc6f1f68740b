"""From image to affinities: a net with its weights folded, run patch by patch over a box.

The affinities of a voxel are a function of the run's image, its bounds, the patch grid and the predictor, never of
the chunk (see `patches.py`). Two things outside this module's reach must be equal on every machine of a run for
that to hold to the bit: the precision (`auto` may choose differently on different processors: give
it by name in a mixed cluster) and the number of threads.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from seuron.box import Box, Triple
from seuron.errors import PermanentError
from seuron.nets.checkpoint import SHIPPED, load_checkpoint
from seuron.nets.network import TARGET_MARGIN, BoundaryNet, fold_norms
from seuron.nets.normalisation import Normalisation
from seuron.nets.patches import PatchGrid, blend, cut_patch, needed_region

Precision = Literal["auto", "bf16", "fp32"]
ReadImage = Callable[[Triple, Triple], npt.NDArray[np.uint8]]
"""Reads the half-open box `minimum, maximum` as uint8 `(X, Y, Z)`."""


def hardware_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor multiplies bf16 in hardware; where it is emulated it is slower than fp32."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False  # No such file outside Linux: fp32 is always right, if slower.
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return flags is not None and bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags.group(1).split()))


def choose_precision(precision: Precision, device: str) -> torch.dtype:
    """The number type a net runs in; raises PermanentError for an unknown precision."""
    if precision == "auto":
        able = torch.cuda.is_bf16_supported() if device.startswith("cuda") else hardware_bf16()
        return torch.bfloat16 if able else torch.float32
    if precision not in ("bf16", "fp32"):
        raise PermanentError(f"precision: got {precision!r}; use 'auto', 'bf16' or 'fp32'")
    return torch.bfloat16 if precision == "bf16" else torch.float32


class Predictor:
    """A boundary net ready to run: folded, in its number type and memory format, on its device.

    Args:
        net: from `load_checkpoint` or `train`; it is copied, not changed.
        normalisation: the run's grey scale.
        precision: `auto` takes bf16 where the hardware has it.
        device: `auto` takes CUDA where there is one, or a torch device's name.
        threads: torch's threads in this process; one for each task leaves a machine's cores to tasks.
    """

    channels = 3

    def __init__(
        self,
        net: BoundaryNet,
        normalisation: Normalisation = Normalisation(),
        precision: Precision = "auto",
        device: str = "auto",
        threads: int = 1,
    ) -> None:
        if threads < 1:
            raise PermanentError(f"threads: got {threads}; use at least 1")
        torch.set_num_threads(threads)
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        if self.device.startswith("cuda"):
            # cudnn's search may pick another algorithm, with other roundings, in another process.
            torch.backends.cudnn.benchmark = False
            torch.backends.cudnn.deterministic = True
        self.dtype = choose_precision(precision, self.device)
        self.normalisation = normalisation
        self.granularity = net.config.granularity
        ready = _nearest_only(fold_norms(copy.deepcopy(net).eval()))
        self._net = ready.to(self.device, self.dtype).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self._flat: dict[tuple[Triple, int], npt.NDArray[np.float32]] = {}

    @classmethod
    def load(
        cls,
        weights: Path = SHIPPED,
        normalisation: Normalisation = Normalisation(),
        precision: Precision = "auto",
        device: str = "auto",
        threads: int = 1,
    ) -> Predictor:
        """A predictor from a weights file, by default the one that comes with seuron."""
        return cls(load_checkpoint(weights)[0], normalisation, precision, device, threads)

    @property
    def precision(self) -> str:
        """What `auto` came to: `bf16` or `fp32`."""
        return "bf16" if self.dtype == torch.bfloat16 else "fp32"

    def patch(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Affinities, float32 `(X, Y, Z, 3)` in [0, 1], of one patch `(X, Y, Z)`.

        The answer for an even patch (masked, missing) is remembered by its grey value: it is what the net gives
        for it, so remembering changes the time and nothing else.
        """
        value = int(image[0, 0, 0])
        if not (image == value).all():
            return self._run(image)
        x, y, z = image.shape
        key = ((x, y, z), value)
        if key not in self._flat:
            self._flat.clear()  # One is kept: nearly always that of grey value 0.
            self._flat[key] = self._run(image)
        return self._flat[key]

    def _run(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        scaled = torch.from_numpy(np.ascontiguousarray(self.normalisation.apply(image)))
        with torch.inference_mode():
            batch = scaled[None, None].to(self.device, self.dtype)
            logits = self._net(batch.contiguous(memory_format=torch.channels_last_3d))
            sure = (torch.sigmoid(logits[0].float()) - TARGET_MARGIN) / (1 - 2 * TARGET_MARGIN)
            affinities: npt.NDArray[np.float32] = sure.clamp_(0, 1).permute(1, 2, 3, 0).cpu().numpy()
        return affinities


def _nearest_only(net: BoundaryNet) -> BoundaryNet:
    """Drop the auxiliary outputs: only the three nearest-neighbour channels are used."""
    state = {name: tensor[: Predictor.channels] for name, tensor in net.last.state_dict().items()}
    net.last = nn.Conv3d(net.last.in_channels, Predictor.channels, 1)
    net.last.load_state_dict(state)
    return net


def predict_box(
    read_image: ReadImage,
    image_min: Triple,
    image_max: Triple,
    box_min: Triple,
    box_max: Triple,
    predictor: Predictor,
    patch_size: Triple = (96, 96, 96),
    overlap: Triple = (16, 16, 16),
) -> npt.NDArray[np.float32]:
    """Affinities of a box, the same voxels whatever box they are asked for in.

    Args:
        read_image: reads the image; called once, with the box grown by the patches that overlap it.
        image_min, image_max: bounds of the run's image: they anchor the patch grid, and only beyond them is
            the image mirrored.
        box_min, box_max: what to compute.
        predictor: the net.
        patch_size: voxels; multiples of the predictor's granularity. 96 was the fastest per voxel of 64 to 192
            on a CPU: larger ones leave its cache.
        overlap: voxels shared by neighbouring patches. 8, 16 and 24 scored alike (AUC 0.9753, 0.9753, 0.9752 on
            FIB-25's validation part).

    Returns:
        float32 `(X, Y, Z, 3)` in [0, 1], Fortran order. Channel `c` is the affinity with the voxel before along
        axis `c`; on the image's first plane of that axis it is the net's guess about a voxel that is not there.

    Raises:
        PermanentError: boxes, sizes or what was read do not fit.
    """
    box, grid = Box(box_min, box_max), PatchGrid(Box(image_min, image_max), patch_size, overlap)
    if any(size % predictor.granularity for size in patch_size):
        raise PermanentError(f"patch_size: got {patch_size}; each side must be a multiple of {predictor.granularity}")
    if box.voxels == 0 or not grid.image.contains(box):
        raise PermanentError(f"box {box} is empty or leaves the image {grid.image}; choose a box inside it")
    covers = needed_region(grid, box)
    region = read_image(covers.minimum, covers.maximum)
    if region.shape != covers.shape or region.dtype != np.uint8:
        raise PermanentError(
            f"image: reading {covers} gave {region.dtype} {region.shape}; uint8 {covers.shape} was asked for"
        )
    return blend(
        grid, box, Predictor.channels, lambda patch: predictor.patch(cut_patch(region, covers, patch, grid.image))
    )


def to_uint8(affinities: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Affinities in [0, 1] as `round(255 a)`, same shape and order."""
    scaled: npt.NDArray[np.uint8] = np.rint(np.multiply(affinities, 255.0)).astype(np.uint8)
    return scaled

"""Which patch is the fastest for a net on this machine: measured once, and remembered.

The cost of a voxel of an image is that of a voxel of the net times how many of these a patch grid computes for it. A
large patch has less overlap and leaves the processor's cache; which shape is best is measured, not guessed.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from seuron.box import Box, Triple, triple
from seuron.errors import PermanentError
from seuron.nets.engines import Engine
from seuron.nets.models import ModelDescription
from seuron.nets.patches import Floats, PatchGrid
from seuron.storage.digests import digest_of_data

#: The shapes that are measured, smallest first, as the net's granularity lets them be: cubes, and flat ones for
#: volumes of few sections.
SHAPES: tuple[Triple, ...] = (
    (64, 64, 64),
    (96, 96, 48),
    (96, 96, 96),
    (160, 160, 48),
    (128, 128, 128),
    (192, 192, 96),
    (160, 160, 160),
)
#: Each shape is run so often, and the fastest counts: others use the machine as well.
RUNS = 2
#: Measuring ends once a shape is slower than this share of the fastest so far: larger ones will be as well.
FALLING_OFF = 0.6


@dataclass(frozen=True)
class MeasuredPatch:
    """How fast a net is on a patch, in voxels a second of one task, and the memory that it takes."""

    patch: Triple
    voxels_per_second: float
    memory_bytes: int


def measured_patches(engine: Engine, remembered: Path) -> list[MeasuredPatch]:
    """What was measured of a net, its engine and this machine, now or before.

    Args:
        engine: with the net.
        remembered: a folder; what is measured is kept there.
    """
    machine = [platform.node(), platform.machine(), _processor(), os.cpu_count()]
    name = digest_of_data([machine, engine.description.sha256, engine.name, engine.precision])
    file = remembered / f"{name}.json"
    try:
        return [MeasuredPatch(triple(row["patch"]), row["voxels_per_second"], row["memory_bytes"])
                for row in json.loads(file.read_bytes())]  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or not whole
        found = _measure(engine)
    remembered.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}.partial")
    part.write_text(json.dumps([asdict(row) for row in found], indent=1))
    part.replace(file)
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("model name")), platform.processor())


def _measure(engine: Engine) -> list[MeasuredPatch]:
    found: list[MeasuredPatch] = []
    before, fastest = psutil.Process().memory_info().rss, 0.0
    for patch in _shapes(engine.description):
        batch = np.random.default_rng(0).standard_normal((1, 1, *patch)).astype(np.float32)
        seconds = min(_seconds(engine, batch) for _ in range(RUNS))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        found.append(MeasuredPatch(patch, batch.size / seconds, max(0, peak - before)))
        if found[-1].voxels_per_second < FALLING_OFF * fastest:
            break
        fastest = max(fastest, found[-1].voxels_per_second)
    return found


def _seconds(engine: Engine, batch: Floats) -> float:
    started = time.perf_counter()
    engine.run(batch)
    return time.perf_counter() - started


def _shapes(described: ModelDescription) -> list[Triple]:
    """The shapes that the net takes, those that come to the same once."""
    shapes = described.patch
    found = [described.patch.default] if described.patch.default[2] < SHAPES[0][2] else []
    for wanted in SHAPES:
        most = shapes.maximum or wanted
        rows = zip(wanted, shapes.minimum, shapes.granularity, most, strict=True)
        patch = triple([low + max(0, min(side, high) - low) // step * step for side, low, step, high in rows])
        if patch not in found and not shapes.problems(patch):
            found.append(patch)
    return found


def fastest_patch(
    measured: Sequence[MeasuredPatch],
    image: Box,
    overlap: Triple,
    described: ModelDescription,
    memory_bytes: int,
) -> Triple:
    """The patch with which an image is done soonest, of those that fit into memory and hold two overlaps.

    Raises:
        PermanentError: there is none.
    """
    rates: dict[Triple, float] = {}
    for found in measured:
        if found.memory_bytes <= memory_bytes and all(2 * o <= p for o, p in zip(overlap, found.patch, strict=True)):
            grid = PatchGrid.fitted(
                image,
                found.patch,
                overlap,
                step=described.patch.granularity,
                least=described.patch.minimum,
                margin=described.margin,
            )
            rates[found.patch] = found.voxels_per_second / grid.patches_per_voxel
    if not rates:
        least = min(found.memory_bytes for found in measured)
        raise PermanentError(
            f"no patch with an overlap of {overlap} fits into {memory_bytes / 2**30:.1f} GiB: the smallest that was "
            f"measured takes {least / 2**30:.1f} GiB. Give a smaller `patch_overlap`, or a `patch_size`"
        )
    return max(rates, key=lambda patch: rates[patch])

"""What Google's machine types hold: cores, memory and built-in GPUs, from their names.

Known are the predefined types of the families below, and custom ones (`n2-custom-8-65536`: cores,
memory in MiB). Any other type can be used when the cluster's file gives its cores and memory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

GIB = 1 << 30


@dataclass(frozen=True)
class MachineType:
    """What one machine has; `gpu_type` is Google's name of its built-in GPUs, empty without any."""

    type: str
    family: str
    cores: int
    memory_bytes: int
    gpus: int = 0
    gpu_type: str = ""


_SMALL = (2, 4, 8, 16, 32)
_N1 = (1, 2, 4, 8, 16, 32, 64, 96)
_N2 = (2, 4, 8, 16, 32, 48, 64, 80, 96, 128)
_N2D = (*_N2, 224)
_C2D = (2, 4, 8, 16, 32, 56, 112)
_C3 = (4, 8, 22, 44, 88, 176)
_C3D = (4, 8, 16, 30, 60, 90, 180, 360)
_N4 = (2, 4, 8, 16, 32, 48, 64, 80)

#: Family and kind -> GiB of memory a core, and the numbers of cores that are offered.
_SERIES: dict[str, tuple[float, tuple[int, ...]]] = {
    "e2-standard": (4, _SMALL),
    "e2-highmem": (8, (2, 4, 8, 16)),
    "e2-highcpu": (1, _SMALL),
    "n1-standard": (3.75, _N1),
    "n1-highmem": (6.5, _N1[1:]),
    "n1-highcpu": (0.9, _N1[1:]),
    "n2-standard": (4, _N2),
    "n2-highmem": (8, _N2[:-1]),
    "n2-highcpu": (1, _N2[:-1]),
    "n2d-standard": (4, _N2D),
    "n2d-highmem": (8, _N2[:-1]),
    "n2d-highcpu": (1, _N2D),
    "n4-standard": (4, _N4),
    "n4-highmem": (8, _N4),
    "n4-highcpu": (2, _N4),
    "t2d-standard": (4, (1, 2, 4, 8, 16, 32, 48, 60)),
    "c2-standard": (4, (4, 8, 16, 30, 60)),
    "c2d-standard": (4, _C2D),
    "c2d-highmem": (8, _C2D),
    "c2d-highcpu": (2, _C2D),
    "c3-standard": (4, _C3),
    "c3-highmem": (8, _C3),
    "c3-highcpu": (2, _C3),
    "c3d-standard": (4, _C3D),
    "c3d-highmem": (8, _C3D),
    "c3d-highcpu": (2, _C3D),
}

_L4, _A100, _A100_80, _H100 = "nvidia-l4", "nvidia-tesla-a100", "nvidia-a100-80gb", "nvidia-h100-80gb"
#: Types with GPUs built in: cores, GiB of memory, GPUs and their type.
_WITH_GPUS: dict[str, tuple[int, float, int, str]] = {
    **{f"g2-standard-{cores}": (cores, 4 * cores, 1, _L4) for cores in (4, 8, 12, 16, 32)},
    **{f"g2-standard-{cores}": (cores, 4 * cores, gpus, _L4) for cores, gpus in ((24, 2), (48, 4), (96, 8))},
    **{f"a2-highgpu-{gpus}g": (12 * gpus, 85 * gpus, gpus, _A100) for gpus in (1, 2, 4, 8)},
    "a2-megagpu-16g": (96, 1360, 16, _A100),
    **{f"a2-ultragpu-{gpus}g": (12 * gpus, 170 * gpus, gpus, _A100_80) for gpus in (1, 2, 4, 8)},
    **{f"a3-highgpu-{gpus}g": (26 * gpus, 234 * gpus, gpus, _H100) for gpus in (1, 2, 4, 8)},
}
#: Types that share a core: cores seen, GiB.
_SHARED = {"e2-micro": (2, 1), "e2-small": (2, 2), "e2-medium": (2, 4)}
_CUSTOM = re.compile(r"(?:(?P<family>e2|n2|n2d|n4)-)?custom-(?P<cores>\d+)-(?P<mebibytes>\d+)(?:-ext)?")

#: GPUs that can be attached, and to what: only machines of the family n1 take them.
ATTACHABLE = ("nvidia-tesla-t4", "nvidia-tesla-p4", "nvidia-tesla-p100", "nvidia-tesla-v100")
ATTACHES_GPUS = "n1"


def known_types() -> tuple[str, ...]:
    """Every predefined type, by name."""
    series = (f"{kind}-{cores}" for kind, (_, sizes) in _SERIES.items() for cores in sizes)
    return tuple(sorted((*series, *_WITH_GPUS, *_SHARED)))


def machine_of(name: str) -> MachineType | None:
    """What a machine of this type has; None for a type that is not known."""
    family = name.split("-")[0]
    if name in _WITH_GPUS:
        cores, gibibytes, gpus, gpu_type = _WITH_GPUS[name]
        return MachineType(name, family, cores, int(gibibytes * GIB), gpus, gpu_type)
    if name in _SHARED:
        return MachineType(name, family, _SHARED[name][0], _SHARED[name][1] * GIB)
    if custom := _CUSTOM.fullmatch(name):
        return MachineType(name, custom["family"] or "n1", int(custom["cores"]), int(custom["mebibytes"]) << 20)
    kind, _, size = name.rpartition("-")
    if kind in _SERIES and size.isdecimal() and int(size) in _SERIES[kind][1]:
        return MachineType(name, family, int(size), int(int(size) * _SERIES[kind][0] * GIB))
    return None


def machine_with(name: str, cores: int | None, memory_gib: float | None) -> MachineType | None:
    """The machine of a known type, or of an unknown one whose cores and memory are given."""
    known = machine_of(name)
    if known is not None or not name or cores is None or memory_gib is None:
        return known
    return MachineType(name, name.split("-")[0], cores, int(memory_gib * GIB))


def nearest_types(name: str) -> tuple[str, ...]:
    """Known types whose names are like this one, best first."""
    return tuple(get_close_matches(name, known_types(), n=3, cutoff=0.6))

"""Whether the kernels are compiled, and the command that does it: a process of its own, before the scheduler's start.

In the scheduler, or in what it forks, compiling would keep it from saying that it is alive for as long as that takes.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from seuron.deployment.home import PROJECT

#: Its service's name, and that of its log.
KERNELS = "kernels"


def compile_command() -> list[str]:
    """Compiles what is not compiled, and prints a line for each function."""
    return [sys.executable, "-m", "abiss_py.compilation"]


def kernels_stamp(cache: Path) -> Path:
    """The file in numba's cache folder that says that all kernels are compiled there, as they are now, for this
    processor.
    """
    digest = hashlib.sha256()
    for path in sorted((PROJECT / "abiss_py").rglob("*.py")):
        digest.update(str(path).encode() + path.read_bytes())
    parts = (sys.version, version("numba"), version("llvmlite"), version("numpy"), _processor())
    digest.update("\n".join(parts).encode())
    return cache / f"compiled-{digest.hexdigest()[:16]}"


def _processor() -> str:
    """What machine code depends on: the processor's model and what it can do."""
    wanted = ("model name", "flags", "Features", "CPU part")
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    found = {line for line in lines if line.partition(":")[0].strip() in wanted}
    return "\n".join([platform.machine(), *sorted(found)])

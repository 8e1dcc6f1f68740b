"""What the hardware is good at."""

from __future__ import annotations

import re
from pathlib import Path


def hardware_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor multiplies bf16 in hardware; where it is emulated it is slower than fp32."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False  # No such file outside Linux: fp32 is always right, if slower.
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return flags is not None and bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags.group(1).split()))

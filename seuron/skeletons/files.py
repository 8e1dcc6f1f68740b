"""A skeleton as a file of other tools: SWC, by osteoid."""

from __future__ import annotations

from typing import Any


def swc_file(skeleton: Any) -> bytes:
    """The content of an SWC file of an `osteoid.Skeleton`: coordinates and radii in its unit, nm."""
    content: str = skeleton.to_swc()
    return content.encode()

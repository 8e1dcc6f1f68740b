"""Paths with their schemes: `file:///data/run`, `gs://bucket/run`."""

from __future__ import annotations

import os
from pathlib import Path


def cloud_path(path: str | Path) -> str:
    """The path with its scheme: a bare path means a file on this machine, made absolute."""
    text = str(path).removeprefix("precomputed://").rstrip("/")
    if "://" in text and not text.startswith("file://"):
        return text
    return "file://" + os.path.abspath(os.path.expanduser(text.removeprefix("file://")))


def local_folder(path: str | Path) -> Path | None:
    """The folder that a `file://` path names; None for an object store."""
    full = cloud_path(path)
    return Path(full.removeprefix("file://")) if full.startswith("file://") else None


def join(path: str | Path, *names: str) -> str:
    """`names` below `path`, as a cloud path."""
    return "/".join([cloud_path(path), *names])

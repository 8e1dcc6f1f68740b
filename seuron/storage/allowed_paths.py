"""Which paths may be opened at all, and which as inputs and outputs of runs: settings of the deployment's owner.

    SEURON_HTTP_HOSTS     hosts that may be asked over http and https, or `*`; none without it
    SEURON_INPUT_ROOTS    folders and buckets that runs may read from, beside those of outputs; any without it
    SEURON_OUTPUT_ROOTS   folders and buckets that runs may write to; any without it

All are words with spaces between, in quotes where they hold spaces. Links are followed before paths are compared.
`Storage` and `seuron.volumes` refuse addresses of other hosts whoever asks; runs refuse paths outside of the roots.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import Literal
from urllib.parse import urlsplit

from seuron.errors import PathNotAllowedError
from seuron.printable import printable
from seuron.storage.cloud_paths import cloud_path

HTTP_HOSTS_VARIABLE = "SEURON_HTTP_HOSTS"
ROOTS_VARIABLES = {"input": "SEURON_INPUT_ROOTS", "output": "SEURON_OUTPUT_ROOTS"}
Use = Literal["input", "output"]

#: What a path begins with: a scheme, or a format and a scheme (`graphene://https://`).
_SCHEMES = re.compile(r"(?:[a-z][\w.+-]*://)+", re.IGNORECASE)
#: Formats and schemes that cloud-volume asks servers of their own for, whatever stands behind them.
_SERVERS = {"boss", "brainmaps", "deepzoom", "dvid", "graphene", "nggraph", "render"}


def check_address(path: str) -> None:
    """Raise PathNotAllowedError for a path that would have a host asked which the owner has not listed.

    Local paths, buckets (`gs://`, `s3://`) and names that the owner gave to object stores (aliases of cloud-files) ask
    none of a user's choice.
    """
    host = _web_host(path)
    allowed = _words(HTTP_HOSTS_VARIABLE)
    if host is None or host in allowed or "*" in allowed:
        return
    raise PathNotAllowedError(
        f"{path} is an address on the host {host or 'of a server'}, and web addresses are read from hosts that the "
        f"deployment's owner lists in ${HTTP_HOSTS_VARIABLE}: {', '.join(allowed) or 'none'}. "
        "Give a folder or a bucket, or ask the owner"
    )


def path_problems(name: str, path: str, use: Use) -> list[str]:
    """What keeps a run from reading, or writing, the path that its parameter `name` gives; nothing is opened."""
    if printable(path) != path:
        return [f"`{name}`: {path!r} holds control characters; give a path without them"]
    try:
        check_address(path)
    except PathNotAllowedError as error:
        return [f"`{name}`: {error}"]
    if _web_host(path) is not None and use == "input":
        return []
    roots = _words(ROOTS_VARIABLES[use])
    if roots and use == "input":
        roots += _words(ROOTS_VARIABLES["output"])  # a run may go on from what another one has made
    if not roots or any(_lies_in(path, root) for root in roots):
        return []
    return [
        f"`{name}`: {path} is in none of the places that the deployment's owner allows for {use}s "
        f"(${ROOTS_VARIABLES[use]}: {', '.join(roots)}); choose a path below one of them"
    ]


def is_allowed(path: str, use: Use) -> bool:
    """Whether `path_problems` finds nothing."""
    return not path_problems("path", path, use)


def check_path(path: str, use: Use, name: str = "path") -> None:
    """Raise PathNotAllowedError where `path_problems` finds any."""
    problems = path_problems(name, path, use)
    if problems:
        raise PathNotAllowedError(problems[0])


def _web_host(path: str) -> str | None:
    """The host that a path is an address on, empty where a server is asked that it does not name; None for others."""
    found = _SCHEMES.match(cloud_path(path))
    schemes = found.group().lower().removesuffix("://").split("://") if found else []
    rest = cloud_path(path)[found.end() :] if found else ""
    if any(scheme.split("+")[-1] in ("http", "https") for scheme in schemes):
        try:
            return urlsplit(f"//{rest}").hostname or ""
        except ValueError:
            return ""
    return "" if _SERVERS & set(schemes) else None


def _words(variable: str) -> list[str]:
    return shlex.split(os.environ.get(variable, ""))


def _lies_in(path: str, root: str) -> bool:
    """Whether a path is a root or lies below it, with all links followed."""
    inner, outer = _followed(path), _followed(root)
    return inner == outer or inner.startswith(outer.rstrip("/") + "/")


def _followed(path: str) -> str:
    """A local path with links followed; that of a bucket without `.` and `..`, which mean nothing there."""
    full = cloud_path(path)
    scheme, _, rest = full.partition("://")
    return f"{scheme}://{os.path.realpath(rest) if scheme == 'file' else os.path.normpath(rest)}"

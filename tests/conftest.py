"""For all tests: their profile, their order, which of them share a worker, and that nothing outlives them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import profiles
import pytest
import watchdog

if TYPE_CHECKING:
    from chaos.object_store import ObjectStore

PROJECT = Path(__file__).resolve().parents[1]
KERNELS = PROJECT / "abiss_py" / "kernels"
#: Groups and folders. What takes longest begins first, so that both workers end at about the same time. What waits for
#: Airflow, in the first, and what computes, in the others, share the cores better than two deployments do.
FIRST = (
    "airflow",
    "golden",
    "segmentation",
    "analysis",
    "integration",
    "docs",
    "datasets",
    "bot",
    "abiss_py",
    "chaos",
    "nets",
)

#: Folders whose tests look at the same finished runs, which are made once in a process.
TOGETHER = ("analysis",)

profiles.register()


def _kernel_folder() -> Path:
    """Where compiled kernels are kept: another folder for each version of them.

    numba looks at a function's own file only, so after a change of one that others call it would take old code.
    """
    sources = sorted(KERNELS.glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    return PROJECT / ".pytest_cache" / "numba" / digest


# Before numba and torch are imported, here and in all that the tests start. There is a process for each core already:
# torch's own threads would wait for each other, and keep the cores busy meanwhile.
os.environ["NUMBA_CACHE_DIR"] = str(_kernel_folder())
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """In the process that all others of the run come from: watch it, and compile the kernels once."""
    if "PYTEST_XDIST_WORKER" in os.environ or config.option.collectonly:
        return
    if not hasattr(pytest.Item, "_nodeid"):  # where pytest-xdist 3.8 writes the groups
        raise pytest.UsageError("pytest-xdist cannot group tests with this pytest; `make install` has one that works")
    watchdog.watch_this_run()
    if not _kernel_folder().exists() and os.environ.get("NUMBA_DISABLE_JIT") != "1":
        _compile_kernels()


def _compile_kernels() -> None:
    """Compile what every test needs before there are two workers, which would both do it."""
    shutil.rmtree(_kernel_folder().parent, ignore_errors=True)  # those of other versions
    command = [sys.executable, "-m", "abiss_py.compilation"]
    subprocess.run(command, check=True, cwd=PROJECT, stdout=subprocess.DEVNULL)


def group(item: pytest.Item) -> str:
    """The tests that share a worker, for what they have in common is made once: those of a file.

    Where that is a deployment of Airflow, those of several files (`pytest.mark.xdist_group`).
    """
    if mark := item.get_closest_marker("xdist_group"):
        return str(mark.args[0])
    folder = item.path.parent.name
    return folder if folder in TOGETHER else item.nodeid.partition("::")[0]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longest groups first, and each group's tests together."""
    places: dict[str, int] = {}
    for item in items:
        name = group(item)
        places.setdefault(name, len(places))
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(name))

    def place(item: pytest.Item) -> tuple[int, int]:
        name, folder = group(item), item.path.parent.name
        first = name if name in FIRST else folder
        return FIRST.index(first) if first in FIRST else len(FIRST), places[name]

    items.sort(key=place)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A small S3 that cloud-files knows in this process, one for all tests: it keeps where an alias leads."""
    from chaos.object_store import ALIAS, ObjectStore
    from cloudfiles.paths import add_alias

    with ObjectStore() as made, pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("cloud-files")
        for name, value in made.settings(folder).items():
            patched.setenv(name, value)
        add_alias(ALIAS, json.loads((folder / "aliases.json").read_text())[ALIAS]["host"])
        yield made

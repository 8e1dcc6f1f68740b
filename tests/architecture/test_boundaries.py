"""Who may import whom: a folder name states a dependency, and this is where it is held."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Only these parts of the tree may import these packages.
OWNERS = {
    "airflow": ("seuron/orchestration/", "dags/", "plugins/"),
    "celery": ("seuron/compute/", "seuron/orchestration/"),
    "redis": ("seuron/compute/", "seuron/deployment/"),
    "torch": ("seuron/nets/", "seuron/training/"),
    "cloudvolume": ("seuron/volumes/",),
    "cloudfiles": ("seuron/storage/files.py",),
    "tensorstore": ("seuron/volumes/",),
    "h5py": ("seuron/volumes/", "seuron/training/"),
    "neuroglancer": ("seuron/viewer/",),
    "llvmlite": ("abiss_py/kernels/",),
    "numba": ("abiss_py/kernels/", "seuron/synth/"),
    "pyarrow": ("seuron/tables/",),
    "google": ("seuron/compute/",),
    "slack_bolt": ("seuron/bot/",),
    "slack_sdk": ("seuron/bot/", "seuron/notifications/"),
}


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, type checking included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def test_algorithms_know_nothing_of_the_platform() -> None:
    """abiss_py is numpy and numba, with its llvmlite, on arrays: no files, network, environment or Airflow."""
    allowed = {"abiss_py", "numpy", "numba", "llvmlite", *sys.stdlib_module_names} - {
        "os",
        "pathlib",
        "socket",
        "subprocess",
    }
    for path in sources("abiss_py"):
        wrong = [name for name in imports(path) if name.split(".")[0] not in allowed]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize("package", sorted(OWNERS))
def test_each_library_has_one_door(package: str) -> None:
    """A heavy library is imported by the folder that owns it and nowhere else."""
    for folder in ("seuron", "dags", "plugins", "abiss_py"):
        for path in sources(folder):
            place = path.relative_to(ROOT).as_posix()
            if package in {name.split(".")[0] for name in imports(path)}:
                assert place.startswith(OWNERS[package]), f"{place} imports {package}"


def test_imports_point_downwards() -> None:
    """Runners and front ends call stages and plans; never the other way round."""
    upper = (
        "seuron.orchestration",
        "seuron.cli",
        "seuron.commands",
        "seuron.client",
        "seuron.deployment",
        "seuron.engine.local",
    )
    lower = (
        "box",
        "errors",
        "storage",
        "params",
        "planning",
        "tables",
        "volumes",
        "segmentation",
        "evaluation",
        "decisions",
        "compute",
        "states",
        "progress",
        "redoing",
        "forecast",
    )
    for path in sources("seuron"):
        place = path.relative_to(ROOT / "seuron").parts[0].removesuffix(".py")
        if place in (*lower, "runs", "tasks", "preflight", "inference", "training", "synth"):
            wrong = [name for name in imports(path) if name.startswith(upper)]
            assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"
    for folder in ("dags", "plugins"):
        for path in sources(folder):
            ours = [name for name in imports(path) if name.startswith(("seuron", "abiss_py"))]
            assert all(name.startswith("seuron.orchestration") for name in ours), path


@pytest.mark.parametrize(
    "package",
    [
        "seuron",
        "abiss_py",
        "seuron.planning",
        "seuron.params",
        "seuron.engine.run",
        "seuron.compute.drivers",
        "seuron.client",
        "seuron.commands",
    ],
)
def test_importing_is_cheap(package: str) -> None:
    """Every task process pays for what it imports: none of these loads a heavy library."""
    heavy = ["torch", "airflow", "cloudvolume", "cloudfiles", "tensorstore", "h5py", "pyarrow", "google.auth"]
    check = f"import sys, {package}; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_no_folder_or_dag_is_called_like_a_package() -> None:
    """Airflow puts dags/ and plugins/ on the path: a module there must not hide a library."""
    assert not [
        path
        for path in ROOT.rglob("airflow")
        if path.is_dir() and ".venv" not in path.parts and ".seuron" not in path.parts
    ]
    for folder in ("dags", "plugins"):
        for path in sources(folder):
            assert path.stem not in {"airflow", "seuron", "abiss_py", "numpy", "torch", "networkx"}

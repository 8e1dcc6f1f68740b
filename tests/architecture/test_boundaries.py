"""Who may import whom: a folder name states a dependency, and this is where it is held."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Only these parts of the tree may import these packages.
OWNERS = {
    "airflow": ("seuron/orchestration/", "dags/", "plugins/"),
    "celery": ("seuron/cluster/", "seuron/orchestration/"),
    "redis": ("seuron/cluster/", "seuron/deployment/"),
    "torch": ("seuron/nets/", "seuron/training/"),
    "tensorboard": ("seuron/training/curves.py",),
    "onnxruntime": ("seuron/nets/engines/",),
    "openvino": ("seuron/nets/engines/",),
    "safetensors": ("seuron/nets/models/",),
    "bioimageio": ("seuron/nets/",),
    "ruyaml": ("seuron/nets/models/",),
    "cloudvolume": ("seuron/volumes/",),
    "cloudfiles": ("seuron/storage/files.py",),
    "tensorstore": ("seuron/volumes/",),
    "zarr": ("seuron/volumes/",),
    "h5py": ("seuron/pipelines/segmentation/exports/", "seuron/training/volumes.py", "seuron/volumes/"),
    "tifffile": ("seuron/volumes/exports/", "seuron/volumes/sources/"),
    "zmesh": ("seuron/meshes/",),
    "meshoptimizer": ("seuron/meshes/",),
    "DracoPy": ("seuron/meshes/",),
    "kimimaro": ("seuron/skeletons/",),
    "osteoid": ("seuron/skeletons/",),
    "mrcfile": ("seuron/volumes/sources/",),
    "nrrd": ("seuron/volumes/exports/", "seuron/volumes/sources/"),
    "wkw": ("seuron/volumes/exports/", "seuron/volumes/sources/"),
    "neuroglancer": ("seuron/web/",),
    "starlette": ("seuron/web/",),
    "uvicorn": ("seuron/web/viewer/",),
    "fastapi": ("seuron/orchestration/",),
    "llvmlite": ("abiss_py/kernels/",),
    "numba": ("abiss_py/kernels/", "seuron/synth/"),
    "networkx": ("seuron/storage/graph_files.py",),
    "sqlalchemy": ("seuron/orchestration/", "seuron/storage/databases.py"),
    "pyarrow": ("seuron/storage/tables.py",),
    # Of google.protobuf, which is a package of the same name, the exports need messages.
    "google": ("seuron/cluster/", "seuron/pipelines/segmentation/exports/"),
    "zstandard": ("seuron/pipelines/segmentation/exports/",),
    "slack_bolt": ("seuron/bot/",),
    "slack_sdk": ("seuron/bot/", "seuron/notifications/"),
}

#: The top-level names of seuron/, the lowest first. A package may import lower layers, and none of its own layer.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("box", "errors", "printable", "process_pool", "redaction"),
    ("params", "storage"),
    ("synth", "volumes"),
    ("evaluation", "meshes", "nets", "skeletons"),
    ("training",),
    ("engine",),
    ("cluster",),
    ("reporting",),
    ("pipelines",),
    ("airflow_rest", "web"),
    ("deployment",),
    ("client",),
    ("notifications",),
    ("datasets",),
    ("commands",),
    ("bot",),
    ("cli", "orchestration"),
)


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, type checking included."""
    for node in ast.walk(parsed(path)):
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


def _top(path: Path) -> str:
    """The top-level name that a file of seuron/ belongs to."""
    return path.relative_to(ROOT / "seuron").parts[0].removesuffix(".py")


def _imported_names(path: Path) -> set[str]:
    """The top-level names of seuron/ that a file imports, its own left out."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "seuron":
            modules = [f"seuron.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules = [node.module]
        else:
            continue
        found |= {module.split(".")[1] for module in modules if module.startswith("seuron.")}
    return found & TOP_LEVEL - {_top(path)}


#: Every top-level name of seuron/ but its own `__init__.py`, which loads what is public on first use.
TOP_LEVEL = frozenset(_top(path) for path in sources("seuron")) - {"__init__"}
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def test_every_top_level_name_is_in_one_layer() -> None:
    """A new package has to be placed: an entry for each name of seuron/, and none for a name that is gone."""
    named = [name for layer in LAYERS for name in layer]
    assert sorted(named) == sorted(TOP_LEVEL)


def test_imports_point_downwards() -> None:
    """A package imports lower layers only, type checking included, so there is no circle between packages."""
    wrong = set[tuple[str, str]]()
    for path in sources("seuron"):
        if _top(path) in TOP_LEVEL:
            wrong |= {(_top(path), name) for name in _imported_names(path) if RANK[name] >= RANK[_top(path)]}
    assert wrong == set()


def test_airflow_finds_its_files_through_orchestration() -> None:
    """The files that Airflow reads hold no code of ours but a call of the orchestration's."""
    for folder in ("dags", "plugins"):
        for path in sources(folder):
            ours = [name for name in imports(path) if name.startswith(("seuron", "abiss_py"))]
            assert all(name.startswith("seuron.orchestration") for name in ours), path


def test_the_engine_names_no_pipeline() -> None:
    """The registry finds pipelines by the names of their modules: the engine runs what it does not know."""
    from seuron.engine.registry import BUILT_IN

    for path in sources("seuron/engine"):
        wrong = [name for name in imports(path) if name.startswith("seuron.pipelines")]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"
    for name, entry in BUILT_IN.items():
        others = {other.module for other in BUILT_IN.values()} - {entry.module}
        for path in sources(entry.module.replace(".", "/")):
            wrong = [found for found in imports(path) if found.startswith(tuple(others))]
            assert not wrong, f"the pipeline {name} imports another one: {path.relative_to(ROOT)} imports {wrong}"


def test_one_name_one_class() -> None:
    """A public class has a name of its own in all of seuron/."""
    homes: dict[str, set[str]] = {}
    for path in sources("seuron"):
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, set()).add(path.relative_to(ROOT).as_posix())
    assert {name: sorted(found) for name, found in homes.items() if len(found) > 1} == {}


@pytest.mark.parametrize(
    "package",
    [
        "seuron",
        "abiss_py",
        "seuron.params",
        "seuron.engine.run",
        "seuron.engine.execute",
        "seuron.pipelines.segmentation",
        "seuron.pipelines.inference",
        "seuron.pipelines.products",
        "seuron.nets.models",
        "seuron.nets.engines",
        "seuron.training.file",
        "seuron.cluster.drivers",
        "seuron.client",
        "seuron.commands",
        "seuron.volumes.sources",
    ],
)
def test_importing_is_cheap(package: str) -> None:
    """Every task process pays for what it imports: none of these loads a heavy library."""
    heavy = ["torch", "onnxruntime", "openvino", "bioimageio", "safetensors", "airflow", "cloudvolume", "cloudfiles"]
    heavy += ["tensorstore", "h5py", "pyarrow", "google.auth", "zarr", "tifffile", "mrcfile", "nrrd", "wkw", "PIL"]
    heavy += ["zmesh", "meshoptimizer", "DracoPy", "kimimaro", "osteoid"]
    heavy += ["networkx", "sqlalchemy"]
    heavy += ["numba"] if package.startswith("seuron") else []
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

"""The policy and its simulator touch nothing: same input, same output, wherever they run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

COMPUTE = Path(__file__).parents[2] / "seuron" / "compute"
PURE = [COMPUTE / f"{name}.py" for name in ("settings", "situation", "demand", "draft", "health", "policy", "money")]
PURE += sorted((COMPUTE / "simulation").glob("*.py"))
#: All that pure modules may import; the simulator draws its chances from seeded generators.
ALLOWED = {
    "__future__",
    "collections",
    "dataclasses",
    "heapq",
    "itertools",
    "math",
    "numpy",
    "pydantic",
    "random",
    "seuron",
    "typing",
}


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.stem)
def test_no_clock_no_files_no_network(path: Path) -> None:
    """No module reads the time, a file or the environment, nor the seuron modules that would."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.split(".")[0] in ALLOWED, name
            if name.startswith("seuron."):
                assert name.split(".")[1] in {"box", "compute", "params", "planning"}, name
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random":
            assert node.attr == "Random", "only generators with a seed"

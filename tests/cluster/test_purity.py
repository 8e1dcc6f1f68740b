"""The policy and its simulator touch nothing: same input, same output, wherever they run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("settings", "cluster_state", "decision_builder", "health", "policy", "costs/ledger", "costs/budgets")
PURE = [ROOT / "seuron" / "cluster" / f"{name}.py" for name in NAMES]
PURE += sorted((ROOT / "benchmarks" / "cluster_simulator").glob("*.py"))
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
#: Of seuron, what is plain data: plans are, and the runs of which the simulator takes them are not opened.
SEURON = {"box", "cluster", "engine", "params", "pipelines"}


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.stem)
def test_no_clock_no_files_no_network(path: Path) -> None:
    """No module reads the time, a file or the environment, nor the seuron modules that would."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        for name in names:
            assert name.split(".")[0] in ALLOWED, name
            if name.startswith("seuron."):
                assert name.split(".")[1] in SEURON, name
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random":
            assert node.attr == "Random", "only generators with a seed"

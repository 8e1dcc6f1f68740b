"""Writes the reference pages that follow from the code: `python docs/generate.py`.

`parameters.md` comes from the parameter models, `commands.md` from the registry of commands, and `dags.md`
from dags/. A test fails when the pages in the repository are not what this writes.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

from commands_page import commands_page

from seuron.pipelines.segmentation.params import SegmentationParams

ROOT = Path(__file__).parents[1]
NOTE = "<!-- Made by `python docs/generate.py`; edit the code it comes from. -->\n"


def parameters_page() -> str:
    """Every parameter of a segmentation: default, unit and meaning, by group."""
    lines = [NOTE, "# Parameters\n", (SegmentationParams.__doc__ or "").strip().replace("\n    ", "\n"), ""]
    lines += [
        "Give them as `seuron run segmentation NAME=VALUE` or `--name VALUE`, as JSON with `--params FILE.json`,",
        "or in the form of the DAG `segmentation` in Airflow.",
        "Three numbers may be written `128,128,64` or `[128, 128, 64]`.",
    ]
    group = ""
    for name, field in SegmentationParams.model_fields.items():
        extra: dict[str, Any] = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        if extra["group"] != group:
            group = extra["group"]
            lines += [f"\n## {group}\n", "| parameter | default | unit | meaning |", "|---|---|---|---|"]
        default = "required" if field.is_required() else _written(field.default)
        lines.append(f"| `{name}` | {default} | {extra['unit']} | {field.description} |")
    return "\n".join(lines) + "\n"


def _written(value: Any) -> str:
    if value is None or value == ():
        return "none"
    return "`" + (",".join(map(str, value)) if isinstance(value, tuple) else str(value)) + "`"


def dags_page() -> str:
    """Every DAG: its own documentation, and its nodes with their pools and what they wait for."""
    lines = [NOTE, "# DAGs\n"]
    for path in sorted((ROOT / "dags").glob("*.py")):
        for dag in _dags_of(path):
            lines += [f"`dags/{path.name}`, DAG `{dag.dag_id}`.\n", (dag.doc_md or "").strip(), ""]
            lines += ["| node | tasks | pool | waits for |", "|---|---|---|---|"]
            lines += [_row(task) for task in dag.topological_sort() if not task.task_id.startswith("batches.")]
    lines += [
        "",
        "A mapped node has as many tasks as the run's plan puts into its tier; a node without any is skipped.",
        "The nodes `inspect` ask a person where `inspect_after` names their stage, and are skipped elsewhere.",
        "The empty nodes `batches.*`, not listed, hold the lists that the tiers expand by.",
        "With a cluster, `segmentation` also has the setups `machines_affinities` and `machines_watershed` and their",
        "teardowns, around `affinities` and around `watershed` to `evaluation`. A last node, `ended`, fails where the",
        "run was cancelled. And `cluster` is scheduled.",
    ]
    return "\n".join(lines) + "\n"


def _row(task: Any) -> str:
    pool = task.partial_kwargs["pool"] if task.is_mapped else task.pool
    waits = ", ".join(f"`{name}`" for name in sorted(task.upstream_task_ids) if not name.startswith("batches."))
    return f"| `{task.task_id}` | {'mapped' if task.is_mapped else 'one'} | {pool} | {waits} |"


def _dags_of(path: Path) -> list[Any]:
    from airflow.sdk import DAG

    spec = importlib.util.spec_from_file_location(f"dag_file_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [value for value in vars(module).values() if isinstance(value, DAG)]


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ.setdefault("AIRFLOW_HOME", home)
        pages = {
            "parameters.md": parameters_page(),
            "dags.md": dags_page(),
            "commands.md": NOTE + "\n" + commands_page(),
        }
    for name, text in pages.items():
        (ROOT / "docs" / name).write_text(text)
        print(f"docs/{name}")


if __name__ == "__main__":
    main()

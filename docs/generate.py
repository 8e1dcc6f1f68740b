"""Writes the reference pages that follow from the code: `python docs/generate.py`.

`parameters.md` comes from the parameter models, `commands.md` from the registry of commands, and `dags.md`
from dags/. A test fails when the pages in the repository are not what this writes.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands_page import commands_page
from pydantic.fields import FieldInfo

from seuron.engine.pipeline import Pipeline
from seuron.engine.registry import BUILT_IN, VARIABLE, pipeline_named
from seuron.params.run_parameters import fields_by_group

ROOT = Path(__file__).parents[1]
NOTE = "<!-- Made by `python docs/generate.py`; edit the code it comes from. -->\n"
HOW = """\
Give them as `seuron run PIPELINE NAME=VALUE` or `--name VALUE`, as JSON with `--params FILE.json`, or in the form of
the pipeline's DAG in Airflow. Three numbers may be written `128,128,64` or `[128, 128, 64]`."""


def parameters_page() -> str:
    """Every parameter of each built-in pipeline: default, unit and meaning, by group."""
    parts = [f"{NOTE}\n# Parameters", HOW]
    parts += [_pipeline_parameters(pipeline_named(name)) for name in BUILT_IN]
    return "\n\n".join(parts) + "\n"


def _pipeline_parameters(pipeline: Pipeline) -> str:
    parts = [f"## {pipeline.name}", inspect.cleandoc(pipeline.params.__doc__ or pipeline.help)]
    for group, fields in fields_by_group(pipeline.params).items():
        rows = [_parameter_row(name, field) for name, field in fields.items()]
        parts.append(f"### {group}")
        parts.append("\n".join(["| parameter | default | unit | meaning |", "|---|---|---|---|", *rows]))
    return "\n\n".join(parts)


def _parameter_row(name: str, field: FieldInfo) -> str:
    extra: dict[str, Any] = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    default = "required" if field.is_required() else _written(field.default)
    return f"| `{name}` | {default} | {extra['unit']} | {field.description} |"


def _written(value: Any) -> str:
    if value is None or value == ():
        return "none"
    return "`" + (",".join(map(str, value)) if isinstance(value, tuple) else str(value)) + "`"


def dags_page() -> str:
    """Every DAG: its own documentation, and its nodes with their pools and what they wait for."""
    lines = [NOTE, "# DAGs"]
    for path in sorted((ROOT / "dags").glob("*.py")):
        for dag in _dags_of(path):
            lines += [f"\n`dags/{path.name}`, DAG `{dag.dag_id}`.\n", (dag.doc_md or "").strip(), ""]
            lines += ["| node | tasks | pool | waits for |", "|---|---|---|---|"]
            lines += [_row(task) for task in dag.topological_sort() if not task.task_id.startswith("batches.")]
    lines += [
        "",
        "A mapped node has as many tasks as the run's plan puts into its tier; a node without any is skipped.",
        "The nodes `inspect` ask a person where `inspect_after` names their stage, and are skipped elsewhere.",
        "The empty nodes `batches.*`, not listed, hold the lists that the tiers expand by.",
        "With a cluster, a last node of a pipeline, `ended`, fails where the run was cancelled, and `cluster` is "
        "scheduled. These setups, and their teardowns, stand around stages then:",
        "",
        *(line for name in BUILT_IN for line in _machines(pipeline_named(name))),
    ]
    return "\n".join(lines) + "\n"


def _machines(pipeline: Pipeline) -> Iterator[str]:
    """The setups of a pipeline's machines, with the stages that they are for."""
    from seuron.orchestration.pipeline_dag import machine_spans

    for first, last in machine_spans(pipeline):
        stages = f"`{first.name}`" if first is last else f"`{first.name}` to `{last.name}`"
        yield f"- `{pipeline.name}`: `machines_{first.name}` for {stages}"


def _row(task: Any) -> str:
    pool = task.partial_kwargs["pool"] if task.is_mapped else task.pool
    return f"| `{task.task_id}` | {'mapped' if task.is_mapped else 'one'} | {pool} | {', '.join(_awaited(task))} |"


def _awaited(task: Any) -> Iterator[str]:
    """The nodes that a node waits for; where these are all others of a group, the group."""
    upstream = {name for name in task.upstream_task_ids if not name.startswith("batches.")}
    for group in task.dag.task_group.get_task_group_dict().values():
        nodes = set(group.children) - {task.task_id}
        if group.group_id and len(nodes) > 1 and nodes <= upstream:
            upstream = upstream - nodes | {f"{group.group_id}.*"}
    yield from (f"`{name}`" for name in sorted(upstream))


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
        os.environ.pop(VARIABLE, None)  # a deployment's own pipelines are not in these pages
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

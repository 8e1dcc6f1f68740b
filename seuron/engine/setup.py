"""From parameters to a run that is written down, also over an earlier one in its folder, whose results it may keep.

Everything that can be checked before the first task is checked, and all that is wrong is named at once. What is in the
folder is always whole: a process that is killed here leaves the earlier run, some of whose tasks are then checked
again, or the new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from seuron.engine.fingerprints import read_fingerprints, save_fingerprints
from seuron.engine.keys import KEY_BYTES
from seuron.engine.pipeline import F, Facts, P, Pipeline
from seuron.engine.places import place_problems
from seuron.engine.queues import usable_cores
from seuron.engine.registry import pipeline_of
from seuron.engine.run import Run
from seuron.errors import DamagedFileError, ParameterErrors, RunError, SeuronError
from seuron.params.model import parse_leniently, unrelated
from seuron.params.run_parameters import RunParameters
from seuron.storage import Storage
from seuron.storage.allowed_paths import path_problems
from seuron.storage.locks import locks
from seuron.volumes.layers import renew_layer

#: What a run has in its folder before it has its run.json, in the order in which it is written.
WRITTEN_FIRST = {"inputs", "keys", "plan.json"}


def parse_run(pipeline: Pipeline[P, F], values: Mapping[str, Any], found: Sequence[str] = ()) -> P:
    """The parameters that a user gave, completed by what their inputs say; `found` are problems that are known already.

    Where they do not parse, the ParameterErrors also say what is wrong with the volumes that they
    name, so that everything is said at once; where they do, `check_run` says that.
    """
    params, problems, wrong = parse_leniently(pipeline.params, values)
    problems = [*found, *problems]
    if params is not None:
        problems += _inspection_problems(pipeline, params)
        if not problems:
            return pipeline.completed(params)
        problems += unrelated(check_run(params)[1], wrong)
    raise ParameterErrors(list(dict.fromkeys(problems)))


def check_run(params: RunParameters, workers: int | None = None) -> tuple[Facts | None, list[str]]:
    """The facts of the run's input, and a sentence for each thing that is wrong.

    A pipeline may cut its tasks by how many of them can run at once, `workers`: one on each core of this machine, if
    left out. The facts are None when the input cannot be opened at all, or a path is one that the owner does not allow.
    """
    pipeline, problems = pipeline_of(params), []
    problems += _inspection_problems(pipeline, params)
    if refused := _path_problems(pipeline, params):
        return None, problems + refused
    misplaced = place_problems(pipeline, params)
    problems += misplaced
    before = None if misplaced else _run_before(pipeline, params, problems)
    facts, found = pipeline.check(params, before, usable_cores() if workers is None else workers)
    problems += found
    if facts is not None and not misplaced:
        run = Run(pipeline, params, facts)
        problems += _space_problems(run)
        problems += replacement_problems(before, run) if before is not None else []
    return facts, problems


def _inspection_problems(pipeline: Pipeline, params: RunParameters) -> list[str]:
    """Names in `inspect_after` that are no stage after which a person can be asked."""
    known, problems = pipeline.inspectable, []
    for name in params.inspect_after:
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"allowed are {', '.join(known)}"
            problems.append(f"`inspect_after`: {name!r} is no stage of {pipeline.name} that can be inspected; {hint}")
    return problems


def _path_problems(pipeline: Pipeline, params: RunParameters) -> list[str]:
    """Paths that the deployment's owner does not allow; what lies there is neither opened nor named."""
    outputs = {"output": params.output} | ({"store": params.store} if params.store else {})
    problems = [problem for name, path in outputs.items() for problem in path_problems(name, path, "output")]
    for name, source in pipeline.sources(params).items():
        problems += path_problems(name, source.path, "input")
    return problems


def _run_before(pipeline: Pipeline, params: RunParameters, problems: list[str]) -> Run | None:
    """The run that lies in the output folder already; a folder with anything else is a problem."""
    storage = Storage(params.output)
    if storage.get("run.json") is None:
        others = _other_files(storage, pipeline, params)[:3]
        if others:
            problems.append(
                f"`output`: {storage.path} already holds other files ({', '.join(others)}); "
                "choose an empty or new folder"
            )
        return None
    try:
        before = Run.open(params.output)
    except SeuronError as error:
        problems.append(f"`output`: {error}")
        return None
    if before.pipeline.name != pipeline.name:
        problems.append(
            f"`output`: {before.output} holds a run of the pipeline {before.pipeline.name}, not of {pipeline.name}; "
            "choose a new folder"
        )
        return None
    return before


def _other_files(storage: Storage, pipeline: Pipeline, params: RunParameters) -> list[str]:
    """What lies in a folder without a run, but for what a start leaves that is killed before it writes run.json."""
    names = [name for name in storage.names() if not name.startswith(".")]
    own = {name.rstrip("/") for name in names}
    inputs = {f"inputs/{name}.parquet" for name in pipeline.sources(params)} | {"inputs/inputs.json"}
    begun = own <= WRITTEN_FIRST and "inputs" in own and set(storage.names("inputs/")) <= inputs
    return [] if begun else names


def _space_problems(run: Run) -> list[str]:
    free = Storage(run.params.output).free_bytes()
    needed = run.pipeline.stored_bytes(run.params, run.facts)
    if free is None or free >= needed:
        return []
    return [
        f"`output`: {run.output} has {free / 1e9:.1f} GB free; the run needs about {needed / 1e9:.1f} GB. "
        "Free some, or choose another folder or a smaller box"
    ]


def replacement_problems(before: Run, run: Run) -> list[str]:
    """What makes the layers of a run another volume than those of the run before it in the same folder.

    Anything else may change: what depends on it is computed again.
    """
    old, new = before.facts, run.facts
    problems = [
        f"`output`: {run.output} holds a run whose {what} {was}, now {now}; choose a new folder"
        for what, was, now in (
            ("`store` was", before.store.path, run.store.path),
            ("voxels were", old.resolution_nm, new.resolution_nm),
        )
        if was != now
    ]
    if not new.box.contains(old.box):
        problems.append(
            f"`bbox`: {run.output} holds a run of {old.box}, now {new.box}; the box of a run may grow, but not shrink "
            "or move. Give a box that holds the old one, or choose a new folder"
        )
    return problems + run.pipeline.replacements(before, run)


def plan_run(params: RunParameters, workers: int | None = None) -> Run:
    """The run of these parameters, with the fingerprints of its input as it is now; nothing is written.

    `workers` as for `check_run`. Raises ParameterErrors with every problem at once.
    """
    facts, problems = check_run(params, workers)
    if problems or facts is None:
        raise ParameterErrors(problems)
    return with_fingerprints(params, facts)


def with_fingerprints(params: RunParameters, facts: Facts) -> Run:
    """The run of parameters that have been checked, with the fingerprints of its input as it is now."""
    pipeline = pipeline_of(params)
    return Run(pipeline, params, facts, read_fingerprints(Run(pipeline, params, facts)))


def prepare_run(params: RunParameters, workers: int | None = None) -> Run:
    """Check everything that can be known before the first task, and write down the run.

    Calling it again with the same parameters continues the run that is there; with others, it makes
    it a run of these, whose tasks keep all results that do not depend on what has changed. `workers` as for
    `check_run`. Raises
    ParameterErrors with every problem at once; nothing has been written then. Raises RunError while
    tasks of an earlier start, which have other keys, are running.
    """
    return write_run(plan_run(params, workers))


def write_run(run: Run) -> Run:
    """Write down a planned run, and make its layers.

    Raises RunError while tasks of an earlier start, which have other keys, are running.
    """
    _refuse_while_running(run)
    if run.storage.get("run.json") is not None:
        before = Run.open(run.output)
        if before.key != run.key:
            _supersede_records(before, run)
    save_fingerprints(run.storage, run.fingerprints)
    run.save()
    if run.params.store is not None:
        run.store.register(run.output)
    _create_layers(run)
    _refuse_while_running(run)  # a task may have read run.json just before it was written
    return run


def _refuse_while_running(run: Run) -> None:
    """Raise RunError when a task is running whose result would not be this run's."""
    others = [
        f"{lock}, {name}"
        for name, lock in locks(run.storage, "locks/")
        if run.keys.find(name.removeprefix("locks/").removesuffix(".json")) != lock.key
    ]
    if others:
        shown = "; ".join(others[:3]) + ("; ..." if len(others) > 3 else "")
        raise RunError(
            f"{run.output}: {len(others)} tasks of a run with other parameters or another input are running ({shown}). "
            "Wait for its end or stop it, then start again; of a machine that is gone, delete the files named here"
        )


def _supersede_records(before: Run, run: Run) -> None:
    """Move the records of tasks that have other keys now to where the tasks look when their turn comes.

    The record of a task that is elsewhere now says nothing: others may write the same blocks.
    """
    was = _keys_before(before)
    for name in run.storage.names("tasks/") + run.storage.names("superseded/"):
        folder, _, file = name.partition("/")
        task_id = file.removesuffix(".json")
        old, new = before.plan.find(task_id), run.plan.find(task_id)
        if old is None or new is None or old.box != new.box:
            run.storage.delete([name])
        elif folder == "tasks" and was[before.keys.row(old) :][:KEY_BYTES].hex() != run.keys.of(new):
            run.storage.put(f"superseded/{file}", run.storage.get(name) or b"")
            run.storage.delete([name])
    unused = (stage for stage in run.pipeline.stages if not run.plan.stage(stage.name).tiers)
    run.storage.delete([name for stage in unused for name in stage.files])


def _keys_before(before: Run) -> bytes:
    """The keys of an earlier start, in one read; none where they are damaged, so that all its tasks are checked."""
    try:
        return before.keys.content
    except DamagedFileError:
        return b""


def _create_layers(run: Run) -> None:
    """Write the metadata of the layers that the run will fill; a layer that has grown keeps its whole blocks."""
    for layer in (layer for layer in run.layers if layer.stage):
        renew_layer(layer.path, layer.layout(run.facts))

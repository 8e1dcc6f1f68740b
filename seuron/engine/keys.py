"""Keys: what each task's result depends on, as a digest that is known before anything runs.

A task's key is made of

- its *settings*: the version of its stage's results, the parameters and facts that matter to the
  stage, and its place;
- the marks of the input's blocks that it sees (`sources.py`);
- the keys of the tasks that it reads (`reads.py`).

Equal keys mean equal results. The reverse does not hold: what has another key is looked at again when
its turn comes, by the content of what it reads, and is not done again where that is the same.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from seuron.box import Box, Triple
from seuron.engine.plan import NAMING, Plan, Task
from seuron.nets.patches import PatchGrid, needed_region
from seuron.pipelines.segmentation.dependencies import Readers, padded
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.plan import PYRAMID_SCALES, VolumeFacts
from seuron.storage.digests import digest_of_bytes, digest_of_data
from seuron.volumes.fingerprints import SourceBlocks
from seuron.volumes.precomputed import pyramid_factors

#: Counted up whenever a stage's code comes to write other bytes for the same input.
RESULTS_VERSIONS: dict[str, int] = {
    "affinities": 1,
    "watershed": 4,
    "supervoxel_names": 4,
    "agglomeration": 4,
    "segment_names": 2,
    "labels": 1,
    "pyramid": 1,
    "evaluation": 1,
    "report": 3,
}

#: The parameters that each stage's results depend on, beside those of the stages that it reads.
STAGE_PARAMETERS: dict[str, tuple[str, ...]] = {
    "affinities": ("patch_size", "patch_overlap", "affinity_dtype", "block_size"),
    "watershed": (
        "chunk_size",
        "watershed_high",
        "watershed_low",
        "watershed_size",
        "watershed_dust",
        "semantic_classes",
    ),
    "supervoxel_names": (),
    "agglomeration": ("chunk_size", "agglomeration_threshold", "constraints", "semantic_classes"),
    "segment_names": (),
    "labels": ("chunk_size", "block_size"),
    "pyramid": ("block_size",),
    "evaluation": (),
    "report": (),
}
#: Parameters that say where data come from: they enter keys as marks of the blocks that a task sees,
#: and as facts (`model` as the digest of its weights, `precision` as what it came to).
SOURCE_PARAMETERS = ("image", "affinities", "semantic", "ground_truth", "mip", "missing_blocks", "model", "precision")
#: Parameters that say where tasks lie: they enter keys as places.
PLACE_PARAMETERS = ("bbox", "frame", "batch_chunks", "task_memory")
#: Parameters that no result depends on.
WITHOUT_INFLUENCE = ("output", "store", "budget_dollars", "inspect_after")

#: The inputs that runs read, by the parameter that names them, and the stage whose leaves read them.
SOURCE_STAGES: dict[str, str] = {
    "image": "affinities",
    "affinities": "watershed",
    "semantic": "watershed",
    "ground_truth": "evaluation",
}


def settings_of(task: Task, plan: Plan, params: SegmentationParams, facts: VolumeFacts) -> dict[str, Any]:
    """All that a task's result depends on besides data, as plain data with names that a person understands."""
    settings: dict[str, Any] = {"results version": RESULTS_VERSIONS[task.stage]}
    settings |= {name: getattr(params, name) for name in STAGE_PARAMETERS[task.stage]}
    settings["place"] = _place(task, plan, params, facts)
    if task.stage == "affinities":
        settings |= {"net": facts.net, "precision": facts.precision, "grey scale": [facts.grey_mean, facts.grey_std]}
    if task.stage in ("watershed", "agglomeration"):
        settings["affinity type"] = facts.dtype if params.image is None else params.affinity_dtype
    if task.stage == "agglomeration" and (own := _code_of_predicates(params.constraints)):
        settings["code of predicates"] = own
    if task.stage == "agglomeration" and task.layer:
        settings["part in a round"] = [task.layer, task.index]
    if task.stage == "pyramid":
        settings["layer"] = [task.layer, params.affinity_dtype if task.layer == "affinities" else "uint64"]
    if task.stage == "report":
        settings |= params.model_dump(mode="json", exclude=set(WITHOUT_INFLUENCE))
    return settings


@lru_cache(maxsize=4)
def _code_of_predicates(constraints: str | None) -> tuple[str, ...]:
    """The digests of the source files that rules of a user's own are in, each read once in a process."""
    if constraints is None or "predicate" not in constraints:
        return ()
    from abiss_py import CustomRule, parse_constraints

    rules = (rule for rule in parse_constraints(json.loads(constraints)) if isinstance(rule, CustomRule))
    functions = (rule.function() for rule in rules)
    files = (inspect.getsourcefile(getattr(function, "py_func", function)) for function in functions)
    return tuple(digest_of_bytes([Path(file).read_bytes()]) for file in files if file is not None)


def _place(task: Task, plan: Plan, params: SegmentationParams, facts: VolumeFacts) -> dict[str, Any]:
    """Where a task lies: its box, and what of the frame and of its surroundings matters to its stage."""
    place: dict[str, Any] = {"box": task.box.corners}
    if task.stage in ("watershed", "agglomeration", "labels"):
        # The index of a voxel is x + X * (y + Y * z) from the frame's corner: Z does not matter.
        place |= {"frame": [facts.id_frame.minimum, facts.id_frame.shape[:2]]}
    if task.stage in ("watershed", "agglomeration"):
        ends = zip(task.box.corners, facts.box.corners, strict=True)
        place |= {"ends": [mine == whole for mine, whole in ends]}
        place |= {"parts": [plan.tasks[child].box.corners for child in task.children]}
    if task.layer == "seams":
        place |= {"lines are closed": plan.tasks[plan.parents[task.id]].layer == "lines"}
    if task.stage == "affinities":
        place |= _patches(task.box, params, facts)
    if task.stage == "pyramid":
        place |= {"factors": _factors(facts.box.shape, facts.resolution_nm)[: (task.tier + 1) * PYRAMID_SCALES]}
    return place


@lru_cache(maxsize=4)
def _factors(shape: Triple, resolution_nm: tuple[float, float, float]) -> list[Triple]:
    """`pyramid_factors`, which is asked for by every task of a plan."""
    return pyramid_factors(shape, resolution_nm)


def _patches(box: Box, params: SegmentationParams, facts: VolumeFacts) -> dict[str, Any]:
    """The patches that a box of affinities is made of, and how far the image goes on beyond them."""
    grid = PatchGrid(facts.source_box or facts.box, params.patch_size, params.patch_overlap)
    indices = [index for index, _ in grid.overlapping(box)]
    # A patch's weights depend on its neighbours, as far as they overlap it.
    reach = [-(-size // stride) for size, stride in zip(grid.patch_size, grid.stride, strict=True)]
    last = zip(grid.count, indices[-1], reach, strict=True)
    return {
        "patches": [grid.image.minimum, indices[0], indices[-1], [min(n - 1 - i, r) for n, i, r in last]],
        "image": needed_region(grid, box).corners,
    }


def seen_box(task: Task, params: SegmentationParams, facts: VolumeFacts) -> Box:
    """The part of its source that a leaf of a stage in `SOURCE_STAGES` reads."""
    if task.stage == "affinities":
        grid = PatchGrid(facts.source_box or facts.box, params.patch_size, params.patch_overlap)
        return needed_region(grid, task.box)
    return padded(task.box).intersect(facts.box) if task.stage == "watershed" else task.box


def sources_of(task: Task, params: SegmentationParams) -> list[str]:
    """The parameters that name the inputs which a task reads itself."""
    stages = SOURCE_STAGES.items() if task.tier == 0 else ()
    return [name for name, stage in stages if stage == task.stage and getattr(params, name) is not None]


def leaves_tables_only(task: Task) -> bool:
    """Whether all of a task's result lies in the store, so that another run can take it over as it is."""
    octrees = (*NAMING, *NAMING.values())
    return task.stage in octrees or (task.stage == "evaluation" and task.tier == 0)


def dependencies(
    task: Task,
    plan: Plan,
    params: SegmentationParams,
    facts: VolumeFacts,
    sources: Mapping[str, SourceBlocks],
) -> dict[str, Any]:
    """A task's settings and the digest of what it sees of the input: its key, but for the tasks it reads."""
    found = settings_of(task, plan, params, facts)
    for name in (name for name in sources_of(task, params) if name in sources):
        box = seen_box(task, params, facts)
        found[name] = sources[name].digest(box)
        if sources[name].has_holes(box):  # otherwise it does not matter what a hole means
            found["missing_blocks"] = params.missing_blocks
    return found


def task_keys(
    plan: Plan, params: SegmentationParams, facts: VolumeFacts, sources: Mapping[str, SourceBlocks]
) -> dict[str, str]:
    """The key of every task, by its id."""
    readers = Readers(plan)
    keys: dict[str, str] = {}
    for task in plan.tasks.values():  # every task comes after those that it reads
        own = dependencies(task, plan, params, facts, sources)
        keys[task.id] = digest_of_data([task.id, own, [keys[other] for other in readers.of(task)]])
    return keys

"""What the results of a segmentation's tasks depend on besides data and parameters, and what they see of the inputs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from seuron.box import Box
from seuron.engine.pipeline import Source
from seuron.engine.plan import Task
from seuron.pipelines.segmentation.affinity_input import convention, voxels_read
from seuron.pipelines.segmentation.dependencies import padded
from seuron.pipelines.segmentation.facts import SegmentationRun, affinity_dtype
from seuron.pipelines.segmentation.octree import Octree, agglomeration_octree, watershed_octree
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.predicates import with_predicates
from seuron.pipelines.stages.predict import params as predict_params

#: Parameters that say where data come from: they enter keys as fingerprints of the blocks that a task sees,
#: and as facts. How affinities are written down is a setting where it is not as usual, so that keys without it stay.
SOURCE_PARAMETERS = (
    *("affinities", "semantic", "ground_truth", "edits", "affinity_channels", "affinity_edges", "affinity_values"),
    *predict_params.SOURCE_PARAMETERS,
)
#: Parameters that say where tasks lie: they enter keys as places.
PLACE_PARAMETERS = (*predict_params.PLACE_PARAMETERS, "frame", "batch_chunks")
LAYER_PARAMETERS = predict_params.LAYER_PARAMETERS


def sources(params: SegmentationParams) -> dict[str, Source]:
    """The volumes that a run reads, by the parameter that names them."""
    found = {name: getattr(params, name) for name in ("affinities", "semantic", "ground_truth")}
    given = {name: Source(path, params.mip, params.missing_blocks) for name, path in found.items() if path is not None}
    return {**predict_params.sources_of(params), **given}


def watershed_settings(run: SegmentationRun, task: Task) -> dict[str, Any]:
    octree = watershed_octree(run.plan)
    settings = _octree_settings(run, task, octree)
    if task.role == "leaf" and (other := convention(run.params)):
        settings["affinities"] = other
    if task.role == "seam":
        parent = octree.parent(task)
        settings["place"]["lines are closed"] = parent is not None and parent.role == "line"
    return settings


def agglomeration_settings(run: SegmentationRun, task: Task) -> dict[str, Any]:
    settings = _octree_settings(run, task, agglomeration_octree(run.plan))
    if code := _code_of_predicates(run.params.constraints):
        settings["code of predicates"] = code
    if task.role in ("split", "bin"):
        settings["part in a round"] = task.index
    return settings


def edit_settings(run: SegmentationRun, task: Task) -> dict[str, Any]:
    return {"edits": run.facts.edits, "place": _frame(run)}


def label_settings(run: SegmentationRun, task: Task) -> dict[str, Any]:
    return {"place": _frame(run)}


def _octree_settings(run: SegmentationRun, task: Task, octree: Octree) -> dict[str, Any]:
    ends = zip(task.box.corners, run.facts.box.corners, strict=True)
    place = {
        **_frame(run),
        "ends": [mine == whole for mine, whole in ends],
        "parts": [child.box.corners for child in octree.children(task)] if task.role not in ("split", "bin") else [],
    }
    return {"affinity type": affinity_dtype(run.params, run.facts), "place": place}


def _frame(run: SegmentationRun) -> dict[str, Any]:
    """The index of a voxel is x + X * (y + Y * z) from the frame's corner: Z does not matter."""
    return {"frame": [run.facts.id_frame.minimum, run.facts.id_frame.shape[:2]]}


@lru_cache(maxsize=4)
def _code_of_predicates(constraints: str | None) -> tuple[str, ...]:
    """The digests of the source files that rules of a user's own are in, each read once in a process."""
    if constraints is None or "predicate" not in constraints:
        return ()
    from abiss_py import CustomRule, parse_constraints
    from seuron.storage.digests import digest_of_bytes

    parsed = with_predicates(parse_constraints(json.loads(constraints)))
    rules = (rule for rule in parsed if isinstance(rule, CustomRule))
    functions = (rule.function() for rule in rules)
    files = (inspect.getsourcefile(getattr(function, "py_func", function)) for function in functions)
    return tuple(digest_of_bytes([Path(file).read_bytes()]) for file in files if file is not None)


def watershed_sources(run: SegmentationRun, task: Task) -> Mapping[str, Box]:
    """Affinities and classes of a leaf, with one voxel more on the high sides."""
    if task.role != "leaf":
        return {}
    seen = leaf_box(run, task)
    return {"affinities": voxels_read(run.params, seen, run.facts.box), "semantic": seen}


def leaf_box(run: SegmentationRun, task: Task) -> Box:
    """What a watershed leaf sees of its inputs."""
    return padded(task.box).intersect(run.facts.box)


def evaluation_sources(run: SegmentationRun, task: Task) -> Mapping[str, Box]:
    return {"ground_truth": task.box} if task.tier == 0 else {}

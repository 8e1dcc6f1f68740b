"""The pipelines that can be run, by name. A new one is a package and an entry here: every front end then has it.

The owner of a deployment adds others by $SEURON_PIPELINES, `name=module` words; each module has an object `PIPELINE`.
A pipeline's module is loaded when the pipeline is first used. What lists of commands show of the pipelines here is in
their entries, so that `seuron --help` loads none of them; one of $SEURON_PIPELINES is loaded for it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from seuron.errors import NotFoundError, ParameterErrors

if TYPE_CHECKING:
    from seuron.engine.pipeline import Pipeline
    from seuron.params.model import Parameters

VARIABLE = "SEURON_PIPELINES"


@dataclass(frozen=True)
class PipelineEntry:
    """What is known of a pipeline without its module: `help` and `aliases` are those of its `PIPELINE`."""

    name: str
    module: str
    help: str
    aliases: tuple[str, ...] = ()


BUILT_IN = {
    entry.name: entry
    for entry in (
        PipelineEntry(
            name="segmentation",
            module="seuron.pipelines.segmentation",
            help="an image, or affinities made from one, becomes supervoxels and segments",
            aliases=("run pipeline", "run pipelines"),
        ),
        PipelineEntry(
            name="inference",
            module="seuron.pipelines.inference",
            help="a net is run over an image; each of its outputs becomes a layer",
            aliases=("run inference",),
        ),
        PipelineEntry(
            name="products",
            module="seuron.pipelines.products",
            help="a segmentation becomes what people use: a table of its segments, their contacts",
            aliases=("run products",),
        ),
    )
}


def pipeline_modules() -> dict[str, str]:
    """The module of each pipeline by its name; raises ParameterErrors where the variable cannot be read."""
    words = os.environ.get(VARIABLE, "").replace(",", " ").split()
    wrong = [word for word in words if not all(word.partition("="))]
    if wrong:
        raise ParameterErrors([f"{word!r} is not name=module" for word in wrong], f"${VARIABLE}")
    built_in = {name: entry.module for name, entry in BUILT_IN.items()}
    return {**built_in, **dict(word.split("=", 1) for word in words)}


def pipeline_names() -> tuple[str, ...]:
    """The names of all pipelines."""
    return tuple(pipeline_modules())


def pipeline_entries() -> list[PipelineEntry]:
    """An entry for each pipeline; loads those of the variable alone, and raises NotFoundError where that fails."""
    return [_entry(name, module) for name, module in pipeline_modules().items()]


def pipeline_named(name: str) -> Pipeline:
    """The pipeline of that name; raises NotFoundError with the known ones."""
    modules = pipeline_modules()
    if name not in modules:
        near = get_close_matches(name, modules, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(modules)}"
        raise NotFoundError(f"no pipeline is called {name!r}; {hint}")
    return _loaded(name, modules[name])


def pipelines() -> list[Pipeline]:
    """All pipelines."""
    return [pipeline_named(name) for name in pipeline_modules()]


def pipeline_of(params: Parameters) -> Pipeline:
    """The pipeline whose parameters these are."""
    return next(pipeline for pipeline in pipelines() if type(params) is pipeline.params)


def _entry(name: str, module: str) -> PipelineEntry:
    known = BUILT_IN.get(name)
    if known is not None and known.module == module:
        return known
    pipeline = _loaded(name, module)
    return PipelineEntry(name, module, pipeline.help, pipeline.aliases)


@cache
def _loaded(name: str, module: str) -> Pipeline:
    try:
        found: Pipeline = import_module(module).PIPELINE
    except (ImportError, AttributeError) as error:
        raise NotFoundError(
            f"the pipeline {name!r} cannot be loaded from the module {module!r}, which must have a PIPELINE: {error}. "
            f"Correct ${VARIABLE}, or install the module"
        ) from error
    return found

"""The pipelines that can be run, by name. A new one is an entry here: every front end then has it.

What a pipeline's functions need is loaded when they are called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from seuron.errors import NotFoundError
from seuron.params.model import Parameters
from seuron.pipelines.segmentation.params import SegmentationParams

if TYPE_CHECKING:
    from seuron.engine.run import Run


class Steps(Protocol):
    """What a pipeline does with parameters before anything runs.

    `parse` raises ParameterErrors with every problem at once; `check` looks at the volumes as well and gives a
    sentence for each problem; `plan` raises them, or gives the planned run, nothing written.
    """

    def parse(self, values: Mapping[str, Any]) -> Parameters: ...

    def check(self, params: Any) -> list[str]: ...

    def plan(self, params: Any) -> Run: ...


@dataclass(frozen=True)
class Pipeline:
    """A pipeline: its name, its DAG, its parameters, which of them are paths, and what can be done with them.

    `aliases` are other phrases for running it.
    """

    name: str
    help: str
    dag_id: str
    model: type[Parameters]
    paths: tuple[str, ...]
    steps: Steps
    aliases: tuple[str, ...] = ()


class _Segmentation:
    """From an image or affinities to segments."""

    def parse(self, values: Mapping[str, Any]) -> Parameters:
        from seuron.pipelines.segmentation.checks import parse_run

        return parse_run(values)

    def check(self, params: SegmentationParams) -> list[str]:
        from seuron.pipelines.segmentation.checks import check_run

        return check_run(params)[1]

    def plan(self, params: SegmentationParams) -> Run:
        from seuron.engine.setup import plan_run
        from seuron.errors import ParameterErrors
        from seuron.pipelines.segmentation.checks import check_run

        facts, problems = check_run(params)
        if problems or facts is None:
            raise ParameterErrors(problems)
        return plan_run(params, facts)


PIPELINES: dict[str, Pipeline] = {
    "segmentation": Pipeline(
        name="segmentation",
        help="an image, or affinities made from one, becomes supervoxels and segments",
        dag_id="segmentation",
        model=SegmentationParams,
        paths=("image", "affinities", "semantic", "ground_truth", "output", "store"),
        steps=_Segmentation(),
        aliases=("run pipeline", "run pipelines"),
    ),
}


def pipeline_named(name: str) -> Pipeline:
    """The pipeline of that name; raises NotFoundError with the known ones."""
    if name not in PIPELINES:
        raise NotFoundError(f"no pipeline is called {name!r}; there are {', '.join(PIPELINES)}")
    return PIPELINES[name]


def pipeline_of(params: Parameters) -> Pipeline:
    """The pipeline whose parameters these are."""
    return next(pipeline for pipeline in PIPELINES.values() if type(params) is pipeline.model)

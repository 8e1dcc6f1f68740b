"""What a pipeline says of itself: its parameters, stages, layers and report.

The engine runs any pipeline from this; front ends show any pipeline from this. A pipeline is a package with an
object `PIPELINE`, known to the registry (`registry.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple

from typing_extensions import TypeVar

from seuron.box import Box, Triple
from seuron.params.presets import Preset
from seuron.params.run_parameters import RunParameters

if TYPE_CHECKING:
    from seuron.engine.plan import Task, Tier, Work
    from seuron.engine.run import Run
    from seuron.engine.sections import Section
    from seuron.volumes.layouts import LayerFormat, LayerLayout

#: What a task counted, by name; counts of a stage's tasks add up.
Counts = dict[str, float]
#: Digests of all that a task's result is made from, for each part of it that can stay while others change.
Inputs = dict[str, str]


@dataclass(frozen=True)
class Facts:
    """What a run needs to know of its input, found once, before it starts: its box and voxel size (nm)."""

    box: Box
    resolution_nm: tuple[float, float, float]


P = TypeVar("P", bound=RunParameters, default=Any)
F = TypeVar("F", bound=Facts, default=Any)


class Source(NamedTuple):
    """A volume that a run reads: its path and scale, and what a block means that it does not hold."""

    path: str
    mip: int = 0
    missing: Literal["error", "zero"] = "error"


@dataclass(frozen=True)
class LayerAttachment:
    """What a viewer shows with a layer beside its voxels, such as properties of segments, meshes or skeletons.

    `name` is unlike that of any layer, `path` where it lies, with an `info` that Neuroglancer reads, and `stage` makes
    it: it is shown once the stage has ended.
    """

    name: str
    path: str
    stage: str


@dataclass(frozen=True)
class Layer:
    """A volume of a run: one that it was given, or one that `stage` writes.

    A layer of the run's own has `scales`, of which the stage makes the first, and the stage `pyramid` the others.
    `shader` is Neuroglancer's, `selected` says whether a viewer shows it at first, `mip` at which of its scales the run
    works. `layer_format` and `shard_above` are those of `LayerLayout`; layers have no shards where it is 0.
    `attachments` are shown with it.
    """

    name: str
    path: str
    kind: Literal["image", "segmentation"]
    dtype: str = "uint64"
    channels: int = 1
    block_size: Triple = (64, 64, 64)
    stage: str = ""
    scales: int = 1
    shader: str = ""
    selected: bool = True
    mip: int = 0
    layer_format: LayerFormat = "precomputed"
    shard_above: int = 0
    attachments: tuple[LayerAttachment, ...] = ()

    def layout(self, facts: Facts) -> LayerLayout:
        """How a layer of the run's own is laid out."""
        from seuron.volumes.layouts import LayerLayout

        return LayerLayout(
            facts.box,
            facts.resolution_nm,
            self.dtype,
            self.channels,
            self.kind,
            self.block_size,
            pyramid=self.scales > 1,
            layer_format=self.layer_format,
            shard_above=self.shard_above,
        )


def reads_nothing(run: Run, task: Task) -> Iterable[Task | Tier]:
    """Of a task that reads no other task's result."""
    return ()


def no_settings(run: Run, task: Task) -> Mapping[str, Any]:
    """Of a stage whose tasks depend on its parameters and their boxes alone."""
    return {}


def no_sources(run: Run, task: Task) -> Mapping[str, Box]:
    """Of a stage that reads none of the run's inputs."""
    return {}


def never(task: Task) -> bool:
    """Of a stage whose tasks write layers, which lie in each run's own folder."""
    return False


@dataclass(frozen=True)
class Stage:
    """One step of a pipeline.

    Attributes:
        name: a word that is safe in file names.
        module: the module that does the work, loaded when a task of the stage is run. Its `run(run, task)` works and
            returns Counts; its `inputs(run, task)` returns Inputs: digests, by content, of what the task reads.
        version: counted up whenever the same input comes to give other bytes.
        work: what kind of machine each tier asks for, for as many tiers as the stage may have.
        plan: the tiers for a run's parameters and facts, none where it does not need the stage.
        parameters: the parameters that its results depend on, beside those of the stages that it reads.
        reads: the tasks, and whole tiers, whose results a task reads.
        settings: all else that a task's result depends on, as plain data with names that a person understands;
            what lies under `place` says where the task is.
        sources: the part of each input, by the name in `Pipeline.sources`, that a task sees.
        files: what it writes in the run's folder beside layers and tables; removed when a run comes not to need it.
        shareable: whether all of a task's result lies in the store, so that another run can take it over.
    """

    name: str
    module: str
    version: int
    work: tuple[Work, ...]
    plan: Callable[[Any, Any], Sequence[Tier]]
    parameters: tuple[str, ...] = ()
    reads: Callable[[Run, Task], Iterable[Task | Tier]] = reads_nothing
    settings: Callable[[Run, Task], Mapping[str, Any]] = no_settings
    sources: Callable[[Run, Task], Mapping[str, Box]] = no_sources
    files: tuple[str, ...] = ()
    shareable: Callable[[Task], bool] = never

    @property
    def tiers(self) -> int:
        """How many tiers it has at most. Airflow draws a node for each, whatever the volume."""
        return len(self.work)


@dataclass(frozen=True)
class Pipeline(Generic[P, F]):
    """What can be run: parameters in, layers and tables out.

    Attributes:
        name: its name, also that of its DAG.
        help: a line for lists and forms.
        description: Markdown for its page in Airflow and in the docs.
        params, facts: the models of its parameters and facts.
        stages: in the order in which they run; people can be asked after each but the last.
        check: the facts of a run's input and a sentence for each thing that is wrong; the run that lies in the
            output folder already is given, if there is one, and how many tasks can run at once. The facts are None
            when the input cannot be opened.
        replacements: what makes the layers of a run, the second, another volume than those of the run in its folder.
        sources: the volumes that a run reads, by the parameter that names them.
        layers: all volumes of a run, in the order in which a viewer shows them.
        stored_bytes: what a run leaves on disk, at most.
        report: what its report shows beside what all reports have.
        completed: the parameters with what their inputs say of those that were left at their default.
        notes: where such parameters are from, a sentence for each, for the plan and the report.
        warnings: what a run can be started with and yet is seldom meant, a sentence for each.
        paths: the parameters that are paths.
        chunks: how many chunks a task works on, for progress; 0 where tasks are not made of chunks.
        presets: named sets of values.
        aliases: other phrases for running it, in the bot.
    """

    name: str
    help: str
    params: type[P]
    facts: type[F]
    stages: tuple[Stage, ...]
    check: Callable[[P, Run | None, int], tuple[F | None, list[str]]]
    sources: Callable[[P], Mapping[str, Source]]
    layers: Callable[[P, F], Sequence[Layer]]
    stored_bytes: Callable[[P, F], int]
    replacements: Callable[[Run, Run], list[str]] = lambda before, run: []
    report: Callable[[Run], Sequence[Section]] = lambda run: ()
    completed: Callable[[P], P] = lambda params: params
    notes: Callable[[P], Sequence[str]] = lambda params: ()
    warnings: Callable[[P, F], Sequence[str]] = lambda params, facts: ()
    chunks: Callable[[Run, Task], int] = lambda run, task: 0
    paths: tuple[str, ...] = ("output", "store")
    description: str = ""
    presets: Mapping[str, Preset] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    def stage(self, name: str) -> Stage:
        """The stage of a name, which must be one of `stages`."""
        return next(stage for stage in self.stages if stage.name == name)

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of each parameter by its name; the stages that can be inspected are named in it."""
        properties: dict[str, Any] = self.params.model_json_schema()["properties"]
        properties["inspect_after"]["items"]["enum"] = list(self.inspectable)
        return properties

    @property
    def inspectable(self) -> tuple[str, ...]:
        """The stages after which a person can be asked: all but the last."""
        return tuple(stage.name for stage in self.stages[:-1])

"""A dataset's file: TOML in, a checked `Dataset` out, everything that is wrong with it at once.

$SEURON_HOME/datasets/NAME.toml     one dataset a file; $SEURON_DATASETS names another folder
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from seuron.datasets.config_models import DatasetTable, ScheduleTable
from seuron.datasets.versions import PublishedVersions
from seuron.engine.pipeline import Pipeline
from seuron.engine.registry import pipeline_named, pipeline_names
from seuron.errors import NotFoundError, ParameterErrors, did_you_mean
from seuron.params.model import Parameters, parse_leniently, parse_parameters
from seuron.params.presets import with_preset
from seuron.params.typed_file import read_toml
from seuron.storage import cloud_path, join

FOLDER_VARIABLE = "SEURON_DATASETS"
#: Parameters of a pipeline that are said elsewhere in the file, or follow from it.
OWN = {
    "image": "`image` at the top of the file",
    "affinities": "`affinities` at the top of the file",
    "output": "`publish`: each version has a folder there",
    "store": "`publish`: the versions share a store there",
}


@dataclass(frozen=True)
class Dataset:
    """A dataset as its file describes it. `folder` is what relative paths in it begin at."""

    table: DatasetTable
    schedule: ScheduleTable
    folder: Path

    @property
    def name(self) -> str:
        return self.table.name

    @cached_property
    def published(self) -> PublishedVersions:
        """Where its versions are."""
        return PublishedVersions(self.path(self.table.publish))

    @property
    def pipeline(self) -> Pipeline:
        """What is run for a version."""
        return pipeline_named(self.table.pipeline)

    def path(self, name: str) -> str:
        """A path of the file as a cloud path."""
        bare = "://" not in name and not Path(name).expanduser().is_absolute()
        return cloud_path(str(self.folder / name) if bare else name)

    def values(self, output: str) -> dict[str, Any]:
        """The parameters of a run into a folder, those of the preset below those of the file."""
        table = self.table
        found = with_preset({"preset": table.preset, **table.parameters}, self.pipeline.presets)
        for name in self.pipeline.paths:
            if isinstance(found.get(name), str):
                found[name] = self.path(found[name])
        given = {"image": table.image, "affinities": table.affinities}
        sources = {name: self.path(text) for name, text in given.items() if text is not None}
        return {**found, **sources, "output": output, "store": join(self.published.path, "store")}

    def params(self, output: str) -> Any:
        """The same as the pipeline's model."""
        return self.pipeline.completed(parse_parameters(self.pipeline.params, self.values(output)))


@dataclass(frozen=True)
class DatasetFiles:
    """All datasets of a folder: those that are right, and for the others what is wrong with their files."""

    datasets: dict[str, Dataset] = field(default_factory=dict)
    wrong: dict[str, ParameterErrors] = field(default_factory=dict)

    def named(self, name: str) -> Dataset:
        """The dataset of that name; raises ParameterErrors for a file that is wrong, else NotFoundError."""
        if name in self.wrong:
            raise self.wrong[name]
        if name not in self.datasets:
            raise NotFoundError(unknown_dataset(name, [*self.datasets, *self.wrong]))
        return self.datasets[name]


def datasets_folder() -> Path:
    """The folder of the datasets' files, which need not exist."""
    if FOLDER_VARIABLE in os.environ:
        return Path(os.environ[FOLDER_VARIABLE]).expanduser().resolve()
    from seuron.deployment.home import Home

    return Home.default().folder / "datasets"


def read_datasets(folder: Path, *, outline: bool = False) -> DatasetFiles:
    """All datasets of a folder; `outline` leaves out the check of parameters, which may load much."""
    found, wrong = dict[str, Dataset](), dict[str, ParameterErrors]()
    for file in sorted(folder.glob("*.toml")):
        try:
            found[file.stem] = read_dataset(file, outline=outline)
        except ParameterErrors as error:
            wrong[file.stem] = error
    for name, problems in _problems_together(found).items():
        wrong[name] = ParameterErrors(problems, f"the dataset's file {folder / name}.toml")
    return DatasetFiles({name: made for name, made in found.items() if name not in wrong}, wrong)


def read_dataset(file: Path, *, outline: bool = False) -> Dataset:
    """The dataset that a file describes; raises ParameterErrors with all that is wrong with it.

    The volumes are not checked: that is `change_detection.check_volumes`.
    """
    document, what = read_toml(file, "the dataset's file"), f"the dataset's file {file}"
    table, problems, wrong = parse_leniently(DatasetTable, document)
    if document.get("name") != file.stem and "name" in document and "name" not in wrong:
        problems.append(f"`name`: the file is called {file.name}, the dataset {document['name']!r}; make them the same")
    schedule = _table(document, "schedule")
    times, found, _ = parse_leniently(ScheduleTable, schedule)
    problems += [_below("schedule", problem) for problem in found]
    problems += _pipeline_problems(document, check=not outline)
    if problems or table is None or times is None:
        raise ParameterErrors(list(dict.fromkeys(problems)), what)
    return Dataset(table, times, file.parent.resolve())


def unknown_dataset(name: str, known: list[str]) -> str:
    """A sentence for a name that no dataset has."""
    there = f"there are {', '.join(sorted(known))}" if known else "there is none: put a file into the datasets' folder"
    hint = did_you_mean(name, known, there, quote="'")
    return f"no dataset is called {name!r}; {hint}"


def _pipeline_problems(document: Mapping[str, Any], *, check: bool) -> list[str]:
    """What is wrong with `pipeline`, `preset` and `parameters`."""
    name = document.get("pipeline", "segmentation")
    names = pipeline_names()
    if name not in names:
        hint = did_you_mean(str(name), names, f"there are {', '.join(names)}", cutoff=0.4)
        return [f"`pipeline`: no pipeline is called {name!r}; {hint}"]
    values = _table(document, "parameters")
    problems = [f"`parameters.{own}`: give {where} instead" for own, where in OWN.items() if own in values]
    values = {key: value for key, value in values.items() if key not in OWN}
    try:
        values = with_preset({"preset": document.get("preset"), **values}, pipeline_named(str(name)).presets)
    except ParameterErrors as error:
        problems += error.problems
    return problems + (_parameter_problems(pipeline_named(str(name)).params, values) if check else [])


def _parameter_problems(model: type[Parameters], values: Mapping[str, Any]) -> list[str]:
    """What is wrong with parameters for themselves; the input stands for whichever the file names."""
    stand_ins: dict[str, Any] = {name: "-" for name in ("affinities", "output") if name in model.model_fields}
    found = parse_leniently(model, {**values, **stand_ins})[1]
    return [_below("parameters", problem) for problem in found]


def _problems_together(datasets: Mapping[str, Dataset]) -> dict[str, list[str]]:
    """What is wrong with files beside each other: places that two share, and datasets that follow none."""
    problems: dict[str, list[str]] = {}
    places: dict[str, str] = {}
    for name, dataset in datasets.items():
        owner = places.setdefault(dataset.published.path, name)
        if owner != name:
            words = f"`publish`: {dataset.published.path} is that of the dataset {owner}; give each a folder of its own"
            problems.setdefault(name, []).append(words)
        after = dataset.schedule.after
        if after is not None and after not in datasets:
            words = f"`schedule.after`: {unknown_dataset(after, [other for other in datasets if other != name])}"
            problems.setdefault(name, []).append(words)
        elif after is not None and name in (circle := _followed(name, datasets)):
            words = f"`schedule.after`: {' after '.join([name, *circle])} goes round in a circle; give one other times"
            problems.setdefault(name, []).append(words)
    return problems


def _followed(name: str, datasets: Mapping[str, Dataset]) -> list[str]:
    """The datasets that one comes after, the nearest first, up to the first that comes twice."""
    found: list[str] = []
    at: str | None = datasets[name].schedule.after
    while at is not None and at in datasets and at not in found:
        found.append(at)
        at = datasets[at].schedule.after
    return found


def _table(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _below(table: str, problem: str) -> str:
    """A problem with the place of its parameter in the file."""
    return problem.replace("`", f"`{table}.", 1) if problem.startswith("`") else f"`{table}`: {problem}"

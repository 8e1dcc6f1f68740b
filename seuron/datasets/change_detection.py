"""What has changed since a dataset's last version: the input's blocks, its box, the parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass

from seuron.datasets.files import Dataset
from seuron.datasets.versions import PublishedVersions
from seuron.engine.diff import Changes, changes_of
from seuron.engine.pipeline import Facts
from seuron.engine.run import Run
from seuron.engine.setup import check_run, replacement_problems, with_fingerprints
from seuron.errors import ParameterErrors
from seuron.params.run_parameters import RunParameters
from seuron.storage.documents import read_if_whole

SEEN = "seen.json"
FIRST = "no version is published yet"
#: No version has this number, so its folder is empty.
NOWHERE = 0


@dataclass(frozen=True)
class ChangeReport:
    """What has changed.

    `number` is that of the version which would be made, `base` that of the version it begins as. `reasons` are
    what has changed, none where nothing has; `tasks` how many would run, be checked, or taken from the store.
    `fingerprint` is equal for two reports of the same change.
    """

    number: int
    base: int | None
    reasons: tuple[str, ...]
    tasks: int
    fingerprint: str

    @property
    def changed(self) -> bool:
        return bool(self.reasons)


def detect_changes(dataset: Dataset) -> ChangeReport:
    """Compare the input and the parameters with those of the newest version; nothing is written or computed.

    Raises ParameterErrors with all that is wrong with parameters and volumes.
    """
    published = dataset.published
    newest, number = published.newest(), published.next_number()
    if newest is None:
        run, _ = _planned(dataset, NOWHERE)
        return ChangeReport(number, None, (FIRST,), len(run.plan.tasks), run.key)
    run, other_volume = _planned(dataset, newest.number)
    if other_volume:
        return ChangeReport(number, None, tuple(other_volume), len(run.plan.tasks), run.key)
    changes = changes_of(run)
    left = sum(stage.tasks - stage.finished for stage in changes.stages)
    return ChangeReport(number, newest.number, _reasons(changes) if left else (), left, run.key)


def needs_empty_folder(dataset: Dataset, number: int) -> bool:
    """Whether the run in a version's folder cannot be resumed with the dataset as it is now."""
    if _run_json(dataset.published, number) is None:
        return False
    return bool(_planned(dataset, number)[1])


def same_as_last(published: PublishedVersions, found: ChangeReport) -> bool:
    """Whether the check before this one found the same; stores what this one found.

    An input that is being written differs from check to check, and is left alone until it does not.
    """
    seen = read_if_whole(published.storage, SEEN, dict[str, str]) or {}
    published.storage.put(SEEN, json.dumps({"fingerprint": found.fingerprint}).encode())
    return seen.get("fingerprint") == found.fingerprint


def check_volumes(dataset: Dataset) -> Run:
    """The run that a first version would be; raises ParameterErrors with all that is wrong with the volumes."""
    return _planned(dataset, NOWHERE)[0]


def _run_json(published: PublishedVersions, number: int) -> bytes | None:
    return published.storage.get(f"versions/{number:04d}/run.json")


def _planned(dataset: Dataset, number: int) -> tuple[Run, list[str]]:
    """The run of the dataset in a version's folder, and what makes its layers another volume than those there.

    Where there is anything of the latter, the run is that of an empty folder.
    """
    params: RunParameters = dataset.params(dataset.published.folder(number))
    facts, problems = check_run(params)
    other_volume: list[str] = []
    if facts is not None and _run_json(dataset.published, number) is not None:
        other_volume = replacement_problems(Run.open(params.output), Run(dataset.pipeline, params, facts))
        problems = [problem for problem in problems if problem not in other_volume]
    if facts is not None:
        problems += _resolution_problems(dataset, facts)
    if problems or facts is None:
        raise ParameterErrors(problems, f"the dataset {dataset.name}")
    if other_volume:
        return _planned(dataset, NOWHERE)[0], [_without_advice(problem) for problem in other_volume]
    return with_fingerprints(params, facts), []


def _resolution_problems(dataset: Dataset, facts: Facts) -> list[str]:
    given, found = dataset.table.resolution, facts.resolution_nm
    if tuple(map(float, given)) == tuple(map(float, found)):
        return []
    return [f"`resolution`: the file says {list(given)} nm, the volume {list(found)} nm; correct the one that is wrong"]


def _reasons(changes: Changes) -> tuple[str, ...]:
    return tuple(changes.reasons) or ("tasks of the last version are not finished",)


def _without_advice(problem: str) -> str:
    """A change of the volume is no problem here: the next version begins in an empty folder."""
    return problem.partition(": ")[2].partition("; choose a new folder")[0] or problem

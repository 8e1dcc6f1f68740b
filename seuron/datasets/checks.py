"""Checks of datasets' files together with the volumes that they name."""

from __future__ import annotations

from seuron.datasets.change_detection import check_volumes
from seuron.datasets.files import Dataset, DatasetFiles
from seuron.errors import ParameterErrors, SeuronError
from seuron.notifications.settings import unknown_names


def problems_of(dataset: Dataset) -> list[str]:
    """What is wrong with the volumes of a dataset whose file is right by itself, and with its recipients."""
    problems = unknown_names(dataset.table.notify)
    try:
        check_volumes(dataset)
    except ParameterErrors as error:
        problems += error.problems
    except SeuronError as error:
        problems.append(str(error))
    return problems


def problems_of_all(registered: DatasetFiles) -> list[str]:
    """What is wrong with all datasets, each problem with the dataset's name."""
    found = [(name, problem) for name, error in registered.wrong.items() for problem in error.problems]
    found += [(name, problem) for name, dataset in registered.datasets.items() for problem in problems_of(dataset)]
    return [f"{name}: {problem}" for name, problem in found]

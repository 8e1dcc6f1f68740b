"""What datasets are called in Airflow."""

from __future__ import annotations

import re

#: The DAG that checks all files; those of the datasets have its file.
DAG_ID = "datasets"


#: Names become parts of DAG ids, asset names and file names, which have an end.
NAME, LONGEST_NAME = r"^[a-z0-9][a-z0-9_-]*$", 200


def is_dataset_name(name: str) -> bool:
    """Whether a dataset, and so its DAG, can be called so."""
    return re.match(NAME, name) is not None and len(name) <= LONGEST_NAME


def dag_of(name: str) -> str:
    """The id of a dataset's DAG."""
    return f"dataset_{name}"


def asset_name(name: str) -> str:
    """The name of the asset that a dataset's publications are events of."""
    return f"dataset_{name}"


def asset_uri(name: str) -> str:
    """The address of that asset."""
    return f"seuron://datasets/{name}"

"""What datasets are called in Airflow."""

from __future__ import annotations

#: The DAG that checks all files; those of the datasets have its file.
DAG_ID = "datasets"


def dag_of(name: str) -> str:
    """The id of a dataset's DAG."""
    return f"dataset_{name}"


def asset_name(name: str) -> str:
    """The name of the asset that a dataset's publications are events of."""
    return f"dataset_{name}"


def asset_uri(name: str) -> str:
    """The address of that asset."""
    return f"seuron://datasets/{name}"

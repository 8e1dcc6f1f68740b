"""Airflow's REST API: a client for `/api/v2`, what it says as plain values, and logging in.

Nothing here imports Airflow: any deployment that answers `/api/v2` will do.
"""

from seuron.airflow_rest.client import PAGE, AirflowClient, NoAnswerError
from seuron.airflow_rest.entities import (
    FINISHED,
    DagRun,
    DagTimes,
    GraphProgress,
    Overhead,
    TaskError,
    TaskInstance,
    TierProgress,
    first_reason,
)
from seuron.airflow_rest.login import login_from

__all__ = [
    "FINISHED",
    "PAGE",
    "AirflowClient",
    "DagRun",
    "DagTimes",
    "GraphProgress",
    "NoAnswerError",
    "Overhead",
    "TaskError",
    "TaskInstance",
    "TierProgress",
    "first_reason",
    "login_from",
]

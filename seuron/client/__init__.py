"""A deployment as seen by its users: its runs as handles, their status, logs and gates.

    import seuron

    deployment = seuron.connect()                       # this machine's, or $SEURON_URL
    run = deployment.run(seuron.SegmentationParams(image="image", output="runs/first"))
    run.wait(lambda status: print(status.sentence))

The requests themselves are those of `seuron.airflow_rest`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seuron.airflow_rest import (
        FINISHED,
        AirflowClient,
        DagRun,
        NoAnswerError,
        Overhead,
        TaskError,
        TaskInstance,
    )
    from seuron.client.deployment import DeploymentClient, connect
    from seuron.client.run_handle import RunHandle
    from seuron.client.run_status import RunStatus

__all__ = [
    "FINISHED",
    "AirflowClient",
    "DagRun",
    "DeploymentClient",
    "NoAnswerError",
    "Overhead",
    "RunHandle",
    "RunStatus",
    "TaskError",
    "TaskInstance",
    "connect",
]

#: The names of each module.
_MODULES = {
    "seuron.airflow_rest": (
        "FINISHED",
        "AirflowClient",
        "DagRun",
        "NoAnswerError",
        "Overhead",
        "TaskError",
        "TaskInstance",
    ),
    "seuron.client.deployment": ("DeploymentClient", "connect"),
    "seuron.client.run_handle": ("RunHandle",),
    "seuron.client.run_status": ("RunStatus",),
}
_PUBLIC = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load what is public when it is first asked for: most commands send no requests."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)

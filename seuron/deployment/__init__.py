"""The embedded deployment: Airflow and its database on this machine, nothing installed by hand.

All of its state lies under one folder (`SEURON_HOME`, by default `.seuron` beside the source).
One background supervisor owns every process: PostgreSQL from a wheel, the API server, the DAG
processor and the scheduler, and starts again whatever dies. It listens on 127.0.0.1 only.

`Deployment(home).start()` may be called at any time, any number of times, and after anything:
it reuses what runs and clears away what a killed predecessor left.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seuron.deployment.control import Deployment, DeploymentStatus
    from seuron.deployment.home import Home

__all__ = ["Deployment", "DeploymentStatus", "Home"]

_PUBLIC = {"Deployment": "control", "DeploymentStatus": "control", "Home": "home"}


def __getattr__(name: str) -> object:
    """Load what is public when it is first asked for: where the state lies is known without a client."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)

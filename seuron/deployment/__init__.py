"""The embedded deployment: Airflow and its database on this machine, nothing installed by hand.

All of its state lies under one folder (`SEURON_HOME`, by default `.seuron` beside the source).
One background supervisor owns every process: PostgreSQL from a wheel, the API server, the DAG
processor and the scheduler, and starts again whatever dies. It listens on 127.0.0.1 only.

`Deployment(home).start()` may be called at any time, any number of times, and after anything:
it reuses what runs and clears away what a killed predecessor left.
"""

from seuron.deployment.control import Deployment, DeploymentStatus
from seuron.deployment.home import Home

__all__ = ["Deployment", "DeploymentStatus", "Home"]

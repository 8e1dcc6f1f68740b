"""Talking to a deployment: its runs as handles, and Airflow's REST API below them.

    import seuron

    deployment = seuron.connect()                       # this machine's, or $SEURON_URL
    run = deployment.run(seuron.SegmentationParams(image="image", output="runs/first"))
    run.wait(lambda status: print(status.sentence))

Nothing here imports Airflow: any deployment that answers `/api/v2` will do.
"""

from seuron.client.deployment import Deployment, connect
from seuron.client.entities import (
    FINISHED,
    DagRun,
    Overhead,
    RunProgress,
    TaskError,
    TaskInstance,
    TierProgress,
    first_reason,
)
from seuron.client.handles import RunHandle
from seuron.client.rest import PAGE, AirflowClient, NoAnswerError
from seuron.client.statuses import RunStatus, StageProgress

__all__ = [
    "FINISHED",
    "PAGE",
    "AirflowClient",
    "DagRun",
    "Deployment",
    "NoAnswerError",
    "Overhead",
    "RunHandle",
    "RunProgress",
    "RunStatus",
    "StageProgress",
    "TaskError",
    "TaskInstance",
    "TierProgress",
    "connect",
    "first_reason",
]

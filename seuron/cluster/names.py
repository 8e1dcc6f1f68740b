"""Where a process belongs, by its environment."""

from __future__ import annotations

import os
import socket

#: Names the file of the cluster that the deployment's workers come from.
CLUSTER_VARIABLE = "SEURON_CLUSTER"
#: The name of the worker that a process belongs to.
WORKER_VARIABLE = "SEURON_WORKER"


def worker_name() -> str:
    """By what Airflow knows the worker of a task (its option `core.hostname_callable`).

    Its own name, so that several on one machine can be distinguished; elsewhere the machine's.
    """
    return os.environ.get(WORKER_VARIABLE) or socket.getfqdn()

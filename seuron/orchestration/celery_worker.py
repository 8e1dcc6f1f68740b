"""Loaded by each Celery worker before it forks its pool: what tasks need is then there without an import.

Celery's setting `imports` names this module (seuron.deployment.environment).
"""

from __future__ import annotations

import os
from contextlib import suppress

from celery.signals import worker_init

from seuron.cluster.config import read_cluster
from seuron.cluster.drivers import load_library
from seuron.cluster.names import CLUSTER_VARIABLE
from seuron.errors import SeuronError
from seuron.orchestration.executor import preload


@worker_init.connect  # type: ignore[untyped-decorator]
def load_libraries(**_: object) -> None:
    """Load the libraries of tasks and, unless the worker only manages, the kernels, as the warm LocalExecutor does."""
    preload(kernels=os.environ.get("SEURON_KERNELS") != "0")
    if CLUSTER_VARIABLE in os.environ:  # it does the steps of a cluster
        with suppress(SeuronError):  # a wrong file is told by each step, in its log
            load_library(read_cluster(os.environ[CLUSTER_VARIABLE]))

"""Loaded by each Celery worker before it forks its pool: what tasks need is then there without an import.

Celery's setting `imports` names this module (seuron.deployment.environment).
"""

from __future__ import annotations

import os

from celery.signals import worker_init

from seuron.orchestration.executor import preload


@worker_init.connect  # type: ignore[untyped-decorator]
def load_libraries(**_: object) -> None:
    """Load the libraries of tasks and, unless the worker only manages, the kernels, as the warm LocalExecutor does."""
    preload(kernels=os.environ.get("SEURON_KERNELS") != "0")

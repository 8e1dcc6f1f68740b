"""Loaded by each Celery worker before it forks its pool: what tasks need is then there without an import.

Celery's setting `imports` names this module (seuron.deployment.environment).
"""

from __future__ import annotations

import logging

from celery.signals import worker_init

from seuron.orchestration.executor import preload

log = logging.getLogger(__name__)


@worker_init.connect  # type: ignore[untyped-decorator]
def load_libraries(**_: object) -> None:
    """Load the libraries of tasks and the kernels, as the warm LocalExecutor does."""
    preload()

"""Runs on the deployment of the integration tests that several of them look at, and its options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Options of Airflow in deployments of tests. Their DAG files do not change by themselves, so they are not parsed each
#: minute, which costs seconds of processor time.
SETTINGS = {"dag_processor.min_file_process_interval": "1800"}


@dataclass(frozen=True)
class Ended:
    """A run of Airflow that has ended, how its parameters differ from the usual ones, and what its command printed."""

    run_id: str
    output: Path
    changes: dict[str, Any]
    stdout: str = ""

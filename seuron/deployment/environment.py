"""Airflow's settings, given through the environment: no configuration file to edit or to drift."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from seuron.deployment.home import HOME_VARIABLE, PROJECT, Home

#: Marks every process of a deployment (children inherit it), so that leftovers of a killed
#: supervisor are found by what they are, not by a process id that may have been reused.
HOME_MARK = "SEURON_DEPLOYMENT"
SERVICE_MARK = "SEURON_SERVICE"

ADDRESS = "127.0.0.1"
DEFAULT_PORT = 8080

#: Airflow refuses a mapped task wider than this; plans hold at most 20,000 tasks a tier.
MAX_MAP_LENGTH = 100_000

#: Tasks that may run beside the compute tasks: `prepare` and the like, which wait more than work.
MANAGER_SLOTS = 2

#: A task is one process with one thread: the plan already has a task for every core, and idle
#: OpenMP threads must sleep, not spin.
TASK_THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


@dataclass(frozen=True)
class Machine:
    """What the pools are sized by."""

    cores: int
    gpus: int

    @classmethod
    def this(cls) -> Machine:
        """The cores this process may use, and the NVIDIA devices that the kernel shows."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        gpus = sum(path.name[6:].isdigit() for path in Path("/dev").glob("nvidia*"))
        return cls(cores, gpus)

    @property
    def pools(self) -> dict[str, int]:
        """Slots of each pool. Without a GPU, its work runs on the cores."""
        return {
            "cpu": self.cores,
            "gpu": self.gpus or self.cores,
            "memory": max(1, self.cores // 2),
            "manager": MANAGER_SLOTS,
        }

    @property
    def parallelism(self) -> int:
        return self.cores + MANAGER_SLOTS


def airflow_settings(home: Home, port: int, socket_folder: Path, machine: Machine) -> dict[str, str]:
    """Airflow's options, `section.name` to value."""
    keys = home.keys()
    url = f"http://{ADDRESS}:{port}"
    database = f"postgres@/postgres?host={socket_folder}"
    return {
        "core.dags_folder": str(PROJECT / "dags"),
        "core.plugins_folder": str(PROJECT / "plugins"),
        "core.load_examples": "False",
        "core.executor": "seuron.orchestration.executor.WarmLocalExecutor",
        "core.parallelism": str(machine.parallelism),
        "core.max_active_tasks_per_dag": str(MAX_MAP_LENGTH),
        "core.max_map_length": str(MAX_MAP_LENGTH),
        "core.dags_are_paused_at_creation": "False",
        "core.auth_manager": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "core.simple_auth_manager_all_admins": "True",
        "core.execution_api_server_url": f"{url}/execution/",
        "core.fernet_key": keys["fernet"],
        "database.sql_alchemy_conn": f"postgresql+psycopg2://{database}",
        "database.sql_alchemy_conn_async": f"postgresql+asyncpg://{database}",
        "api.host": ADDRESS,
        "api.port": str(port),
        "api.base_url": url,
        "api.workers": "1",
        "api.secret_key": keys["session"],
        "api_auth.jwt_secret": keys["jwt"],
        # The default of one second between looks is most of what a chain of short tasks waits for.
        "scheduler.scheduler_idle_sleep_time": "0.3",
        "scheduler.max_tis_per_query": "64",
        "scheduler.task_instance_heartbeat_timeout": "120",
        "scheduler.orphaned_tasks_check_interval": "30",
        # A task's watcher can miss the end of its process, and then looks again only after this
        # interval: with the default of 5 s, 60 trivial tasks took 47 s instead of 14 s. Many missed
        # heartbeats are allowed, so that a restart of the API server kills no task.
        "workers.min_heartbeat_interval": "1",
        "workers.max_failed_heartbeats": "180",
        "workers.execution_api_retries": "10",
        "dag_processor.parsing_processes": "1",
        "dag_processor.min_file_process_interval": "60",
    }


def service_environment(home: Home, service: str, port: int, socket_folder: Path, machine: Machine) -> dict[str, str]:
    """The whole environment of one supervised process."""
    settings = airflow_settings(home, port, socket_folder, machine)
    # Any AIRFLOW_ or proxy setting of the caller's shell would change this deployment or send
    # its local traffic elsewhere.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AIRFLOW_") and name.lower() not in {"no_proxy", "http_proxy"}
    }
    return {
        **inherited,
        **{"AIRFLOW__" + name.replace(".", "__").upper(): value for name, value in settings.items()},
        **TASK_THREADS,
        "AIRFLOW_HOME": str(home.airflow),
        "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR") or str(home.numba_cache),
        "NO_PROXY": f"{ADDRESS},localhost",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        # Airflow renames its processes; without this the new name overwrites the marks below.
        "SPT_NOENV": "1",
        HOME_VARIABLE: str(home.folder),
        HOME_MARK: str(home.folder),
        SERVICE_MARK: service,
    }

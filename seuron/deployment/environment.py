"""Airflow's settings, given through the environment: no configuration file to edit or to drift."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from seuron.airflow_rest.login import LOGIN_FILE_VARIABLE, TOKEN_FILE_VARIABLE
from seuron.cluster.local_machine import LocalMachine
from seuron.cluster.names import CLUSTER_VARIABLE
from seuron.deployment.home import HOME_VARIABLE, OWNER, PROJECT, Home
from seuron.errors import RunError
from seuron.storage.private_files import FILE_MODE, FOLDER_MODE

#: Marks every process of a deployment (children inherit it), so that leftovers of a killed
#: supervisor are found by what they are, not by a process id that may have been reused.
HOME_MARK = "SEURON_DEPLOYMENT"
SERVICE_MARK = "SEURON_SERVICE"

ADDRESS = "127.0.0.1"
DEFAULT_PORT = 8080

#: Airflow refuses a mapped task wider than this; plans hold at most 20,000 tasks a tier.
MAX_MAP_LENGTH = 100_000

#: A task is one process with one thread: the plan already has a task for every core, and idle
#: OpenMP threads must sleep, not spin.
TASK_THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


def airflow_settings(home: Home, port: int, socket_folder: Path, machine: LocalMachine) -> dict[str, str]:
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
        "core.simple_auth_manager_users": f"{OWNER}:admin",
        "core.simple_auth_manager_passwords_file": str(home.passwords),
        # True in settings.json: whoever reaches the port is an administrator, without a token.
        "core.simple_auth_manager_all_admins": "False",
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
        "logging.file_task_handler_new_folder_permissions": oct(FOLDER_MODE),
        "logging.file_task_handler_new_file_permissions": oct(FILE_MODE),
        "dag_processor.parsing_processes": "1",
        "dag_processor.min_file_process_interval": "60",
    }


#: How Celery is set up, wherever its workers are; docker-compose.yml has the same.
CELERY_SETTINGS: dict[str, str] = {
    "core.executor": "seuron.orchestration.celery_executor.PatientCeleryExecutor",
    # What may be queued and running at once: workers take what they have slots for.
    "core.parallelism": "1000",
    # A message is kept until its task has ended, and a worker takes one for each slot only.
    "celery.task_acks_late": "True",
    "celery.worker_prefetch_multiplier": "1",
    # A message of a worker that died before it began its task comes back after this time, s. One whose task
    # runs comes back as well; Airflow says that it runs already, and it is dropped.
    "celery_broker_transport_options.visibility_timeout": "120",
    "celery.extra_celery_config": json.dumps(
        {
            "imports": ["seuron.orchestration.celery_worker"],
            # `seuron worker` decides when a broker has been away for too long.
            "broker_connection_max_retries": None,
        }
    ),
    "celery.operation_timeout": "10",
    # A task whose worker died has not said that it is alive for so long, s; looked at each 10 s.
    "scheduler.task_instance_heartbeat_timeout": "60",
    "scheduler.task_instance_heartbeat_timeout_detection_interval": "10",
    # A scheduler that dies between writing down that a task is queued and sending it: it is sent again after
    # this time, s. So is each task that waits for a worker for so long, as often as it takes; the messages that this
    # leaves in the broker do no harm, as their tokens are good for days (seuron.orchestration.celery_executor),
    # but each takes a worker some tenths of a second, so they are to be few.
    "scheduler.task_queued_timeout": "1800",
    "scheduler.task_queued_timeout_check_interval": "60",
    "scheduler.num_stuck_in_queued_retries": "100000",
}


def celery_settings(home: Home) -> dict[str, str]:
    """Airflow's options for Celery on the embedded deployment; the broker's address stays in its file."""
    read = f"cat {shlex.quote(str(home.broker_url))}"
    return {**CELERY_SETTINGS, "celery.broker_url_cmd": read, "celery.result_backend_cmd": read}


def as_variables(settings: Mapping[str, str]) -> dict[str, str]:
    """Airflow's options, `section.name` to value, as environment variables."""
    return {"AIRFLOW__" + name.replace(".", "__").upper(): value for name, value in settings.items()}


def broker_url(environment: Mapping[str, str]) -> str:
    """The broker's address by the settings of Airflow in an environment; raises RunError where there is none."""
    name = "AIRFLOW__CELERY__BROKER_URL"
    if name in environment:
        return environment[name]
    command = environment.get(f"{name}_CMD")
    if command is None:
        raise RunError(
            f"no broker is known: set {name}_CMD to a command that prints its address, such as `cat FILE`, "
            "or start one on this machine with `seuron up --celery`"
        )
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        raise RunError(f"{name}_CMD gave no address (code {done.returncode}): {done.stderr.strip()}")
    return done.stdout.strip()


def service_environment(
    home: Home,
    service: str,
    port: int,
    socket_folder: Path,
    machine: LocalMachine,
    *,
    celery: bool = False,
    cluster: str = "",
) -> dict[str, str]:
    """The whole environment of one supervised process; `cluster` is the file of the cluster, where there is one."""
    settings = airflow_settings(home, port, socket_folder, machine) | (celery_settings(home) if celery else {})
    if home.settings.exists():
        settings |= json.loads(home.settings.read_text())
    # Any AIRFLOW_ or proxy setting of the caller's shell would change this deployment or send
    # its local traffic elsewhere.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AIRFLOW_")
        and name.lower() not in {"no_proxy", "http_proxy"}
        # The cluster or the Airflow that commands are to look at need not be this deployment's.
        and name not in {CLUSTER_VARIABLE, TOKEN_FILE_VARIABLE}
    }
    return {
        **inherited,
        **as_variables(settings),
        **TASK_THREADS,
        "AIRFLOW_HOME": str(home.airflow),
        "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR") or str(home.numba_cache),
        "NO_PROXY": f"{ADDRESS},localhost",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        # Airflow renames its processes; without this the new name overwrites the marks below.
        "SPT_NOENV": "1",
        LOGIN_FILE_VARIABLE: str(home.login),
        HOME_VARIABLE: str(home.folder),
        HOME_MARK: str(home.folder),
        SERVICE_MARK: service,
        **({CLUSTER_VARIABLE: cluster} if cluster else {}),
    }

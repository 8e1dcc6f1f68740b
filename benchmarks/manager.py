"""What the manager of a cluster takes for many tasks: `python benchmarks/manager.py --tasks 10000 --seconds 500`.

Starts a deployment with a cluster of one process in a folder of its own, runs that many mapped tasks that do
nothing, and prints the processor time and the memory of each of the manager's services (database, broker,
API server, scheduler, DAG processor, the manager's worker). The group's worker is counted apart: in a cluster it
is elsewhere. When the time is up before the tasks are, what they would take is told by the rate so far.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from seuron.client import AirflowClient
from seuron.deployment import Deployment, Home
from seuron.deployment.environment import SERVICE_MARK
from seuron.deployment.home import PROJECT
from seuron.deployment.processes import marked_processes

DAG = """
from datetime import datetime
from airflow.sdk import DAG, task

with DAG("trivial", schedule=None, max_active_tasks=100_000) as trivial:
    @task(queue="cpu", pool="cpu", do_xcom_push=False)
    def nothing(number):
        pass

    nothing.expand(number=list(range({tasks})))
"""
CLUSTER = """
name = "benchmark"
provider = "processes"
queues = [{ name = "cpu" }]
[[groups]]
name = "all"
queue = "cpu"
slots = 4
max_size = 1
"""
#: Services whose work goes with the group's worker, not with the manager.
WORKERS = ("worker-instances",)


def seconds_by_service(home: Home) -> Counter[str]:
    """Processor seconds so far, ended children included where their parent lives."""
    found: Counter[str] = Counter()
    for process in marked_processes(home.folder):
        with suppress(psutil.Error):
            times = process.cpu_times()
            found[process.environ()[SERVICE_MARK]] += sum(times[:4])
    return found


def memory_by_service(home: Home) -> Counter[str]:
    """Proportional memory (PSS), bytes."""
    found: Counter[str] = Counter()
    for process in marked_processes(home.folder):
        with suppress(psutil.Error):
            found[process.environ()[SERVICE_MARK]] += process.memory_full_info().pss
    return found


def measure(home: Home, client: AirflowClient, tasks: int, seconds: float) -> None:
    """Run the tasks and print what they took."""
    idle_from = seconds_by_service(home), time.monotonic()
    time.sleep(30)
    idle = seconds_by_service(home), time.monotonic()
    run_id = client.trigger("trivial", {})
    first = done_first = 0.0
    peak: Counter[str] = Counter()
    began, before = time.monotonic(), seconds_by_service(home)
    done = 0
    while done < tasks and time.monotonic() < began + seconds:
        time.sleep(10)
        peak |= memory_by_service(home)
        path = f"/dags/trivial/dagRuns/{run_id}/taskInstances"
        done = int(client._get(path, {"state": ["success"], "limit": 1})["total_entries"])
        if done and not first:
            first, done_first = time.monotonic(), done
    ended, after = time.monotonic(), seconds_by_service(home)
    rate = (done - done_first) / max(1.0, ended - first)
    print(f"{done} of {tasks} tasks in {ended - began:.0f} s, {rate:.1f} a second once the worker was there")
    print("| service | CPU-s a task | CPU-s for all | memory, MB | idle, CPU-s a minute |\n|---|---|---|---|---|")
    total: Counter[str] = Counter()
    for name in sorted(peak):
        each = (after[name] - before[name]) / max(1, done)
        minute = (idle[0][name] - idle_from[0][name]) / (idle[1] - idle_from[1]) * 60
        kind = "worker" if name in WORKERS else "manager"
        total.update({f"{kind} each": each, f"{kind} memory": peak[name], f"{kind} idle": minute})  # type: ignore[dict-item]
        print(f"| {name} | {each:.3f} | {each * tasks:.0f} | {peak[name] / 1e6:.0f} | {minute:.2f} |")
    for kind in ("manager", "worker"):
        each, memory, minute = (total[f"{kind} {part}"] for part in ("each", "memory", "idle"))
        print(f"| **{kind}** | {each:.3f} | {each * tasks:.0f} | {memory / 1e6:.0f} | {minute:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=500.0, help="stop after so long")
    arguments = parser.parse_args()
    home = Home(Path(tempfile.mkdtemp(prefix="seuron-manager-")))
    dags = home.folder / "dags"
    shutil.copytree(PROJECT / "dags", dags)
    (dags / "trivial.py").write_text(DAG.replace("{tasks}", str(arguments.tasks)))
    home.settings.write_text(json.dumps({"core.dags_folder": str(dags)}))
    (home.folder / "cluster.toml").write_text(CLUSTER)
    deployment = Deployment(home)
    try:
        deployment.start(cluster=home.folder / "cluster.toml")
        with AirflowClient(deployment.url) as client:
            while "trivial" not in client.parsed_dags():
                time.sleep(1)
            measure(home, client, arguments.tasks, arguments.seconds)
    finally:
        deployment.stop()
        shutil.rmtree(home.folder, ignore_errors=True)


if __name__ == "__main__":
    main()

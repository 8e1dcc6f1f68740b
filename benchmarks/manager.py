"""What the manager of a cluster takes for many tasks: `python benchmarks/manager.py --tasks 10000 --seconds 500`.

Starts a deployment with a cluster of one process in a folder of its own, runs that many mapped tasks that do
nothing, and prints the processor time and the memory of each of the manager's services (database, broker,
API server, scheduler, DAG processor, the manager's worker). The group's worker is counted apart: in a cluster it
is elsewhere. What it takes to begin, until some tasks are done, is told apart from what each further task takes;
when the time is up before the tasks are, the sum for all is made of these two.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import psutil

from seuron.airflow_rest import AirflowClient
from seuron.deployment import Deployment, Home
from seuron.deployment.environment import SERVICE_MARK
from seuron.deployment.home import PROJECT
from seuron.deployment.processes import marked_processes

DAG = """
from datetime import datetime
from airflow.sdk import DAG, task

with DAG("trivial", schedule=None, max_active_tasks=100_000) as trivial:
    @task(queue="manager", pool="manager")
    def numbers():
        return list(range({tasks}))

    @task(queue="cpu", pool="cpu", do_xcom_push=False)
    def nothing(number):
        pass

    nothing.expand(number=numbers())
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


def seconds_by_service(home: Home) -> defaultdict[str, float]:
    """Processor seconds so far, ended children included where their parent lives."""
    found: defaultdict[str, float] = defaultdict(float)
    for process in marked_processes(home.folder):
        with suppress(psutil.Error):
            times = process.cpu_times()
            found[process.environ()[SERVICE_MARK]] += sum(times[:4])
    return found


def memory_by_service(home: Home) -> defaultdict[str, float]:
    """Proportional memory (PSS), bytes."""
    found: defaultdict[str, float] = defaultdict(float)
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
    first: tuple[float, int, defaultdict[str, float]] | None = None
    peak: defaultdict[str, float] = defaultdict(float)
    began, before = time.monotonic(), seconds_by_service(home)
    done = 0
    while done < tasks and time.monotonic() < began + seconds:
        time.sleep(10)
        for name, memory in memory_by_service(home).items():
            peak[name] = max(peak[name], memory)
        path = f"/dags/trivial/dagRuns/{run_id}/taskInstances"
        done = int(client._get(path, {"state": ["success"], "task_id": "nothing", "limit": 1})["total_entries"])
        if done and first is None:
            first = time.monotonic(), done, seconds_by_service(home)
    ended, after = time.monotonic(), seconds_by_service(home)
    if first is None:
        raise SystemExit(f"no task was done within {seconds:g} s")
    begin, done_first, then = first
    rate = (done - done_first) / max(1.0, ended - begin)
    print(f"{done} of {tasks} tasks in {ended - began:.0f} s, {rate:.1f} a second once {done_first} were done")
    head = ("service", "CPU-s to begin", "CPU-s a task", "CPU-s for all", "memory, MB", "idle, CPU-s a minute")
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    totals: dict[str, tuple[float, ...]] = {"manager": (0.0,) * 5, "worker": (0.0,) * 5}
    for name in sorted(peak):
        begun, each = then[name] - before[name], (after[name] - then[name]) / max(1, done - done_first)
        minute = (idle[0][name] - idle_from[0][name]) / (idle[1] - idle_from[1]) * 60
        kind = "worker" if name in WORKERS else "manager"
        figures = (begun, each, begun + each * tasks, peak[name] / 1e6, minute)
        totals[kind] = tuple(map(sum, zip(totals[kind], figures, strict=True)))
        print(_row(name, figures))
    for kind, sums in totals.items():
        print(_row(f"**{kind}**", sums))


def _row(name: str, figures: tuple[float, ...]) -> str:
    begun, each, together, memory, minute = figures
    return f"| {name} | {begun:.1f} | {each:.3f} | {together:.0f} | {memory:.0f} | {minute:.2f} |"


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
        deployment.start(cluster=home.folder / "cluster.toml", seconds=600)
        with deployment.client(timeout=120.0) as client:
            while "trivial" not in client.parsed_dags():
                time.sleep(1)
            measure(home, client, arguments.tasks, arguments.seconds)
    finally:
        deployment.stop()
        shutil.rmtree(home.folder, ignore_errors=True)


if __name__ == "__main__":
    main()

"""What Airflow costs a run: where the time between and around its tasks goes, from the timeline in its database.

    python benchmarks/orchestration.py [--home FOLDER] [--runs 2] [--large] [--batch-chunks N] [section.option=value]

Starts a deployment in a folder of its own, with Airflow's options as given in place of the deployment's, and runs a
volume whose tasks do next to nothing, on as many cores as there are. The first run warms what is cached. With
`--large` the volume has 1024x1024x512 voxels in chunks of 256^3, and leaves as the plan chooses them, or of N chunks
along each side.

    barriers   from the end of a tier's last task to the time that the next tier's tasks are queued
    queue      from a task being queued to its process having begun, where it did not wait for another task's core
    process    a task's time in its process, less what it says it worked
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from seuron.box import Box, Triple, triple
from seuron.client import connect
from seuron.client.deployment import DeploymentClient as Client
from seuron.deployment import Deployment, Home
from seuron.deployment.postgres import socket_folder
from seuron.deployment.processes import marked_processes
from seuron.engine.queues import usable_cores
from seuron.engine.run import Run
from seuron.pipelines.segmentation.params import SegmentationParams

SHAPE = (80, 64, 64)
#: What `--large` is made of: the same voxels again and again, each time mirrored.
TILE, TILES = (256, 256, 256), (4, 4, 2)
SMALL: dict[str, Any] = {"chunk_size": (40, 32, 64), "batch_chunks": 1, "watershed_high": 0.8, "watershed_size": 20}
_QUERY = """
    select task_id, queued_dttm, start_date, end_date from task_instance
    where run_id = %s and queued_dttm is not null and start_date is not null and end_date is not null
    order by start_date
"""


@dataclass(frozen=True)
class Row:
    """One task in Airflow: its node, and when it was queued, began and ended."""

    node: str
    queued: datetime
    began: datetime
    ended: datetime


@dataclass(frozen=True)
class Costs:
    """Seconds of one run: all of it, its tasks' own work, and what lies between and around them."""

    tasks: int
    wall: float
    work: float
    barriers: float
    queue: float
    process: float
    scheduler_cpu: float

    def __str__(self) -> str:
        queue, process = self.queue / self.tasks, self.process / self.tasks
        share = 1 - self.work / usable_cores() / self.wall
        return (
            f"{self.wall:6.1f} s for {self.tasks} tasks with {self.work:.1f} s of work, {share:.0%} beside it: "
            f"barriers {self.barriers:.1f} s; a task {queue:.2f} s in the queue and {process:.2f} s around its work; "
            f"scheduler {self.scheduler_cpu:.1f} CPU-s"
        )


def write_volume(path: Path, tile: Triple, tiles: Triple) -> None:
    """Random affinities of so many tiles along each axis."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    from seuron.volumes import create_volume

    random = np.random.default_rng(0)
    smooth = np.stack([gaussian_filter(random.standard_normal(tile), 3) for _ in range(3)], axis=-1)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    voxels = (smooth * 255).astype(np.uint8)
    whole = Box((0, 0, 0), triple([t * n for t, n in zip(tile, tiles, strict=True)]))
    volume = create_volume(str(path), whole, (10.0, 10.0, 10.0), dtype="uint8", channels=3)
    for index, box in whole.cells(tile):
        mirrored = voxels[tuple(slice(None, None, -1 if i % 2 else 1) for i in index)]
        volume.write(box, np.asfortranarray(mirrored))


def costs_of(home: Home, run_id: str, output: Path, wall: float, scheduler_cpu: float) -> Costs:
    """Where the time of a finished run went."""
    with psycopg2.connect(host=str(socket_folder(home.database)), user="postgres", dbname="postgres") as connection:
        cursor = connection.cursor()
        cursor.execute(_QUERY, (run_id,))
        rows = [Row(*row) for row in cursor.fetchall()]
    connection.close()
    records = Run.open(str(output)).records()
    work = sum(record.seconds for record in records)
    barriers, queue, ended = 0.0, 0.0, rows[0].ended
    for number, row in enumerate(rows[1:], start=1):
        if row.node != rows[number - 1].node:
            barriers += max(0.0, (row.queued - ended).total_seconds())
        queue += (row.began - row.queued).total_seconds()
        ended = max(ended, row.ended)
    process = sum((row.ended - row.began).total_seconds() for row in rows) - work
    return Costs(len(rows), wall, work, barriers, queue, process, scheduler_cpu)


def measure(client: Client, home: Home, affinities: Path, output: Path, values: dict[str, Any]) -> Costs:
    """Run it once, with these parameters."""
    scheduler = min(marked_processes(home.folder, "scheduler"), key=psutil.Process.create_time)
    before, began = scheduler.cpu_times(), time.monotonic()
    handle = client.run(SegmentationParams(affinities=str(affinities), output=str(output), **values))
    status = handle.wait()
    wall, after = time.monotonic() - began, scheduler.cpu_times()
    assert status.state == "succeeded", status
    used = after.user + after.system - before.user - before.system
    return costs_of(home, handle.id, output, wall, used)


def main() -> None:
    """Print a line for each run, and what the scheduler takes while nothing runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--batch-chunks", type=int, default=0)
    parser.add_argument("settings", nargs="*")
    given = parser.parse_args()
    # Not below a folder of the user's own: as root, the database runs as another user.
    folder = given.home or Path(tempfile.mkdtemp(prefix="seuron-orchestration-"))
    home = Home(folder.resolve())
    home.create()
    options: dict[str, Any] = dict(setting.split("=", 1) for setting in given.settings)
    home.settings.write_text(json.dumps(options))
    write_volume(home.folder / "affinities", *((TILE, TILES) if given.large else (SHAPE, (1, 1, 1))))
    values = {"batch_chunks": given.batch_chunks} if given.large else SMALL
    deployment = Deployment(home)
    began = time.monotonic()
    try:
        deployment.start(on_step=lambda step: print(f"{time.monotonic() - began:6.1f} s  {step}", flush=True))
        print(f"ready after {time.monotonic() - began:.1f} s", flush=True)
        with_url = connect(deployment.url, auth=deployment.client().auth)
        for _ in range(given.runs):
            output = Path(tempfile.mkdtemp(prefix="run-", dir=home.folder)) / "run"
            print(measure(with_url, home, home.folder / "affinities", output, values), flush=True)
        scheduler = min(marked_processes(home.folder, "scheduler"), key=psutil.Process.create_time)
        print(f"idle, the scheduler takes {scheduler.cpu_percent(10.0):.0f} % of a core")
    finally:
        deployment.stop()


if __name__ == "__main__":
    main()

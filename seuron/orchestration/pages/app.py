"""The routes of the pages, each only for those who may read the run's DAG.

Airflow says who asks (the cookie of its web UI, or a token) and what that person may read. Who is not logged in
is sent to the login by a page, and gets 401 by anything else; who may not read the DAG gets 403.
"""

from __future__ import annotations

import time
from typing import Annotated, Any
from urllib.parse import quote

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.utils.session import create_session
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from seuron.box import Triple
from seuron.engine.registry import pipeline_names
from seuron.errors import SeuronError
from seuron.orchestration.pages.airflow_rows import (
    DagRunRow,
    find_run,
    instance_of,
    last_runs,
    output_of,
)
from seuron.orchestration.pages.login import login_router
from seuron.orchestration.pages.run_rows import failed_tasks, run_row
from seuron.orchestration.routing import node
from seuron.web import files
from seuron.web.layers import layer_versions
from seuron.web.neuroglancer_state import neuroglancer_state
from seuron.web.snapshot import RunSnapshot, SnapshotCache
from seuron.web.task_details import task_details
from seuron.web.tier_grid import TierGrid

#: The DAGs whose runs are shown.
DAGS = frozenset(pipeline_names())
#: Runs that the page Runs shows, the newest.
RUNS_SHOWN = 50
#: Seconds for which the folder of a run is cached: blocks come by the hundred.
_OUTPUT_SECONDS = 30.0

_snapshots = SnapshotCache()
_outputs: dict[tuple[str, str], tuple[float, str]] = {}

READ_ONE = Depends(requires_access_dag("GET", DagAccessEntity.RUN))
open_router = APIRouter()
one_run = APIRouter(dependencies=[READ_ONE])


def pages_app() -> FastAPI:
    """The application that Airflow's API server mounts at `seuron.orchestration.views.PREFIX`."""
    app = FastAPI(title="seuron pages", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(login_router)
    app.include_router(open_router)
    app.include_router(one_run)

    @app.exception_handler(401)
    async def not_logged_in(request: Request, error: HTTPException) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(get_auth_manager().get_url_login(next_url=str(request.url)))
        return JSONResponse({"detail": error.detail}, 401)

    return app


def readable_dags(user: GetUserDep) -> set[str]:
    """Those of our DAGs that a person may read; raises 403 where there is none."""
    found = get_auth_manager().get_authorized_dag_ids(user=user, method="GET") & DAGS
    if not found:
        raise HTTPException(403, f"you may not read the DAG {' or '.join(sorted(DAGS))}; ask who runs this Airflow")
    return found


ReadableDags = Annotated[set[str], Depends(readable_dags)]


def requested_run(dag_id: str, run_id: str, session: SessionDep) -> DagRunRow:
    """The run that an address names; raises 404 where Airflow has none."""
    run = find_run(session, dag_id, run_id) if dag_id in DAGS else None
    if run is None:
        raise HTTPException(404, f"Airflow has no run {run_id!r} of {dag_id!r} that could be shown")
    return run


def requested_snapshot(dag_id: str, run_id: str) -> RunSnapshot:
    """What lies in the folder of the run that an address names; raises 404 where it is not prepared yet."""
    try:
        snapshot = _snapshots.get(_output(dag_id, run_id))
    except SeuronError as error:
        raise HTTPException(409, str(error)) from error
    if snapshot is None:
        raise HTTPException(404, "the run is not prepared yet")
    return snapshot


def requested_grid(snapshot: RequestedSnapshot, grid: str) -> TierGrid:
    """A map of the run by its name."""
    if grid not in snapshot.grids:
        raise HTTPException(404, f"the run has no map {grid!r}; it has {', '.join(snapshot.grids)}")
    return snapshot.grids[grid]


RequestedRun = Annotated[DagRunRow, Depends(requested_run)]
RequestedSnapshot = Annotated[RunSnapshot, Depends(requested_snapshot)]
RequestedGrid = Annotated[TierGrid, Depends(requested_grid)]


def _output(dag_id: str, run_id: str) -> str:
    """The folder of a run, cached for a moment; raises 404."""
    cached = _outputs.get((dag_id, run_id))
    if cached is not None and time.monotonic() - cached[0] < _OUTPUT_SECONDS:
        return cached[1]
    with create_session(scoped=False) as session:
        output = output_of(session, dag_id, run_id) if dag_id in DAGS else None
    if output is None:
        raise HTTPException(404, f"Airflow has no run {run_id!r} of {dag_id!r} with an output")
    if len(_outputs) > 1000:
        _outputs.clear()
    _outputs[dag_id, run_id] = (time.monotonic(), output)
    return output


@open_router.get("/runs")
def runs_page(_: ReadableDags) -> Response:
    return files.page("runs")


@open_router.get("/volume")
def volume_page(_: ReadableDags) -> Response:
    return files.page("volume")


@open_router.get("/static/{name}")
def static_file(name: str, _: ReadableDags) -> Response:
    return files.static_file(name)


@open_router.get("/v/run/{name:path}")
def client_file(name: str, _: ReadableDags) -> Response:
    return files.client_file(name)


@open_router.get("/api/runs")
def runs_table(dags: ReadableDags, session: SessionDep) -> dict[str, Any]:
    """The newest runs; of those in one folder, only the newest is shown with what lies there."""
    rows, seen = [], set()
    for run in last_runs(session, dags, RUNS_SHOWN):
        rows.append(run_row(session, _snapshots, run, newest=run.output not in seen))
        seen.add(run.output)
    return {"runs": rows, "now": time.time()}


@one_run.get("/api/runs/{dag_id}/{run_id}")
def run_head(run: RequestedRun, session: SessionDep) -> dict[str, Any]:
    """One run, as in the table; what lies in its folder is shown even where a later run goes on there."""
    return {**run_row(session, _snapshots, run, newest=True), "now": time.time()}


@one_run.get("/api/runs/{dag_id}/{run_id}/map")
def run_map(run: RequestedRun, snapshot: RequestedSnapshot, grid: RequestedGrid, z: int = 0) -> dict[str, Any]:
    """A slice of a map: counts for each of at most 128 x 128 squares."""
    made = grid.slice_at(z, snapshot.done, snapshot.running if run.active else (), failed_tasks(snapshot, run))
    return {
        "grid": grid.name,
        "shape": grid.shape,
        "corner": grid.tier.indices.minimum,
        "z": made.z,
        "factor": made.factor,
        "cells": made.cells,
        "slices": made.slices,
    }


@one_run.get("/api/runs/{dag_id}/{run_id}/task")
def one_task(
    run: RequestedRun, snapshot: RequestedSnapshot, grid: RequestedGrid, session: SessionDep, x: int, y: int, z: int
) -> dict[str, Any]:
    """The task at a place of a map, counted from its corner, and what Airflow knows of it."""
    place: Triple = (x, y, z)
    task_id = grid.task_at(place)
    found = None if task_id is None else task_details(snapshot, task_id)
    if found is None:
        raise HTTPException(404, f"the map {grid.name} has no task at {place}")
    instance = instance_of(session, run, node(grid.stage, grid.tier.number), found["label"])
    if instance is not None:
        page = instance.page(run.dag_id, run.run_id)
        found["airflow"] = {"state": instance.state, "tries": instance.try_number, "page": page}
        if found["state"] != "done" and instance.state == "failed":
            found["state"] = "failed"
    return found


@one_run.get("/api/runs/{dag_id}/{run_id}/viewer")
def viewer(dag_id: str, run_id: str, snapshot: RequestedSnapshot) -> dict[str, Any]:
    """What Neuroglancer shows now; its layers lie below the address of these pages, `HERE/data/...`."""
    run = f"{quote(dag_id)}/{quote(run_id, safe='')}"
    return {
        "layers": layer_versions(snapshot),
        "state": neuroglancer_state(snapshot, lambda name, version: f"HERE/data/{run}/{version}/{quote(name)}"),
    }


@one_run.get("/data/{dag_id}/{run_id}/{version}/{layer}/{name:path}")
def layer_file(snapshot: RequestedSnapshot, layer: str, name: str) -> Response:
    """A file of a layer; the version in its address is for the browser, which caches what it has of one."""
    return files.layer_file(snapshot, layer, name)


@one_run.get("/report/{dag_id}/{run_id}")
def report(snapshot: RequestedSnapshot) -> Response:
    return files.report(snapshot)

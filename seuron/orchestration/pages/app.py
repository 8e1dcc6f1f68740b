"""The routes of the pages, each for those only who may read the run's DAG.

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
from seuron.errors import SeuronError
from seuron.orchestration.pages import files
from seuron.orchestration.pages.facts import KnownRun, instance_of, known_run, last_runs, output_of, told
from seuron.orchestration.pages.tables import failed_tasks, run_row
from seuron.orchestration.routing import DAG_ID, node
from seuron.pages.details import task_details
from seuron.pages.layers import layer_versions, viewer_state_of
from seuron.pages.look import Look, Looks
from seuron.pages.sheets import Sheet, cut

#: The DAGs whose runs are shown.
DAGS = frozenset({DAG_ID})
#: Runs that the page Runs shows, the newest.
RUNS_SHOWN = 50
#: Seconds for which the folder of a run is remembered: blocks come by the hundred.
_OUTPUT_SECONDS = 30.0

_looks = Looks()
_outputs: dict[tuple[str, str], tuple[float, str]] = {}

READ_ONE = Depends(requires_access_dag("GET", DagAccessEntity.RUN))
open_router = APIRouter()
one_run = APIRouter(dependencies=[READ_ONE])


def pages_app() -> FastAPI:
    """The application that Airflow's API server mounts at `seuron.orchestration.views.PREFIX`."""
    app = FastAPI(title="seuron pages", docs_url=None, redoc_url=None, openapi_url=None)
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


def asked_run(dag_id: str, run_id: str, session: SessionDep) -> KnownRun:
    """The run that an address names; raises 404 where Airflow has none."""
    run = known_run(session, dag_id, run_id) if dag_id in DAGS else None
    if run is None:
        raise HTTPException(404, f"Airflow has no run {run_id!r} of {dag_id!r} that could be shown")
    return run


def asked_look(dag_id: str, run_id: str) -> Look:
    """What lies in the folder of the run that an address names; raises 404 where it is not prepared yet."""
    try:
        look = _looks.at(_output(dag_id, run_id))
    except SeuronError as error:
        raise HTTPException(409, str(error)) from error
    if look is None:
        raise HTTPException(404, "the run is not prepared yet")
    return look


def asked_sheet(look: AskedLook, sheet: str) -> Sheet:
    """A map of the run by its name."""
    if sheet not in look.sheets:
        raise HTTPException(404, f"the run has no map {sheet!r}; it has {', '.join(look.sheets)}")
    return look.sheets[sheet]


AskedRun = Annotated[KnownRun, Depends(asked_run)]
AskedLook = Annotated[Look, Depends(asked_look)]
AskedSheet = Annotated[Sheet, Depends(asked_sheet)]


def _output(dag_id: str, run_id: str) -> str:
    """The folder of a run, remembered for a moment; raises 404."""
    known = _outputs.get((dag_id, run_id))
    if known is not None and time.monotonic() - known[0] < _OUTPUT_SECONDS:
        return known[1]
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
    return files.static(name)


@open_router.get("/v/run/{name:path}")
def client_file(name: str, _: ReadableDags) -> Response:
    return files.client(name)


@open_router.get("/api/runs")
def runs_table(dags: ReadableDags, session: SessionDep) -> dict[str, Any]:
    """The newest runs; of those in one folder, only the newest is told with what lies there."""
    rows, seen = [], set()
    for run in last_runs(session, dags, RUNS_SHOWN):
        rows.append(run_row(session, _looks, run, newest=run.output not in seen))
        seen.add(run.output)
    return {"runs": rows, "now": time.time()}


@one_run.get("/api/runs/{dag_id}/{run_id}")
def run_head(run: AskedRun, session: SessionDep) -> dict[str, Any]:
    """One run, as in the table; what lies in its folder is told even where a later run goes on there."""
    return {**run_row(session, _looks, run, newest=True), "now": time.time()}


@one_run.get("/api/runs/{dag_id}/{run_id}/map")
def run_map(run: AskedRun, look: AskedLook, sheet: AskedSheet, z: int = 0) -> dict[str, Any]:
    """A slice of a map: counts for each of at most 128 x 128 squares."""
    made = cut(sheet, z, look.done, look.working if run.active else (), failed_tasks(look, run))
    return {
        "sheet": sheet.name,
        "shape": sheet.shape,
        "corner": sheet.corner,
        "z": made.z,
        "factor": made.factor,
        "cells": made.cells,
        "slices": made.slices,
    }


@one_run.get("/api/runs/{dag_id}/{run_id}/task")
def one_task(
    run: AskedRun, look: AskedLook, sheet: AskedSheet, session: SessionDep, x: int, y: int, z: int
) -> dict[str, Any]:
    """The task at a place of a map, counted from its corner, and what Airflow knows of it."""
    place: Triple = (x, y, z)
    found = task_details(look, sheet.task_at(place))
    if found is None:
        raise HTTPException(404, f"the map {sheet.name} has no task at {place}")
    instance = instance_of(session, run, node(sheet.stage, sheet.tier), found["label"])
    if instance is not None:
        known = told(instance)
        found["airflow"] = {"state": known.state, "tries": known.try_number, "page": known.page(run.dag_id, run.run_id)}
        if found["state"] != "done" and known.state == "failed":
            found["state"] = "failed"
    return found


@one_run.get("/api/runs/{dag_id}/{run_id}/viewer")
def viewer(dag_id: str, run_id: str, look: AskedLook) -> dict[str, Any]:
    """What Neuroglancer shows now; its layers lie below the address of these pages, `HERE/data/...`."""
    run = f"{quote(dag_id)}/{quote(run_id, safe='')}"
    return {
        "layers": layer_versions(look),
        "state": viewer_state_of(look, lambda name, version: f"HERE/data/{run}/{version}/{quote(name)}"),
    }


@one_run.get("/data/{dag_id}/{run_id}/{version}/{layer}/{name:path}")
def layer_file(look: AskedLook, layer: str, name: str) -> Response:
    """A file of a layer; the version in its address is for the browser, which keeps what it has of one."""
    return files.block(look, layer, name)


@one_run.get("/report/{dag_id}/{run_id}")
def report(look: AskedLook) -> Response:
    return files.report(look)

"""A deployment that one talks to: this machine's, or any other through its address and a token."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from seuron.client.entities import DagRun
from seuron.client.handles import RunHandle
from seuron.client.login import BearerToken, login_from
from seuron.client.looking import look_at_start
from seuron.client.naming import find_run
from seuron.client.rest import AirflowClient
from seuron.client.statuses import RunStatus
from seuron.errors import RunError, UnreachableError
from seuron.params.model import Parameters, parse_parameters
from seuron.pipelines.registry import PIPELINES, pipeline_of
from seuron.storage import Storage, cloud_path

if TYPE_CHECKING:
    from seuron.deployment import Deployment as Embedded
    from seuron.engine.forecast import Calibration, Forecast
    from seuron.engine.run import Run

#: The deployment that is meant where none is named.
URL_VARIABLE, TOKEN_VARIABLE = "SEURON_URL", "SEURON_TOKEN"
#: Other pages, such as dashboards, as `NAME=URL` with spaces between.
LINKS_VARIABLE = "SEURON_LINKS"
#: Starts of runs that are looked through for a name.
LOOKED_THROUGH = 1000


def connect(url: str | None = None, token: str | None = None, *, auth: httpx.Auth | None = None) -> Deployment:
    """The deployment at `url`; without one that of $SEURON_URL, else this machine's.

    `token` is one of Airflow's, by default $SEURON_TOKEN, else the files that `login.py` names say how to log in;
    `auth` does so in some other way. Nothing is asked yet.
    """
    address = url or os.environ.get(URL_VARIABLE) or None
    shown = token or (os.environ.get(TOKEN_VARIABLE) if address else None)
    if auth is None and shown:
        auth = BearerToken(shown)
    elif auth is None and address:
        auth = login_from(os.environ, address)
    return Deployment(address, auth)


@dataclass(frozen=True)
class Deployment:
    """Where runs are made and looked at; `given_url` is None for this machine's own deployment."""

    given_url: str | None = None
    auth: httpx.Auth | None = field(default=None, repr=False)
    _clients: dict[str, AirflowClient] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def here(self) -> bool:
        """Whether it is this machine's own, so that its folders are this machine's as well."""
        return self.given_url is None

    @cached_property
    def embedded(self) -> Embedded:
        """This machine's deployment, running or not."""
        from seuron.deployment import Deployment as Embedded

        return Embedded()

    @property
    def url(self) -> str:
        """Where Airflow is; raises UnreachableError when this machine's deployment does not run."""
        if self.given_url is not None:
            return self.given_url.rstrip("/")
        try:
            return self.embedded.url
        except RunError as error:
            raise UnreachableError(str(error)) from error

    @property
    def client(self) -> AirflowClient:
        """Airflow's REST API; another one once this machine's deployment has been started at another port."""
        url = self.url
        if url not in self._clients:
            self._clients[url] = AirflowClient(url, auth=self.auth)
        return self._clients[url]

    def close(self) -> None:
        """Close the connections; the next use makes new ones."""
        while self._clients:
            self._clients.popitem()[1].close()

    def ensure_started(self) -> None:
        """Have this machine's deployment running; nothing for another one."""
        if self.here:
            self.embedded.start()

    # ---------------------------------------------------------------- runs

    def run(self, params: Parameters) -> RunHandle:
        """Start a run, or follow the one with these parameters that is at work in the same folder already.

        What is wrong with the parameters is said by `plan`, or by the run's first task. Raises RunError while
        a run with other parameters is at work in the folder.
        """
        pipeline = pipeline_of(params)
        self.ensure_started()
        conf: dict[str, Any] = json.loads(params.model_dump_json())
        active = self.client.active_run(pipeline.dag_id, conf["output"])
        if active is None:
            return self.start(pipeline.dag_id, conf)
        if parse_parameters(type(params), self.client.run_parameters(pipeline.dag_id, active)) != params:
            raise RunError(
                f"a run with other parameters is at work in {conf['output']}: "
                f"{self.client.run_url(pipeline.dag_id, active)}. "
                "Wait for its end or cancel it, then give the command again"
            )
        return RunHandle(self, pipeline.dag_id, active, cloud_path(conf["output"]))

    def start(self, dag: str, conf: Mapping[str, Any]) -> RunHandle:
        """Start a run of a DAG with these values, whatever else is at work."""
        self.ensure_started()
        run_id = self.client.trigger(dag, conf)
        return RunHandle(self, dag, run_id, cloud_path(str(conf["output"])))

    def runs(self, *, every_start: bool = False, most: int = LOOKED_THROUGH) -> list[RunHandle]:
        """The runs, the last started first; of each folder its last start only, unless `every_start`."""
        return [self._handle(row) for row in self._rows(every_start=every_start, most=most)]

    def statuses(self, *, active: bool = False, every_start: bool = False, most: int = 20) -> list[RunStatus]:
        """How the last `most` runs are; `active` leaves out those that have ended.

        Stages and times to go are told of runs that are at work.
        """
        rows = [row for row in self._rows(every_start=every_start) if not (active and row.finished)][:most]
        return [look_at_start(self.client, row, self._handle(row).storage(), stages=not row.finished) for row in rows]

    def find(self, name: str) -> RunHandle:
        """The run of a name, a folder, an id, or a beginning of them that fits one run only.

        A folder that holds a run which Airflow does not know will do as well. Raises NotFoundError.
        """
        folder = Storage(name) if "/" in name or Path(name).is_dir() else None
        try:
            rows = self._rows(every_start=True)
        except UnreachableError:
            if folder is None or folder.get("run.json") is None:
                raise
            rows = []
        handles = [self._handle(row) for row in rows]
        newest = list({handle.output or handle.id: handle for handle in reversed(handles)}.values())[::-1]
        starts = {handle.id: handle for handle in handles}
        if name in starts:
            return starts[name]
        known = {handle.output for handle in newest}
        if folder is not None and folder.path not in known and folder.get("run.json") is not None:
            return RunHandle(self, PIPELINES["segmentation"].dag_id, "", folder.path)
        return find_run(name, newest)

    def _rows(self, *, every_start: bool = False, most: int = LOOKED_THROUGH) -> list[DagRun]:
        rows = [row for pipeline in PIPELINES.values() for row in self.client.dag_runs(pipeline.dag_id, most)]
        rows.sort(key=lambda row: row.asked.timestamp() if row.asked else 0.0, reverse=True)
        if every_start:
            return rows
        newest: dict[str, DagRun] = {}
        for row in rows:
            newest.setdefault(cloud_path(row.output) if row.output else row.run_id, row)
        return list(newest.values())

    def _handle(self, row: DagRun) -> RunHandle:
        return RunHandle(self, row.dag_id, row.run_id, cloud_path(row.output) if row.output else "")

    # ------------------------------------------------------------ looking ahead

    def plan(self, params: Parameters) -> Forecast:
        """What a run would take, fitted to what earlier runs of this deployment took; nothing is written.

        Raises ParameterErrors with all that is wrong.
        """
        from seuron.engine.forecast import forecast

        return forecast(pipeline_of(params).steps.plan(params), self.calibration())

    def calibration(self) -> Calibration:
        """What the last complete runs took against their plans; nothing where the deployment does not answer."""
        from seuron.engine.forecast import ASKED, calibrate

        try:
            done = [row for row in self._rows(most=100) if row.state == "success"]
        except UnreachableError:
            done = []
        return calibrate(self._complete(done, ASKED))

    def _complete(self, rows: list[DagRun], most: int) -> list[Run]:
        """Those whose folder is still there and reached from here."""
        found: list[Run] = []
        for handle in map(self._handle, rows):
            storage = handle.storage()
            if len(found) < most and storage is not None and storage.get("run.json") is not None:
                found.append(handle.folder())
        return found

    # ------------------------------------------------------------------ links

    def links(self) -> dict[str, str]:
        """Where to look: Airflow, the viewer where its server runs on this machine, and the pages of $SEURON_LINKS."""
        found = {"Airflow": self.url}
        if self.here:
            from seuron.viewer.background import running_server

            viewer = running_server(self.embedded.home.viewer)
            found |= {"viewer": viewer} if viewer else {}
        words = os.environ.get(LINKS_VARIABLE, "").split()
        return found | {name: url for name, equals, url in (word.partition("=") for word in words) if equals}

"""The client of a deployment: this machine's, or any other by its address and a token."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seuron.client.run_names import find_run
from seuron.engine.registry import pipeline_names, pipeline_of
from seuron.errors import RunError, SeuronError, UnreachableError
from seuron.storage import Storage, cloud_path

if TYPE_CHECKING:
    import httpx

    from seuron.airflow_rest.client import AirflowClient
    from seuron.airflow_rest.entities import DagRun
    from seuron.client.local_runs import LocalRuns
    from seuron.client.run_handle import RunHandle
    from seuron.client.run_status import RunStatus
    from seuron.deployment import Deployment
    from seuron.engine.forecast import Calibration, Forecast
    from seuron.engine.run import Run
    from seuron.params.run_parameters import RunParameters

#: The deployment that is meant where none is named.
URL_VARIABLE, TOKEN_VARIABLE = "SEURON_URL", "SEURON_TOKEN"
#: Other pages, such as dashboards, as `NAME=URL` with spaces between.
LINKS_VARIABLE = "SEURON_LINKS"
#: Starts of runs among which a name is searched.
SEARCHED_STARTS = 1000


def connect(url: str | None = None, token: str | None = None, *, auth: httpx.Auth | None = None) -> DeploymentClient:
    """The deployment at `url`; without one that of $SEURON_URL, else this machine's.

    `token` is one of Airflow's, by default $SEURON_TOKEN, else the files that `login.py` names say how to log in, and
    for this machine's deployment its own file; `auth` does so in some other way. Nothing is asked yet.
    """
    address = url or os.environ.get(URL_VARIABLE) or None
    shown = token or (os.environ.get(TOKEN_VARIABLE) if address else None)
    if auth is None and (shown or address):
        from seuron.airflow_rest.login import BearerToken, login_from

        auth = BearerToken(shown) if shown else login_from(os.environ, str(address)) or _own_login(str(address))
    return DeploymentClient(address, auth)


def _own_login(url: str) -> httpx.Auth | None:
    """How to log in to this machine's deployment; None where it is not the one at `url`."""
    from seuron.deployment import Deployment

    own = Deployment()
    try:
        return own.login if own.url == url.rstrip("/") else None
    except RunError:  # none runs
        return None


@dataclass(frozen=True)
class DeploymentClient:
    """Where runs are started and observed; `given_url` is None for this machine's own deployment."""

    given_url: str | None = None
    auth: httpx.Auth | None = field(default=None, repr=False)
    _clients: dict[str, AirflowClient] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def is_local(self) -> bool:
        """Whether it is this machine's own, so that its folders are this machine's as well."""
        return self.given_url is None

    @cached_property
    def embedded(self) -> Deployment:
        """This machine's deployment, running or not."""
        from seuron.deployment import Deployment

        return Deployment()

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
        from seuron.airflow_rest.client import AirflowClient

        url = self.url
        if url not in self._clients:
            known = self.given_url is not None or self.auth is not None
            self._clients[url] = AirflowClient(url, auth=self.auth) if known else self.embedded.client()
        return self._clients[url]

    def close(self) -> None:
        """Close the connections; the next use makes new ones."""
        while self._clients:
            self._clients.popitem()[1].close()

    def ensure_started(self, on_step: Callable[[str], None] | None = None) -> None:
        """Have this machine's deployment running, and say what its start is on; nothing for another one."""
        if self.is_local:
            self.embedded.start(on_step=on_step)

    # ---------------------------------------------------------------- runs

    def run(self, params: RunParameters) -> RunHandle:
        """Start a run, or follow the one with these parameters that is running in the same folder already.

        Parameters are checked by `plan`, or by the run's first task. Raises RunError while
        a run with other parameters is running in the folder.
        """
        from seuron.params.model import parse_parameters

        pipeline = pipeline_of(params)
        self.ensure_started()
        conf: dict[str, Any] = json.loads(params.model_dump_json())
        active = self.client.active_run(pipeline.name, conf["output"])
        if active is None:
            return self.start(pipeline.name, conf)
        if parse_parameters(type(params), self.client.run_parameters(pipeline.name, active)) != params:
            raise RunError(
                f"a run with other parameters is running in {conf['output']}: "
                f"{self.client.run_url(pipeline.name, active)}. "
                "Wait for its end or cancel it, then give the command again"
            )
        return self._at(pipeline.name, active, cloud_path(conf["output"]))

    def start(self, dag: str, conf: Mapping[str, Any]) -> RunHandle:
        """Start a run of a DAG with these values, whatever else is running."""
        self.ensure_started()
        run_id = self.client.trigger(dag, conf)
        return self._at(dag, run_id, cloud_path(str(conf["output"])))

    def runs(self, *, every_start: bool = False, most: int = SEARCHED_STARTS) -> list[RunHandle]:
        """The runs, the last started first; of each folder its last start only, unless `every_start`."""
        return [self._handle(row) for row in self._rows(every_start=every_start, most=most)]

    def statuses(self, *, active: bool = False, every_start: bool = False, most: int = 20) -> list[RunStatus]:
        """The statuses of the last `most` runs; `active` leaves out those that have ended.

        Stages and remaining times are those of runs that have not ended.
        """
        rows = [row for row in self._rows(every_start=every_start) if not (active and row.finished)][:most]
        return [self._status(row) for row in rows]

    def _status(self, row: DagRun) -> RunStatus:
        """The status of a run in a listing, which holds whatever has become of one folder."""
        from seuron.client.run_status import status_of_start

        try:
            return status_of_start(self.client, row, self._handle(row).storage(), stages=not row.finished)
        except SeuronError as error:
            return replace(status_of_start(self.client, row, None, stages=False), problem=str(error))

    def find(self, name: str, *, folders: bool = True) -> RunHandle:
        """The run of a name, a folder, an id, or a beginning of them that fits one run only.

        With `folders` it may also be a folder with a run that Airflow does not know, or a run that was made here
        without Airflow, for which no deployment needs to run; without, nothing is opened. Raises NotFoundError.
        """
        folder = Storage(name) if folders and ("/" in name or Path(name).is_dir()) else None
        local = self.local_runs.known() if folders and self.is_local else []
        try:
            rows = self._rows(every_start=True)
        except UnreachableError:
            if not local and (folder is None or folder.get("run.json") is None):
                raise
            rows = []
        handles = [self._handle(row) for row in rows]
        newest = list({handle.output or handle.id: handle for handle in reversed(handles)}.values())[::-1]
        started = {handle.output for handle in newest}
        newest += [self._at(run.pipeline, "", run.output) for run in local if run.output not in started]
        starts = {handle.id: handle for handle in handles}
        if name in starts:
            return starts[name]
        known = {handle.output for handle in newest}
        if folder is not None and folder.path not in known and folder.get("run.json") is not None:
            from seuron.engine.run import Run

            return self._at(Run.open(folder.path).pipeline.name, "", folder.path)
        return find_run(name, newest)

    @property
    def local_runs(self) -> LocalRuns:
        """The runs that were made on this machine without its deployment."""
        from seuron.client.local_runs import LocalRuns

        return LocalRuns(self.embedded.home.local_runs)

    def _rows(self, *, every_start: bool = False, most: int = SEARCHED_STARTS) -> list[DagRun]:
        rows = [row for pipeline in pipeline_names() for row in self.client.dag_runs(pipeline, most)]
        rows.sort(key=lambda row: row.asked.timestamp() if row.asked else 0.0, reverse=True)
        if every_start:
            return rows
        newest: dict[str, DagRun] = {}
        for row in rows:
            newest.setdefault(cloud_path(row.output) if row.output else row.run_id, row)
        return list(newest.values())

    def _handle(self, row: DagRun) -> RunHandle:
        return self._at(row.dag_id, row.run_id, cloud_path(row.output) if row.output else "")

    def _at(self, dag: str, run_id: str, output: str) -> RunHandle:
        from seuron.client.run_handle import RunHandle

        return RunHandle(self, dag, run_id, output)

    # ------------------------------------------------------------- forecasts

    def plan(self, params: RunParameters) -> Forecast:
        """What a run would take, fitted to what earlier runs of this deployment took; nothing is written.

        Raises ParameterErrors with all that is wrong.
        """
        from seuron.engine.forecast import forecast
        from seuron.engine.setup import plan_run

        return forecast(plan_run(params), self.calibration())

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
            if len(found) < most and storage is not None:
                with suppress(SeuronError):  # a folder that is gone or damaged says nothing of how long runs take
                    found.append(handle.folder())
        return found

    # ------------------------------------------------------------------ links

    def links(self) -> dict[str, str]:
        """The pages of the deployment: Airflow, the viewer if its server runs here, those of $SEURON_LINKS."""
        found = {"Airflow": self.url}
        if self.is_local:
            from seuron.web.viewer.process import running_server

            viewer = running_server(self.embedded.home.viewer)
            found |= {"viewer": viewer} if viewer else {}
        words = os.environ.get(LINKS_VARIABLE, "").split()
        return found | {name: url for name, equals, url in (word.partition("=") for word in words) if equals}

"""What readers of the bot, and parameters, can have this machine open: nothing that the owner does not allow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from airflow_stand_in import AirflowStandIn
from runs_on_disk import parameters, save, smooth_affinities

from seuron.client import DeploymentClient, connect
from seuron.commands import Session, commands, execute
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.engine.setup import check_run
from seuron.errors import ParameterErrors, PathNotAllowedError
from seuron.params import parse_parameters
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.storage import Storage
from seuron.storage.allowed_paths import path_problems
from seuron.volumes import open_volume
from seuron.web.snapshot import SnapshotCache

LOOK = frozenset({"look"})


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: _Listener

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *words: object) -> None:
        """Be silent."""


@pytest.fixture
def listener() -> Iterator[_Listener]:
    """A server that remembers what it was asked for."""
    with _Listener() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def source(tmp_path: Path) -> str:
    return save(tmp_path / "affinities", smooth_affinities((16, 16, 16)))


@pytest.fixture
def run(source: str, tmp_path: Path) -> Run:
    """A finished run that no Airflow knows."""
    return run_local(parameters(source, tmp_path / "runs" / "first"))


@pytest.fixture(params=["here", "elsewhere"])
def reader(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """Somebody who may only look: of this machine's deployment, which does not run, and of one that answers."""
    monkeypatch.setenv("SEURON_HOME", str(tmp_path / "home"))
    if request.param == "here":
        yield Session(connect(), "eve", permissions=LOOK)
        return
    with AirflowStandIn() as airflow:
        yield Session(DeploymentClient(airflow.url), "eve", permissions=LOOK)


def test_no_command_of_a_reader_asks_an_address_or_opens_a_folder(
    reader: Session, listener: _Listener, run: Run, tmp_path: Path
) -> None:
    """Guards against a reader who has the machine ask its own network, or read any folder, by any of the commands."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "salaries.txt").write_text("secret")
    folder = run.output.removeprefix("file://")
    before = sorted(path for path in Path(folder).rglob("*"))
    for made in commands():
        if made.permission != "look":
            continue
        for place in (
            f"{listener.url}/x",
            f"s3://{listener.url}/b/x",
            folder,
            str(tmp_path / "private"),
            "/etc/passwd",
        ):
            required = [p for p in made.parameters if p.by_place and not p.argument.local_only]
            pieces = ["1"] * max(0, len(required) - 1)
            for words in ([place, *pieces], [f"run={place}"], [f"image={place}", f"output={place}"]):
                answer = execute(reader, [*made.name.split(), *words])
                assert "salaries" not in answer.text
                assert "root:" not in answer.text
                if place == folder and made.name not in ("params show", "params diff", "links", "runs", "help"):
                    assert answer.failed, (made.name, words, answer.text)
    assert listener.asked == []
    assert sorted(path for path in Path(folder).rglob("*")) == before, "nothing was written into the run"


def test_commands_that_open_volumes_take_the_right_to_run(reader: Session) -> None:
    """Guards against parameters of a reader that are checked with the volumes they name."""
    for words in (["plan"], ["params", "check"], ["evaluate", "latest", "/c/d"]):
        answer = execute(reader, words)
        assert answer.failed
        assert "the right to 'run'" in answer.text


def test_web_addresses_are_off_unless_the_owner_lists_their_host(
    listener: _Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against requests to addresses that whoever writes parameters chooses, in any spelling of them."""
    web = listener.url
    for path in (f"{web}/em", f"precomputed://{web}/em", f"graphene://{web}/em", f"s3://{web}/b/em", f"zarr://{web}/e"):
        with suppress(ParameterErrors):  # of formats that runs do not read at all
            problems = check_run(parameters(path, tmp_path / "out"))[1]
            assert len(problems) == 1
            assert "$SEURON_HTTP_HOSTS" in problems[0]
        with pytest.raises(PathNotAllowedError):
            open_volume(path)
        with pytest.raises(PathNotAllowedError):
            Storage(path).get("info")
    for path in ("boss://collection/em", "HTTPS://example.org/em", "middleauth+https://x/y", "dvid://x/y"):
        assert path_problems("image", path, "input")
    assert listener.asked == []
    monkeypatch.setenv("SEURON_HTTP_HOSTS", "data.example.org 127.0.0.1")
    (problem,) = check_run(parameters(f"{web}/em", tmp_path / "out"))[1]
    assert "cannot open" in problem
    assert listener.asked
    assert path_problems("image", "https://example.org/em", "input")
    for path in ("/data/em", "gs://bucket/em", "s3://bucket/em", "minio://bucket/em", "mem://em"):
        assert path_problems("image", path, "input") == []


def test_an_output_outside_of_the_roots_names_no_file_of_it(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against errors that list folders which the asker may not use, links into them included."""
    private, runs = tmp_path / "private", tmp_path / "runs"
    private.mkdir()
    runs.mkdir()
    (private / "salaries.txt").write_text("secret")
    (runs / "link").symlink_to(private)
    monkeypatch.setenv("SEURON_OUTPUT_ROOTS", f"'{runs}' gs://bucket/runs")
    for output in (private, runs / "link", runs / ".." / "private", runs / "link" / "deeper", tmp_path / "runs-2"):
        facts, problems = check_run(parameters(source, output))
        assert facts is None
        assert len(problems) == 1
        assert "$SEURON_OUTPUT_ROOTS" in problems[0]
        assert "salaries" not in problems[0]
    assert check_run(parameters(source, runs / "first"))[1] == []
    assert path_problems("store", "gs://bucket/runs/../else", "output")
    assert path_problems("store", "gs://bucket/runs/store", "output") == []
    assert "`store`" in check_run(parameters(source, runs / "first", store=str(private)))[1][0]


def test_inputs_and_nets_lie_in_the_roots(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against volumes and weights from anywhere where the owner has said where they lie."""
    monkeypatch.setenv("SEURON_INPUT_ROOTS", str(tmp_path / "data"))
    (problem,) = check_run(parameters(source, tmp_path / "out"))[1]
    assert problem.startswith("`affinities`")
    assert "$SEURON_INPUT_ROOTS" in problem
    monkeypatch.setenv("SEURON_INPUT_ROOTS", str(tmp_path / "affinities"))
    assert check_run(parameters(source, tmp_path / "out"))[1] == []
    image = {"affinities": None, "image": source, "model": "/etc/passwd"}
    named = [problem for problem in check_run(parameters(source, tmp_path / "out", **image))[1] if "`model`" in problem]
    assert len(named) == 1
    assert "$SEURON_INPUT_ROOTS" in named[0]


def test_runs_outside_of_the_roots_are_not_opened(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a folder with a run.json of somebody's own, opened by its path in any front end."""
    monkeypatch.setenv("SEURON_HOME", str(tmp_path / "home"))
    session = Session(connect(), "ada")
    assert not execute(session, ["status", run.output]).failed
    monkeypatch.setenv("SEURON_OUTPUT_ROOTS", str(tmp_path / "elsewhere"))
    with pytest.raises(PathNotAllowedError, match="SEURON_OUTPUT_ROOTS"):
        Run.open(run.output)
    for words in (["status"], ["report"], ["evaluate"], ["gc"]):
        assert execute(session, [*words, run.output]).failed


@pytest.mark.parametrize("name", ["a\x00b", "a\x1b[2Jb", "a\nb", "x" * 256, "/".join(["x" * 200] * 20)])
def test_names_that_no_folder_can_have_are_problems(source: str, tmp_path: Path, name: str) -> None:
    """Guards against a traceback, or a message that clears the screen, from a name with NUL, ESC or many letters."""
    values = {"affinities": source, "output": str(tmp_path / "out")}
    for wrong in ("output", "store", "affinities"):
        with pytest.raises(ParameterErrors) as found:
            parse_parameters(SegmentationParams, {**values, wrong: f"/tmp/{name}"})
        assert len(found.value.problems) == 1
        assert "\x1b" not in found.value.problems[0]


def test_a_run_that_airflow_knows_in_a_bad_place_breaks_no_list(
    listener: _Listener,
) -> None:
    """Guards against one start with a web address as its output, after which `runs` fails for everybody."""
    with AirflowStandIn() as airflow:
        airflow.end(airflow.begin({"output": f"{listener.url}/run"})["dag_run_id"])
        answer = execute(Session(DeploymentClient(airflow.url), "eve", permissions=LOOK), ["runs"])
    assert not answer.failed
    with pytest.raises(PathNotAllowedError):
        SnapshotCache().get(f"{listener.url}/run")
    assert listener.asked == []

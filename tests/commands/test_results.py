"""Sweep, explain, evaluate and gc as commands of every front end: words, rights, data, and what another machine has."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow_stand_in import AirflowStandIn
from numpy.typing import NDArray
from PIL import Image
from small_runs import blobs, make_run, smooth, store
from typer.testing import CliRunner

from seuron.box import Box
from seuron.cli import app
from seuron.client import DeploymentClient, RunHandle
from seuron.commands import BAD_PARAMETERS, FAILED, NOT_FOUND, OK, Answer, Session, execute, results
from seuron.commands.argument_types import absolute_path, is_path
from seuron.engine.run import Run
from seuron.errors import ParameterErrors
from seuron.evaluation import read_scores
from seuron.pipelines.segmentation.analysis import explain_run, region_graph, sweep_run
from seuron.pipelines.segmentation.analysis.sweep_page import sweep_json
from seuron.storage import local_folder
from seuron.volumes import create_volume
from seuron.volumes.pyramid import build_pyramid

#: Nothing listens there.
ELSEWHERE = "http://127.0.0.1:9"
SHAPE = (32, 32, 24)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("results")
    truth = store(folder / "truth", blobs(SHAPE, 1))
    return make_run(folder / "run", store(folder / "affinities", smooth(SHAPE, 2)), truth)


@pytest.fixture(scope="module")
def airflow(run: Run) -> Iterator[AirflowStandIn]:
    """A deployment that knows the run: who may only look has no folder opened that none of its runs is in."""
    with AirflowStandIn() as found:
        found.end(found.begin({"output": run.output})["dag_run_id"])
        yield found


@pytest.fixture
def looking(airflow: AirflowStandIn) -> Session:
    """Somebody in a chat, of a deployment on another machine, who may look and no more."""
    return Session(DeploymentClient(airflow.url), "eve", permissions=frozenset({"look"}))


@pytest.fixture
def running() -> Session:
    """The same, of one who may run things."""
    return Session(DeploymentClient(ELSEWHERE), "ada", permissions=frozenset({"look", "run"}))


def folder_of(run: Run) -> Path:
    found = local_folder(run.output)
    assert found is not None
    return found


def _with_pyramid(path: Path, voxels: NDArray[Any], **more: Any) -> str:
    box = Box.from_shape((16, 16, 32), voxels.shape[:3])
    volume = create_volume(str(path), box, (8, 8, 8), dtype=str(voxels.dtype), block_size=(16, 16, 16), **more)
    volume.write(box, voxels)
    build_pyramid(volume)
    return volume.path


def shell(*words: str) -> object:
    return json.loads(CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False).stdout)


def test_a_sweep_is_the_same_in_a_chat_and_in_the_shell(run: Run, looking: Session, tmp_path: Path) -> None:
    """The same words give the same data; a chat has the table between fences, and the plot as a picture."""
    looking.pictures, told = tmp_path / "pictures", list[Answer]()
    looking.on_progress = told.append
    words = [run.output.removeprefix("file://"), "thresholds=0.2:0.8:0.2", "rules=none", "rules=run", "small=100"]
    answer = execute(looking, ["sweep", *words])
    assert answer.code == OK, answer.text
    found = sweep_run(run, [0.2, 0.4, 0.6, 0.8], rules={"none": (), "run": run.params.rules}, small=100)
    assert answer.data == sweep_json(found)
    options = [f"--{word.replace('=', ' ', 1)}".split() for word in words[1:]]
    assert shell("sweep", words[0], *(part for option in options for part in option)) == answer.data
    assert answer.text.startswith("```\nrules  threshold")
    assert "this run" in answer.text
    assert [progress.text for progress in told] == ["sweeping run: 4 thresholds with the rules none, run"]
    (picture,) = answer.pictures
    with Image.open(picture) as opened:
        assert opened.width > 1000


def test_one_at_a_time_has_a_run_in_memory(run: Run, looking: Session) -> None:
    """The second command says so, waits, and gets the same answer; an error leaves the way free."""
    told, waits = list[str](), threading.Event()

    def tell(answer: Answer) -> None:
        told.append(answer.text)
        waits.set()

    looking.on_progress = tell
    words, answers_ = ["sweep", str(folder_of(run)), "thresholds=0.3"], list[Answer]()
    assert execute(looking, ["explain", str(folder_of(run)), "1", "999999999"]).failed
    with results._AT_WORK:
        thread = threading.Thread(target=lambda: answers_.append(execute(looking, words)))
        thread.start()
        assert waits.wait(10)
        assert told == ["waiting until the command of another user is done"]
    thread.join(60)
    assert answers_[0].data == execute(looking, words).data


def test_an_explanation_is_the_same_everywhere(run: Run, looking: Session) -> None:
    """Ids or voxels, by place; what is neither is refused with what is wanted; the viewer is where its server is."""
    graph = region_graph(run)
    a, b, folder = str(graph.a[0]), str(graph.b[0]), str(folder_of(run))
    answer = execute(looking, ["explain", folder, a, b])
    assert answer.data == {**explain_run(run, int(a), int(b)).model_dump(mode="json"), "view": None}
    assert answer.data == shell("explain", folder, a, b)
    assert a in answer.text.splitlines()[0]
    assert execute(looking, ["explain", folder, a]).code == BAD_PARAMETERS
    assert "`B`: got 'x'" in execute(looking, ["explain", folder, a, "x"]).text
    assert "on its machine" in execute(looking, ["explain", folder, a, b, "view"]).text


def test_scores_are_those_of_the_run(run: Run, looking: Session, running: Session, tmp_path: Path) -> None:
    """A run is scored against its own labels; layers against those that are named. The figures are the run's own."""
    looking.pictures = tmp_path / "pictures"
    own, folder = read_scores(run.storage), folder_of(run)
    assert own is not None
    by_run = execute(looking, ["evaluate", str(folder)])
    by_layers = execute(running, ["evaluate", str(folder / "segmentation"), str(run.params.ground_truth)])
    assert by_run.data == by_layers.data == {**own.model_dump(mode="json"), "compared": by_run.data["compared"]}
    assert "all of the segmentation and all of the ground truth" in by_run.text
    assert shell("evaluate", str(folder)) == by_run.data
    assert [picture.name for picture in by_run.pictures] == ["scores.png"]
    part = execute(looking, ["evaluate", str(folder), "bbox=10,20,30,26,36,46"])
    assert part.data["voxels"] + part.data["ignored_voxels"] == 16**3
    assert f"{16**3 / 32**2 / 24:.2%} of the segmentation" in part.text


def test_a_coarse_run_is_scored_at_its_own_scale(run: Run, running: Session, tmp_path: Path) -> None:
    """The labels of a run that began at a coarser scale are read at that scale, as the run itself did."""
    long = (96, 32, 32)  # over 64 voxels a side, so that there is a second scale
    affinities = _with_pyramid(tmp_path / "fine", smooth(long, 5), channels=3)
    truth = _with_pyramid(tmp_path / "labels", blobs(long, 6), kind="segmentation")
    coarse = make_run(tmp_path / "coarse", affinities, truth, mip=1)
    own = read_scores(coarse.storage)
    assert own is not None
    answer = execute(running, ["evaluate", str(folder_of(coarse))])
    assert answer.code == OK, answer.text
    assert answer.data == {**own.model_dump(mode="json"), "compared": answer.data["compared"]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sweep", "RUN", "thresholds=a"], "`thresholds`: got 'a'"),
        (["sweep", "RUN", "thresholds=0.2,7"], "thresholds: got 7.0"),
        (["sweep", "RUN", "small=-1"], "`small`: got -1"),
        (["sweep", "RUN", "rules=nnoe"], "nothing is called so; allowed are run, none"),
        (["sweep", "RUN", "truth=labels"], "`truth`: got 'labels'; give the whole path"),
        (["sweep", "RUN", "treshold=0.2"], "did you mean `thresholds`?"),
        (["evaluate", "RUN", "bbox=1,2,3"], "`bbox`: got '1,2,3'"),
        (["evaluate", "RUN", "mip=-1"], "`mip`: got -1"),
        (["evaluate", "RUN/segmentation"], "`ground_truth` is missing"),
        (["evaluate", "runs/first"], "`segmentation`: got 'runs/first'; give the whole path"),
    ],
)
def test_wrong_words_are_reported(run: Run, running: Session, words: list[str], said: str) -> None:
    """What was wrong, what was given, what is allowed; nobody in a chat has a folder that a path could begin at."""
    answer = execute(running, [word.replace("RUN", str(folder_of(run))) for word in words])
    assert answer.code == BAD_PARAMETERS
    assert said in answer.text


def test_what_is_no_run_is_for_those_who_may_run(run: Run, looking: Session, running: Session, tmp_path: Path) -> None:
    """Who may only look sees runs, and cannot have other files and volumes read; who may run can, as a run may too."""
    file = tmp_path / "my.json"
    file.write_text(json.dumps([{"rule": "size", "name": "dumbbell", "smaller_over": 20, "sum_over": 100}]))
    words = ["sweep", str(folder_of(run)), "thresholds=0.4", f"rules={file}"]
    folder = str(folder_of(run))
    layers = ["evaluate", f"{folder}/segmentation", str(run.params.ground_truth)]
    labels = ["sweep", folder, f"truth={run.params.ground_truth}"]
    for asked in (words, layers, layers[:2], labels):
        refused = execute(looking, asked)
        assert refused.code == NOT_FOUND, refused.text
        assert "eve may not have" in refused.text
    allowed = execute(running, words)
    assert [point["variant"] for point in allowed.data["points"]] == ["my"]


def test_what_lies_elsewhere_is_not_guessed_at(looking: Session, running: Session, tmp_path: Path) -> None:
    """A folder of another machine is said to be one; a run that only looks gone keeps its objects."""
    gone = execute(running, ["evaluate", "/no/such/segmentation", "/no/such/labels"])
    assert gone.code == NOT_FOUND
    assert "is not on this machine" in gone.text
    handle = RunHandle(looking.deployment, "segmentation", "id", "file:///no/such/run")
    with pytest.raises(Exception, match="is on a machine of"):
        handle.sweep([0.3])

    affinities = store(tmp_path / "affinities", smooth((16, 16, 16), 3))
    shared = make_run(tmp_path / "run", affinities, None, store=str(tmp_path / "store"))
    (tmp_path / "run").rename(tmp_path / "away")
    refused = execute(running, ["gc", str(tmp_path / "store"), "delete"])
    assert refused.code == FAILED
    assert "may be on a machine of" in refused.text
    assert set(shared.store.objects()), "they are all there"


def test_gc_lists_first_and_removes_on_request(running: Session, looking: Session, tmp_path: Path) -> None:
    """It counts what no run refers to and says how to remove that; only `delete` removes, only for who may run."""
    affinities = store(tmp_path / "affinities", smooth((16, 16, 16), 3))
    make_run(tmp_path / "a", affinities, None, store=str(tmp_path / "store"))
    run = make_run(tmp_path / "b", affinities, None, store=str(tmp_path / "store"), watershed_size=11)
    needed, every = {r.object for r in run.records() if r.object}, set(run.store.objects())
    run_folder = folder_of(run)
    for task in tuple((tmp_path / "a").glob("tasks/*.json")):
        task.unlink()
    assert needed < every
    assert "takes the right to 'run'" in execute(looking, ["gc", str(run_folder)]).text
    told = execute(running, ["gc", str(run_folder)])
    assert f"`gc {run_folder} delete` removes them" in told.text
    assert set(told.data["objects"]) == every - needed
    assert not told.data["removed"]
    assert set(run.store.objects()) == every
    assert shell("gc", str(tmp_path / "store")) == told.data
    shown = CliRunner().invoke(app, ["gc", str(tmp_path / "store")]).stdout
    assert f"`gc {tmp_path}/store --delete` removes them" in shown
    removed = execute(running, ["gc", str(run_folder), "delete"])
    assert removed.data == {**told.data, "removed": True}
    assert set(run.store.objects()) == needed


def test_gc_touches_nothing_that_is_no_store(running: Session, tmp_path: Path) -> None:
    """A folder of other things is refused by name, and what lies beside a store's objects is not taken for one."""
    (tmp_path / "data" / "ab" / "letters").mkdir(parents=True)
    (tmp_path / "data" / "ab" / "letters" / "dear").write_text("x")
    refused = execute(running, ["gc", str(tmp_path / "data"), "delete"])
    assert refused.code == NOT_FOUND
    assert "is no store" in refused.text
    run = make_run(tmp_path / "run", store(tmp_path / "affinities", smooth((16, 16, 16), 3)), None)
    beside = folder_of(run) / "objects" / "ab" / "letters"
    beside.mkdir(parents=True)
    (beside / "dear").write_text("x")
    assert execute(running, ["gc", str(folder_of(run)), "delete"]).data["objects"] == []
    assert (beside / "dear").exists()


def test_a_word_is_a_place_or_a_name(looking: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a chat a name is a run's; at this machine it may be a folder too. Schemes and whole paths are places."""
    monkeypatch.chdir(tmp_path)
    Path("first").mkdir()
    here = Session(DeploymentClient(ELSEWHERE), "ada", is_local=True)
    assert is_path(here, "first")
    assert not is_path(looking, "first")
    assert absolute_path(here, "first", "p") == str(tmp_path / "first")
    assert absolute_path(looking, "gs://bucket/x", "p") == "gs://bucket/x"
    with pytest.raises(ParameterErrors, match="whole path"):
        absolute_path(looking, "a/b", "p")


def test_python_has_the_same_verbs(run: Run) -> None:
    """A handle sweeps and explains as the commands do."""
    handle = RunHandle(DeploymentClient(ELSEWHERE), "segmentation", "", run.output)
    assert handle.sweep([0.3], ["none"]).variants == ["none"]
    graph = region_graph(run)
    pair = int(graph.a[0]), int(graph.b[0])
    assert handle.explain(*pair) == explain_run(run, *pair)

"""Google's groups through the real client library, against the stand-in."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from clusters import connection, wait_for
from compute_engine.machines import CountedMachines
from compute_engine.server import ComputeEngine

from seuron.cluster.google.client import Connection, MissingResourceError, Patience
from seuron.cluster.google.driver import GoogleDriver
from seuron.errors import ComputeError


def states(groups: GoogleDriver, group: str) -> list[str]:
    return sorted(item.state for item in groups.instances(group))


def names(groups: GoogleDriver, group: str) -> set[str]:
    return {item.name for item in groups.instances(group)}


def running(groups: GoogleDriver, group: str, count: int) -> bool:
    return states(groups, group) == ["running"] * count


def test_a_group_grows_and_shrinks(engine: ComputeEngine, groups: GoogleDriver) -> None:
    """Instances come when they are asked for, with the time of their making, and go by name."""
    before = time.time()
    assert groups.target("spot") == 0
    groups.resize("spot", 3)
    assert groups.target("spot") == 3
    wait_for(lambda: running(groups, "spot", 3))
    instances = groups.instances("spot")
    assert all(before - 1 < item.created < time.time() + 1 for item in instances)
    assert not groups.instances("sure")
    gone = instances[1].name
    groups.delete("spot", [gone, "tissue-spot-none"])
    assert groups.target("spot") == 2
    wait_for(lambda: running(groups, "spot", 2))
    assert names(groups, "spot") == {item.name for item in instances} - {gone}
    assert isinstance(engine.service.machines, CountedMachines)
    assert set(engine.service.machines.running) - {"tissue-manager"} == names(groups, "spot")


def test_every_call_may_be_repeated(groups: GoogleDriver) -> None:
    """Asking twice for the same is asking once: a look that failed half-way is simply done again."""
    for _ in range(2):
        groups.resize("spot", 2)
    wait_for(lambda: running(groups, "spot", 2))
    gone = groups.instances("spot")[0].name
    for _ in range(2):
        groups.delete("spot", [gone, gone])
    assert groups.target("spot") == 1


def test_a_smaller_size_is_refused(groups: GoogleDriver) -> None:
    """Google would choose whom to remove, and might choose a busy one."""
    groups.resize("spot", 2)
    with pytest.raises(ComputeError, match="delete instances by name"):
        groups.resize("spot", 1)
    assert groups.target("spot") == 2


def test_the_states_of_an_instance(engine: ComputeEngine, groups: GoogleDriver) -> None:
    """An instance starts while it boots, runs, and stops while it shuts down."""
    engine.service.times.boot = engine.service.times.shutdown = 0.5
    groups.resize("spot", 1)
    assert states(groups, "spot") in ([], ["starting"])
    wait_for(lambda: running(groups, "spot", 1))
    groups.delete("spot", list(names(groups, "spot")))
    assert states(groups, "spot") == ["stopping"]
    wait_for(lambda: not groups.instances("spot"))


def test_a_spot_instance_that_vanishes_is_made_again(engine: ComputeEngine, groups: GoogleDriver) -> None:
    """The target stays, so Google starts another machine in the lost one's place."""
    groups.resize("spot", 1)
    wait_for(lambda: running(groups, "spot", 1))
    engine.service.times.boot = 0.3
    engine.service.preempt(next(iter(names(groups, "spot"))))
    assert states(groups, "spot") == ["starting"]
    wait_for(lambda: running(groups, "spot", 1))
    assert groups.target("spot") == 1


def test_shortages_say_why_a_group_does_not_grow(engine: ComputeEngine, groups: GoogleDriver) -> None:
    """A zone without machines and a used-up quota are told apart, with time and message."""
    before = time.time()
    engine.service.faults.no_stock.add("us-east1-b")
    engine.service.faults.quota["us-east1-c"] = 1
    groups.resize("spot", 1)
    groups.resize("sure", 2)
    wait_for(lambda: groups.shortages("spot") and groups.shortages("sure"))
    spot, sure = groups.shortages("spot")[0], groups.shortages("sure")[0]
    assert (spot.kind, sure.kind) == ("no_stock", "quota")
    assert "us-east1-b" in spot.message
    assert before - 1 < spot.time <= time.time()
    assert states(groups, "spot") == ["starting"]
    wait_for(lambda: states(groups, "sure") == ["running", "starting"])
    times = [shortage.time for shortage in groups.shortages("spot")]
    assert times == sorted(times)
    engine.service.faults.no_stock.clear()
    wait_for(lambda: running(groups, "spot", 1))


def test_an_instance_that_could_not_be_made_can_be_given_up(engine: ComputeEngine, groups: GoogleDriver) -> None:
    """Unmet demand moves to another zone, so what is wished for in vain must be removable."""
    engine.service.faults.no_stock.add("us-east1-b")
    groups.resize("spot", 2)
    wait_for(lambda: states(groups, "spot") == ["starting"] * 2)
    groups.delete("spot", list(names(groups, "spot")))
    assert groups.target("spot") == 0
    wait_for(lambda: not groups.instances("spot"))


def test_lists_of_many_pages_are_whole(engine: ComputeEngine, groups: GoogleDriver) -> None:
    """No instance is missed because an answer has pages."""
    engine.service.page_size = 3
    groups.resize("spot", 8)
    wait_for(lambda: running(groups, "spot", 8))
    assert len(names(groups, "spot")) == 8
    assert len({item.created for item in groups.instances("spot")}) >= 1
    assert any("pageToken=3" in request for request in engine.requests)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_faults_are_tried_again(engine: ComputeEngine, groups: GoogleDriver, status: int) -> None:
    """A server that is busy for a moment is no error, and nothing is asked for twice because of it."""
    engine.service.faults.answers.append([".", status, 3])
    groups.resize("spot", 2)
    assert groups.target("spot") == 2
    assert engine.service.faults.answers[0][2] == 0


def test_a_fault_that_stays_is_an_error(engine: ComputeEngine, groups: GoogleDriver) -> None:
    """After the time for tries an error says what was tried and what to do."""
    engine.service.faults.answers.append(["resize", 503, 10**6])
    with (
        connection(engine.url, Patience(answer=1.0, tries=0.3, first_pause=0.02)) as short,
        pytest.raises(ComputeError, match=r"resizing group spot to 2: no good answer after several tries.*try again"),
    ):
        GoogleDriver(short, "tissue", {"spot": "us-east1-b"}).resize("spot", 2)


@pytest.mark.parametrize("done_first", [True, False])
def test_a_resize_that_times_out(engine: ComputeEngine, groups: GoogleDriver, done_first: bool) -> None:
    """No answer in time is tried again; whether the first try was heard makes no difference to the size."""
    engine.service.faults.hangs.append(["resize", 1.5, 1, done_first])
    with connection(engine.url, Patience(answer=0.5, tries=5.0, first_pause=0.02)) as short:
        GoogleDriver(short, "tissue", {"spot": "us-east1-b"}).resize("spot", 2)
    assert groups.target("spot") == 2
    wait_for(lambda: running(groups, "spot", 2))
    # Both tries bear one request id, by which Google knows them for the same.
    tries = [parse_qs(urlsplit(request).query)["requestId"] for request in engine.requests if "resize" in request]
    assert len(tries) == 2
    assert tries[0] == tries[1]


def test_a_delete_that_is_heard_twice_lowers_the_target_once(engine: ComputeEngine, groups: GoogleDriver) -> None:
    """A removal whose answer was lost is asked for again under the same request id."""
    groups.resize("spot", 3)
    wait_for(lambda: running(groups, "spot", 3))
    engine.service.faults.hangs.append(["deleteInstances", 1.5, 1, True])
    with connection(engine.url, Patience(answer=0.5, tries=5.0, first_pause=0.02)) as short:
        gone = groups.instances("spot")[0].name
        GoogleDriver(short, "tissue", {"spot": "us-east1-b"}).delete("spot", [gone])
    assert groups.target("spot") == 2


def test_a_group_that_is_not_there(client: Connection, groups: GoogleDriver) -> None:
    """A group that was not made is an error that says how to make it; an unknown one names those that are."""
    with pytest.raises(MissingResourceError, match="seuron cluster create"):
        GoogleDriver(client, "other", {"spot": "us-east1-b"}).target("spot")
    with pytest.raises(ComputeError, match="no group 'none'; the cluster has spot, sure"):
        groups.instances("none")


def test_no_server_is_an_error_of_ours(engine: ComputeEngine) -> None:
    """A refused connection is a ComputeError like the rest, so that callers catch one kind."""
    with connection("http://127.0.0.1:9", Patience(answer=0.5, tries=0.2, first_pause=0.02)) as client:
        groups = GoogleDriver(client, "tissue", {"spot": "us-east1-b"})
        with pytest.raises(ComputeError, match="looking at group spot"):
            groups.target("spot")


def test_credentials_stay_out_of_sight(tmp_path: Path) -> None:
    """A key file that cannot be used is named, but nothing of what is in it."""
    file = tmp_path / "key.json"
    file.write_text('{"type": "service_account", "private_key": "hunter2", "client_email": "a@b", "token_uri": "x"}')
    client = Connection("p", file)
    with pytest.raises(ComputeError) as caught:
        client.ask("looking", "Networks", "list")
    shown = f"{caught.value} {caught.value.__cause__} {client!r}"
    assert "hunter2" not in shown
    assert str(file) in str(caught.value)
    assert "google.credentials_file" in str(caught.value)


def test_no_credentials_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file, a login and a Google machine around it, the error says how to log in."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(ComputeError, match="gcloud auth application-default login"):
        Connection("p").ask("looking", "Networks", "list")


def test_messages_hide_tokens(engine: ComputeEngine, client: Connection) -> None:
    """What a server repeats of a request in its error goes into logs, so tokens are taken out."""
    with pytest.raises(ComputeError) as caught:
        client.ask("looking", "Networks", "get", network="ya29.hunter2-long")
    assert "hunter2" not in str(caught.value)


def test_the_endpoint_is_asked_without_credentials(engine: ComputeEngine, client: Connection) -> None:
    """Credentials never go over a plain-text connection."""
    client.ask_all("looking", "Networks", "list")
    assert "Authorization" not in engine.headers

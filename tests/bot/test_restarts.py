"""A bot that is stopped or killed and started again: it continues with what it followed, and answers nothing twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from airflow_stand_in import AirflowStandIn
from hypothesis import given
from hypothesis import strategies as st
from slack_stand_in import APP_TOKEN, BOT, BOT_TOKEN, SlackStandIn
from small_runs import make_run, smooth, store

from seuron.bot import Conversation, Permissions
from seuron.bot.slack import SlackBot, SlackTokens
from seuron.bot.subscriptions import Subscription, Subscriptions
from seuron.client import connect
from seuron.commands import FollowedRun
from seuron.engine.run import Run
from seuron.engine.states import Stop

ADA, LAB = "UADA00001", "C0LAB0001"
TOKENS = SlackTokens(BOT_TOKEN, APP_TOKEN)
MAY_RUN = Permissions.model_validate({"allow": [{"who": [ADA], "may": ["run"]}]})
ROOT = Path(__file__).parents[2]
#: A bot in a process of its own, which can be killed: addresses of Slack and Airflow, and the folder, as its words.
SCRIPT = """
import sys, threading
from pathlib import Path
from seuron.bot import Conversation, Permissions
from seuron.bot.subscriptions import Subscriptions
from seuron.bot.slack import SlackBot, SlackTokens
from seuron.client import connect

slack, airflow, folder, bot, app = sys.argv[1:]
talk = Conversation(connect(airflow), Permissions(everybody=("look", "run")))
with SlackBot(talk, SlackTokens(bot, app), subscriptions=Subscriptions(Path(folder)), base_url=slack, edit_seconds=0.1):
    threading.Event().wait()
"""


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn() as made:
        yield made


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[AirflowStandIn]:
    monkeypatch.setattr("seuron.client.run_handle.POLL_SECONDS", 0.1)
    monkeypatch.setattr("seuron.bot.slack.POLL_SECONDS", 0.1)
    with AirflowStandIn() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where bots write down what they follow."""
    return tmp_path / "subscriptions"


Bots = Callable[..., SlackBot]


@pytest.fixture
def bots(slack: SlackStandIn, airflow: AirflowStandIn, folder: Path) -> Iterator[Bots]:
    """Starts bots of one deployment and one state folder, one after the other."""
    made: list[SlackBot] = []

    def start(permissions: Permissions = MAY_RUN) -> SlackBot:
        talk = Conversation(connect(airflow.url), permissions)
        bot = SlackBot(talk, TOKENS, subscriptions=Subscriptions(folder), base_url=slack.url, edit_seconds=0.1)
        made.append(bot)
        bot.start()
        return bot

    yield start
    for bot in made:
        bot.stop(2)
        bot.conversation.deployment.close()


def asked_for(run: Run) -> str:
    return f"run segmentation affinities={run.params.affinities} output={run.output}"


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def test_a_run_that_ended_meanwhile_is_reported_once(
    slack: SlackStandIn, airflow: AirflowStandIn, bots: Bots, folder: Path, finished: Run
) -> None:
    """Who waits reads that the bot is away, and hears of the end from the next one, below the same message.

    Sections, the histogram and the plot of scores come with it; a third bot has nothing to say any more.
    """
    first = bots()
    asked = slack.say(asked_for(finished))
    slack.wait(lambda: "first: running" in str(slack.thread(asked)), "status")
    first.stop()
    assert len(files(folder)) == 1
    (message,) = slack.thread(asked)
    assert message["text"].endswith("The run continues, and I follow it again when I am back.")
    assert "first: running" in message["text"]

    airflow.end("manual__0")
    second = bots()
    last = slack.answer(asked, 2)
    assert last["text"].startswith(f"<@{ADA}> first is done: a segmentation of 24 x 20 x 16 voxels")
    assert "I am being stopped" not in slack.thread(asked)[0]["text"]
    slack.wait(lambda: slack.made("files.completeUploadExternal"), "pictures")
    names = {name.partition("-")[2] for name in slack.uploads}
    assert names >= {"segmentation.png", "segment-sizes.png", "scores.png"}
    slack.wait(lambda: not files(folder), "end of what is followed")
    second.stop()
    bots()
    answer = slack.say("states")
    slack.answer(answer)
    assert len(slack.thread(asked)) == 2
    assert len(airflow.runs) == 1, "nothing was started again"


def test_a_killed_bot_is_followed_by_another(
    slack: SlackStandIn, airflow: AirflowStandIn, bots: Bots, folder: Path, finished: Run
) -> None:
    """A process that is killed says no goodbye; the next one edits the same message, and answers with the end.

    The message that asked for the run may come again, as nobody has confirmed it: it is not obeyed again.
    """
    command = [sys.executable, "-c", SCRIPT, slack.url, airflow.url, str(folder), BOT_TOKEN, APP_TOKEN]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        asked = slack.say(asked_for(finished))
        slack.wait(lambda: "first: running" in str(slack.thread(asked)), "status", 60)
    finally:
        process.kill()
        process.wait()
    edits = len(slack.thread(asked)[0]["history"])
    bots()
    slack.wait(lambda: len(slack.thread(asked)[0]["history"]) > edits, "edit by the second bot")
    text = f"<@{BOT}> {asked_for(finished)}"
    slack.deliver({"type": "app_mention", "user": ADA, "channel": LAB, "ts": asked, "text": text}, retry=1)
    slack.answer(slack.say("states"))
    assert len(slack.thread(asked)) == 1
    assert len(airflow.runs) == 1
    airflow.end("manual__0", "failed", Stop("manual__0", "cancelled", "Eve", time.time(), "wrong threshold").note)
    text = slack.answer(asked, 2)["text"]
    assert text.startswith(f"<@{ADA}> first: cancelled")
    assert "by Eve" in text
    assert "wrong threshold" in text
    slack.wait(lambda: not files(folder), "end of what is followed")


def test_a_deployment_that_comes_back_later_is_waited_for(
    slack: SlackStandIn, airflow: AirflowStandIn, bots: Bots, finished: Run
) -> None:
    """After the power was away the bot may be up before Airflow: it says nothing until that answers."""
    first = bots()
    asked = slack.say(asked_for(finished))
    slack.wait(lambda: "first: running" in str(slack.thread(asked)), "status")
    first.stop()
    airflow.away = True
    bots()
    answer = slack.say("states")
    slack.answer(answer)
    assert len(slack.thread(asked)) == 1
    airflow.end("manual__0")
    airflow.away = False
    assert "first is done" in slack.answer(asked, 2)["text"]


def test_a_run_that_is_gone_is_reported(
    slack: SlackStandIn, airflow: AirflowStandIn, bots: Bots, finished: Run
) -> None:
    """A run that somebody has deleted in Airflow meanwhile does not keep the bot waiting for ever."""
    first = bots()
    asked = slack.say(asked_for(finished))
    slack.wait(lambda: "first: running" in str(slack.thread(asked)), "status")
    first.stop()
    airflow.runs.clear()
    bots()
    assert "there is no run manual__0" in slack.answer(asked, 2)["text"]


def test_a_disk_that_takes_nothing_stops_no_answer(
    slack: SlackStandIn, airflow: AirflowStandIn, finished: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing can be written down the bot follows all the same, and does not promise to go on."""
    (tmp_path / "file").write_text("")
    deployment = connect(airflow.url)
    bot = SlackBot(
        Conversation(deployment, MAY_RUN),
        TOKENS,
        subscriptions=Subscriptions(tmp_path / "file" / "subscriptions"),
        base_url=slack.url,
        edit_seconds=0.1,
    )
    with bot:
        told = slack.say(asked_for(finished))
        slack.wait(lambda: "first: running" in str(slack.thread(told)), "status")
        airflow.end("manual__0")
        assert "first is done" in slack.answer(told, 2)["text"]
        stopped = slack.say(asked_for(finished))
        slack.wait(lambda: "first: running" in str(slack.thread(stopped)), "status")
    assert "ask `status` when I am back" in slack.answer(stopped, 2)["text"]
    deployment.close()
    assert "cannot be stored" in caplog.text


def test_two_bots_at_once(
    slack: SlackStandIn, airflow: AirflowStandIn, bots: Bots, folder: Path, finished: Run
) -> None:
    """A second bot of one state folder leaves to the first what that follows, and takes it up when that one goes."""
    first = bots()
    asked = slack.say(asked_for(finished))
    slack.wait(lambda: "first: running" in str(slack.thread(asked)), "status")
    bots()
    slack.answer(slack.say("states"))
    assert len(slack.thread(asked)) == 1
    first.stop()
    airflow.end("manual__0")
    assert "first is done" in slack.answer(asked, 2)["text"]
    slack.wait(lambda: not files(folder), "end of what is followed")
    assert len(slack.thread(asked)) == 2


class TestBatches:
    """A batch, whose later runs the bot itself begins."""

    @pytest.fixture(scope="class")
    def others(self, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
        """Two finished runs."""
        base = tmp_path_factory.mktemp("batch")
        affinities = store(base / "affinities", smooth((16, 16, 16), 4))
        return [make_run(base / name, affinities, None) for name in ("one", "two")]

    def say(self, slack: SlackStandIn, runs: list[Run]) -> str:
        sets = [{"affinities": run.params.affinities, "output": run.output} for run in runs]
        return slack.say("run segmentations", files=[slack.file("batch.json", json.dumps(sets).encode())])

    def say_and_stop(self, slack: SlackStandIn, bots: Bots, runs: list[Run]) -> str:
        """Ask a bot for the batch, and stop the bot while the first run is under way."""
        bot = bots()
        asked = self.say(slack, runs)
        slack.wait(lambda: "1 of 2: one: running" in str(slack.thread(asked)), "status")
        bot.stop()
        return asked

    def test_it_is_gone_on_with(
        self, slack: SlackStandIn, airflow: AirflowStandIn, bots: Bots, others: list[Run]
    ) -> None:
        """Stopping the bot begins none of the later runs; the next bot begins each in its turn."""
        asked = self.say_and_stop(slack, bots, others)
        assert list(airflow.runs) == ["manual__0"]
        airflow.end("manual__0")
        second = bots()
        slack.wait(lambda: "2 of 2: two: running" in str(slack.thread(asked)), "status of the second")
        assert "1. one is done" in slack.thread(asked)[0]["text"]
        second.stop()
        airflow.end("manual__1")
        bots()
        text = slack.answer(asked, 2)["text"]
        assert "1. one is done" in text
        assert "2. two is done" in text
        assert len(airflow.runs) == 2

    def test_who_may_not_run_any_more_begins_none(
        self, slack: SlackStandIn, airflow: AirflowStandIn, bots: Bots, others: list[Run]
    ) -> None:
        """Rights that were taken meanwhile hold for what is left of a batch."""
        asked = self.say_and_stop(slack, bots, others)
        airflow.end("manual__0")
        bots(Permissions())
        text = slack.answer(asked, 2)["text"]
        assert "1. one is done" in text
        assert "2. Ada may not run anything any more" in text
        assert list(airflow.runs) == ["manual__0"]


words = st.text(max_size=20)
values = st.dictionaries(words, st.none() | st.integers() | words | st.lists(st.integers(), max_size=3), max_size=3)
followed = st.builds(
    FollowedRun,
    dag=words,
    id=words,
    output=words,
    closes=st.booleans(),
    before=st.lists(st.tuples(words, st.integers(0, 4)), max_size=3).map(tuple),
    later=st.lists(values, max_size=3).map(tuple),
)
subscriptions = st.builds(
    Subscription,
    channel=words,
    asked=words,
    thread=words,
    message=words,
    user=words,
    name=words,
    run=followed,
    deployment=st.sampled_from(["", "https://a"]),
)


@given(st.lists(subscriptions, max_size=5, unique_by=lambda one: (one.channel, one.asked)), st.data())
def test_the_next_process_finds_what_was_left(
    tmp_path_factory: pytest.TempPathFactory, kept: list[Subscription], data: st.DataObject
) -> None:
    """What was kept and not dropped is there as it was, for bots of the same deployment, and once only."""
    folder = tmp_path_factory.mktemp("subscriptions")
    dropped = data.draw(st.sets(st.integers(0, len(kept) - 1)) if kept else st.just(set[int]()), label="dropped")
    with closing(Subscriptions(folder)) as before:
        for subscription in kept:
            before.keep(subscription)
        for number in dropped:
            before.drop(kept[number])
        assert before.adopt("") == [], "these are its own"
    with closing(Subscriptions(folder)) as after:
        for deployment in ("", "https://a"):
            found = after.adopt(deployment)
            left = [one for n, one in enumerate(kept) if n not in dropped and one.deployment == deployment]
            assert found is not None
            assert {one.file: one for one in found} == {one.file: one for one in left}
            assert after.adopt(deployment) == []


EXAMPLE = Subscription(LAB, "1.1", "1.1", "1.2", ADA, "Ada", FollowedRun("segmentation", "manual__0", "/data/first"))


def test_two_bots_do_not_tell_the_same(folder: Path) -> None:
    """While one process has what is followed, another one waits; what it writes itself meanwhile is its own."""
    left = Subscriptions(folder)
    left.keep(EXAMPLE)
    first, second = Subscriptions(folder), Subscriptions(folder)
    assert first.adopt("") == [EXAMPLE]
    assert second.adopt("") is None
    own = replace(EXAMPLE, asked="2.1")
    second.keep(own)
    first.close()
    assert second.adopt("") == [EXAMPLE]
    second.close()


def test_a_file_that_says_nothing_is_left(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file of another version, or a damaged one, keeps nothing else from being taken up."""
    Subscriptions(folder).keep(EXAMPLE)
    (folder / "0.json").write_text('{"channel": 1')
    found = Subscriptions(folder)
    assert found.adopt("") == [EXAMPLE]
    found.close()
    assert "0.json is no subscription" in caplog.text
    assert (folder / "0.json").exists()


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    """A bot that keeps nothing still follows."""
    made = Subscriptions()
    made.keep(EXAMPLE)
    made.drop(EXAMPLE)
    assert made.adopt("") == []
    assert not made.kept

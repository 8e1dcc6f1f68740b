"""The bot and the notifications on a real deployment: what is said in Slack happens in Airflow, and is told."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from airflow_runs import Ended
from slack_stand_in import APP_TOKEN, BOT_TOKEN, SlackStandIn
from webhooks import Hook

from seuron.bot import Conversation, Permissions
from seuron.bot.slack import SlackBot, SlackTokens
from seuron.bot.subscriptions import Subscriptions
from seuron.client import connect
from seuron.deployment import Deployment
from seuron.notifications.settings import FILE_VARIABLE

ADA, EVE = "UADA00001", "UEVE00001"
#: A busy machine takes minutes for what an idle one does in seconds.
SECONDS = 480.0
#: The whole volume at once: what is said in Slack does not depend on how many tasks there are.
ONE_CHUNK = "80,64,64"


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn() as made:
        yield made


@contextmanager
def answering(url: str, slack: SlackStandIn, folder: Path | None = None) -> Iterator[SlackBot]:
    """A bot of a deployment; both Ada and Eve may run things. What it follows is kept in a folder."""
    allowed = Permissions.model_validate({"allow": [{"who": [ADA, EVE], "may": ["run"]}]})
    asked, tokens = connect(url), SlackTokens(BOT_TOKEN, APP_TOKEN)
    talk, kept = Conversation(asked, allowed), Subscriptions(folder)
    with SlackBot(talk, tokens, subscriptions=kept, base_url=slack.url, edit_seconds=1.0) as made:
        yield made
    asked.close()


@pytest.fixture
def bot(deployment: Deployment, slack: SlackStandIn) -> Iterator[SlackBot]:
    """The bot of that deployment."""
    with answering(deployment.url, slack) as made:
        yield made


def told(hook: Hook, run: str, event: str) -> dict[str, Any]:
    """The notice of an event of a run, once it has come."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for _, notice in list(hook.got):
            if (notice["run"], notice["event"]) == (run, event):
                return dict(notice)
        time.sleep(0.2)
    raise AssertionError(f"no notice of {event} for {run}; there are {[notice for _, notice in hook.got]}")


def test_a_run_that_is_asked_for_in_slack(
    bot: SlackBot, slack: SlackStandIn, hook: Hook, conf: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Parameters in a file, a run in Airflow, progress in one message, a summary and pictures at its end, and a
    notice to those who want one."""
    file = slack.file("parameters.json", json.dumps(conf(tmp_path / "asked", chunk_size=ONE_CHUNK)).encode())
    asked = slack.say("please run segmentation", files=[file])
    last = slack.answer(asked, 2, SECONDS)["text"]
    assert last.startswith(f"<@{ADA}> asked is done: a segmentation of 80 x 64 x 64 voxels")
    assert "segments, from" in last
    assert "|Airflow>" in last
    progress = slack.thread(asked)[0]["history"]
    assert any("watershed" in text and "/" in text for text in progress)
    assert "asked: succeeded" in progress[-1]
    slack.wait(lambda: any(name.endswith("segmentation.png") for name in slack.uploads), "picture")
    notice = told(hook, "asked", "succeeded")
    assert notice["words"].startswith("asked is done: a segmentation of 80 x 64 x 64 voxels")


@pytest.mark.long
def test_a_bot_that_is_started_again_goes_on(
    deployment: Deployment, slack: SlackStandIn, conf: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """A batch outlives the bot: its first run ends while no bot is there, the next bot tells so and begins the second.

    All of it is two messages.
    """
    sets = [conf(tmp_path / name) for name in ("earlier", "later")]
    with answering(deployment.url, slack, tmp_path / "subscriptions"):
        asked = slack.say("run segmentations", files=[slack.file("batch.json", json.dumps(sets).encode())])
        slack.wait(lambda: "1 of 2: earlier: " in str(slack.thread(asked)), "status of the first", SECONDS)
    assert "I follow it again" in slack.thread(asked)[0]["text"]
    with connect(deployment.url).client as client:
        (run_id,) = [run.run_id for run in client.dag_runs("segmentation") if run.output.endswith("/earlier")]
        assert client.wait("segmentation", run_id, seconds=SECONDS) == "success"
        assert not [run for run in client.dag_runs("segmentation") if run.output.endswith("/later")]
    with answering(deployment.url, slack, tmp_path / "subscriptions"):
        text = slack.answer(asked, 2, SECONDS)["text"]
    assert text.startswith(f"<@{ADA}> 1. earlier is done: a segmentation of 80 x 64 x 64 voxels")
    assert "2. later is done: a segmentation of 80 x 64 x 64 voxels" in text
    assert len(slack.thread(asked)) == 2
    assert not list((tmp_path / "subscriptions").glob("*.json"))


def test_cancelling_names_who_did_it(
    bot: SlackBot, slack: SlackStandIn, hook: Hook, conf: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """A run is cancelled by its name, by somebody else: who waits for it learns who and why, and so do the others."""
    # It waits for a person after its first stage, so that it has not ended when it is cancelled.
    values = conf(tmp_path / "unwanted", chunk_size=ONE_CHUNK, inspect_after=["watershed"])
    asked = slack.say("run segmentation", files=[slack.file("p.json", json.dumps(values).encode())])
    slack.wait(lambda: "unwanted: inspecting" in str(slack.thread(asked)), "word that it waits", SECONDS)
    cancelled = slack.say('cancel unwanted why="wrong threshold"', user=EVE)
    assert "unwanted is cancelled by Eve" in slack.answer(cancelled, 1, SECONDS)["text"]
    text = slack.answer(asked, 2, SECONDS)["text"]
    assert "unwanted: cancelled" in text
    assert "by Eve" in text
    assert "wrong threshold" in text
    notice = told(hook, "unwanted", "cancelled")
    assert "by Eve" in notice["words"]


def test_a_run_that_fails_is_told_with_its_cause(deployment: Deployment, hook: Hook, refused: Ended) -> None:
    """The notice of a failure says which task, why in one line, where its log is, and what to do next."""
    notice = told(hook, refused.output.name, "failed")
    cause = notice["causes"][0]
    assert cause["task"] == "prepare"
    assert "affinities" in cause["reason"]
    assert "\n" not in cause["reason"]
    assert cause["log"].startswith(deployment.url)
    assert f"continue {refused.output.name}" in notice["next"]
    assert os.environ.get(FILE_VARIABLE)


@pytest.mark.long
def test_a_run_that_waits_is_answered_in_slack(
    bot: SlackBot, slack: SlackStandIn, conf: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """A run that waits for a person is redone with another threshold, then approved, by words; who waits for it
    hears of both, and nobody answers for a run that waits for nothing."""
    values = conf(tmp_path / "looked", chunk_size=ONE_CHUNK, inspect_after=["agglomeration"])
    asked = slack.say("run segmentation", files=[slack.file("p.json", json.dumps(values).encode())])
    slack.wait(lambda: "looked: inspecting" in str(slack.thread(asked)), "word that it waits", SECONDS)
    assert "looked: waits after agglomeration" in slack.answer(slack.say("inspections"), 1, SECONDS)["text"]
    redone = slack.say("redo looked agglomeration_threshold=0.5 wait=no", user=EVE)
    assert "looked is started" in slack.answer(redone, 1, SECONDS)["text"]
    assert "redone after agglomeration" in slack.answer(asked, 2, SECONDS)["text"]
    slack.wait(lambda: bot.conversation.deployment.find("looked").status().state == "inspecting", "2nd wait", SECONDS)
    approved = slack.say("approve looked", user=EVE)
    assert "looked continues after agglomeration" in slack.answer(approved, 1, SECONDS)["text"]
    followed = slack.say("status looked watch=yes")
    assert "s of work" in slack.answer(followed, 2, SECONDS)["text"]
    assert bot.conversation.deployment.find("looked").parameters()["agglomeration_threshold"] == 0.5
    late = slack.say("approve looked")
    assert "looked waits for nobody: it is succeeded" in slack.answer(late, 1, SECONDS)["text"]

"""The bot in Slack: the real client and socket, against a stand-in of Slack on this machine."""

from __future__ import annotations

import html
import json
import logging
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from counting import Counting
from slack_stand_in import APP_TOKEN, BOT, BOT_TOKEN, SlackStandIn

from seuron.bot import Conversation, Permissions
from seuron.bot.slack import SlackBot, SlackTokens, slack_tokens
from seuron.client import DeploymentClient
from seuron.engine.run import Run
from seuron.errors import ParameterErrors, RefusedError

LAB, OTHER = "C0LAB0001", "C0OTHER01"
ADA, EVE = "UADA00001", "UEVE00001"
EDIT_SECONDS = 0.3
TOKENS = SlackTokens(BOT_TOKEN, APP_TOKEN)


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn() as made:
        yield made


@pytest.fixture
def conversation(deployment: DeploymentClient) -> Conversation:
    """Everybody may look; Ada may run things in the lab's channel and in direct messages."""
    rules = [{"who": [ADA], "where": [LAB, "D0ADA0001"], "may": ["run"]}]
    return Conversation(deployment, Permissions.model_validate({"allow": rules}))


@pytest.fixture
def bot(slack: SlackStandIn, conversation: Conversation) -> Iterator[SlackBot]:
    with SlackBot(conversation, TOKENS, base_url=slack.url, edit_seconds=EDIT_SECONDS, ping_seconds=0.5) as made:
        yield made


def test_a_mention_is_answered_in_its_thread(slack: SlackStandIn, bot: SlackBot) -> None:
    """Who asks in a channel finds the answer below the question, and the channel stays readable."""
    asked = slack.say("presets")
    answer = slack.answer(asked)
    assert answer["channel"] == LAB
    assert answer["thread_ts"] == asked
    assert "isotropic-10nm" in answer["text"]
    assert slack.wait(lambda: slack.acknowledged, "acknowledgement")
    again = slack.say("help plan", thread_ts=asked)
    assert "dry run" in slack.answer(asked, 2)["text"], again


def test_direct_messages_need_no_mention(slack: SlackStandIn, bot: SlackBot) -> None:
    """In a direct message all words are for the bot; its own, edits and joins are not."""
    event = {"type": "message", "channel": "D0ADA0001", "channel_type": "im", "text": "states"}
    for number, more in enumerate(({"user": BOT}, {"user": ADA, "subtype": "message_changed"}, {"bot_id": "B2"})):
        slack.deliver({**event, "ts": f"{number}.1", **more})
    asked = slack.say("states", channel="D0ADA0001")
    assert "cancelled: ended by a person" in slack.answer(asked)["text"]
    assert len(slack.messages) == 1


def test_long_work_edits_one_message(slack: SlackStandIn, bot: SlackBot, counting: Counting) -> None:
    """A thread does not fill with progress: one message is edited, not more than every few seconds, and the last
    word calls who asked."""
    asked = slack.say("count to 40")
    slack.answer(asked)
    for _ in range(40):
        time.sleep(0.03)
        counting.go_on.release()
    last = slack.answer(asked, 2)
    assert last["text"] == f"<@{ADA}> 40 is all"
    first, _ = slack.thread(asked)
    assert first["history"][0] == "counted to 1 of 40"
    assert first["history"][-1] == "counted to 40 of 40"
    edits = [call.at for call in slack.made("chat.update")]
    assert 2 <= len(edits) < 12
    assert all(later - earlier > 0.8 * EDIT_SECONDS for earlier, later in pairwise(edits[:-1]))


def test_two_things_at_once_do_not_touch(slack: SlackStandIn, bot: SlackBot, counting: Counting) -> None:
    """A long command holds up nobody else, nor the same person."""
    long, short = slack.say("count to 2"), ""
    slack.answer(long)
    short = slack.say("presets", user=EVE)
    assert "isotropic-10nm" in slack.answer(short)["text"]
    counting.go_on.release()
    counting.go_on.release()
    assert "2 is all" in slack.answer(long, 2)["text"]


def test_an_event_that_comes_again_is_obeyed_once(slack: SlackStandIn, bot: SlackBot, counting: Counting) -> None:
    """Slack sends an event again when it did not hear that it came; nothing is done twice for that."""
    counting.go_on.release()
    ts = slack.say("count to 1")
    event = {"type": "app_mention", "user": ADA, "channel": LAB, "ts": ts, "text": f"<@{BOT}> count to 1"}
    slack.deliver(event, retry=1)
    slack.deliver(event, retry=2)
    slack.answer(ts, 2)
    slack.wait(lambda: len(slack.acknowledged) == 3, "all three acknowledged")
    after = slack.say("states")
    slack.answer(after)
    assert counting.calls == [("Ada", 1)]
    assert len(slack.thread(ts)) == 2


def test_a_dropped_socket_is_made_again(slack: SlackStandIn, bot: SlackBot, counting: Counting) -> None:
    """The network goes away while something runs: the bot comes back by itself, and the answer is not lost."""
    asked = slack.say("count to 1")
    slack.answer(asked)
    before = slack.connections
    slack.drop()
    slack.wait(lambda: slack.connections > before, "new connection")
    counting.go_on.release()
    assert "1 is all" in slack.answer(asked, 2)["text"]
    again = slack.say("presets")
    assert "isotropic-10nm" in slack.answer(again)["text"]


def test_who_asks_too_often_waits(slack: SlackStandIn, bot: SlackBot) -> None:
    """A 429 is waited for as long as Slack says, and the message comes once."""
    slack.limits["chat.postMessage"] = 2
    asked = slack.say("presets")
    slack.answer(asked)
    calls = [call for call in slack.calls if call.method == "chat.postMessage"]
    assert [call.limited for call in calls] == [True, True, False]
    assert all(later.at - earlier.at >= 1.0 for earlier, later in pairwise(calls))
    assert len(slack.thread(asked)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "help <!channel>",
        "help &lt;!channel&gt;",
        "explain parameter <@U0BOSS001>",
        "presets &lt;https://evil.example|isotropic-10nm&gt;",
        "help &amp;lt;!here&amp;gt;",
    ],
)
def test_words_of_users_call_nobody(slack: SlackStandIn, bot: SlackBot, text: str) -> None:
    """What somebody writes comes back as words: no call of a channel, no call of a person, no link."""
    answer = slack.answer(slack.say(text))["text"]
    assert "<" not in answer
    assert "&amp;" in answer or "&lt;" in answer or "@" in answer or "!" in answer


def test_names_of_data_call_nobody(slack: SlackStandIn, bot: SlackBot, finished: Run, tmp_path: Path) -> None:
    """A folder may be called anything; its name comes back as words as well."""
    folder = tmp_path / "<!everyone> & co"
    folder.symlink_to(finished.output.removeprefix("file://"))
    answer = slack.answer(slack.say(f'status "{html.escape(str(folder))}"'))["text"]
    assert "&lt;!everyone&gt; &amp; co: succeeded" in answer
    assert "<!" not in answer


def test_tokens_are_never_said(
    slack: SlackStandIn, bot: SlackBot, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither the bot's own tokens nor those that a user types come back, or stand in a log."""
    with caplog.at_level(logging.INFO):
        for text in (f"help {BOT_TOKEN}", f"what is {APP_TOKEN}", "help redis://me:hunter22@host/0"):
            answer = slack.answer(slack.say(text))["text"]
            assert "[hidden]" in answer
    said = json.dumps(list(slack.messages.values())) + caplog.text + "".join(capfd.readouterr()) + repr(TOKENS)
    assert not [secret for secret in (BOT_TOKEN, APP_TOKEN, "hunter22") if secret in said]


def test_what_one_may_not_is_refused(slack: SlackStandIn, bot: SlackBot, counting: Counting) -> None:
    """Eve may look and not run; Ada may run in the lab's channel and not in another one."""
    refused = [slack.say("count to 1", user=EVE), slack.say("count to 1", channel=OTHER)]
    for ts in refused:
        assert "may not give the command `count`: it takes the right to 'run'" in slack.answer(ts)["text"]
    assert not counting.calls
    asked = slack.say("help", user=EVE)
    assert "count: Count" not in slack.answer(asked)["text"]


def test_parameters_come_as_a_file(slack: SlackStandIn, bot: SlackBot) -> None:
    """A JSON file is read, what it changes is shown, and only in this channel of this user."""
    file = slack.file("parameters.json", b'{"agglomeration_threshold": 0.3}')
    asked = slack.say("update parameters chunk_size=64,64,64", files=[file])
    text = slack.answer(asked)["text"]
    assert "agglomeration_threshold: - -&gt; 0.3" in text
    assert "chunk_size: - -&gt; 64,64,64" in text
    kept = bot.conversation.sessions
    assert kept.parameters(ADA, LAB)["agglomeration_threshold"] == 0.3
    assert kept.parameters(ADA, "D0ADA0001") == kept.parameters(EVE, LAB) == {}


def test_no_file_from_elsewhere_is_fetched(slack: SlackStandIn, bot: SlackBot) -> None:
    """The bot's token goes to Slack and nowhere else, whatever address an event names."""
    with SlackStandIn() as other:
        stranger = {**other.file("p.json", b"{}"), "name": "p.json"}
        asked = slack.say("update parameters", files=[stranger])
        assert "p.json is not kept by Slack" in slack.answer(asked)["text"]
        assert not other.calls
    large = slack.file("large.json", b"{}") | {"size": 10_000_000}
    assert "at most 1000000" in slack.answer(slack.say("update parameters", files=[large]))["text"]
    script = slack.file("model.py", b"raise SystemExit")
    assert "model.py is not JSON" in slack.answer(slack.say("update parameters", files=[script]))["text"]


def test_a_sweep_brings_its_plot(slack: SlackStandIn, bot: SlackBot, finished: Run) -> None:
    """Other thresholds are asked for by words: progress first, then the table, and the plot as a picture."""
    asked = slack.say(f"sweep {finished.output} thresholds=0.3,0.5 small=100")
    text = slack.answer(asked, 2)["text"]
    assert slack.thread(asked)[0]["history"] == ["sweeping first: 2 thresholds"]
    assert text.startswith(f"<@{ADA}> ```\nthreshold  segments")
    assert "best VOI" in text
    slack.wait(lambda: slack.made("files.completeUploadExternal"), "upload")
    assert {name.partition("-")[2] for name in slack.uploads} == {"sweep.png"}


def test_pictures_are_uploaded(slack: SlackStandIn, bot: SlackBot, finished: Run) -> None:
    """A summary brings sections through the layers and a histogram into the thread."""
    asked = slack.say(f"summary {finished.output}")
    text = slack.answer(asked)["text"]
    assert "segments, from" in text
    assert "true objects" in text
    done = slack.wait(lambda: slack.made("files.completeUploadExternal"), "upload")[0].body
    assert done["thread_ts"] == asked
    assert {name.partition("-")[2] for name in slack.uploads} >= {"segmentation.png", "segment-sizes.png", "scores.png"}
    assert all(content.startswith(b"\x89PNG") for content in slack.uploads.values())


def test_what_is_too_long_for_a_message_is_a_file(slack: SlackStandIn, bot: SlackBot, counting: Counting) -> None:
    """Nothing of an answer is lost: the message has its beginning, whole, and the file all of it."""
    rows = "\n".join(f"{number} <&> row" for number in range(2000))
    counting.says = f"a table\n```\n{rows}\n```"
    counting.go_on.release()
    asked = slack.say("count to 1")
    text = slack.answer(asked, 2)["text"]
    assert len(text) <= 4000
    assert text.endswith("row\n```\n(cut)")
    assert slack.wait(lambda: slack.uploads, "the whole answer")["F0-answer.txt"].decode() == counting.says


def test_a_fault_of_the_bot_is_owned(
    slack: SlackStandIn, bot: SlackBot, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody thought of leaves nobody waiting, and the next message is answered."""
    seen: list[object] = []
    monkeypatch.setattr("threading.excepthook", seen.append)
    asked = slack.say("count to 1 picture=/nowhere/at/all.png")
    counting.go_on.release()
    slack.wait(lambda: "fault of mine" in str(slack.thread(asked)), "word of the fault")
    assert slack.wait(lambda: seen, "the error itself")
    assert slack.answer(slack.say("presets"))


def test_a_bot_that_is_stopped_says_so(slack: SlackStandIn, conversation: Conversation, counting: Counting) -> None:
    """Who waits for a run reads that the bot ends and that the run continues."""
    made = SlackBot(conversation, TOKENS, base_url=slack.url, edit_seconds=EDIT_SECONDS)
    made.start()
    asked = slack.say("count to 3")
    slack.answer(asked)
    made._stopping.set()
    counting.go_on.release()
    assert "What was started continues" in slack.answer(asked, 2)["text"]
    made.stop()


def test_what_ends_with_the_bot_is_reported(
    slack: SlackStandIn, conversation: Conversation, counting: Counting
) -> None:
    """Who waits for work that no other process continues reads that it has to be asked for again."""
    made = SlackBot(conversation, TOKENS, base_url=slack.url, edit_seconds=EDIT_SECONDS)
    made.start()
    asked = slack.say("count to 3")
    slack.answer(asked)
    made.stop(0.2)
    assert "what you asked for ends with me; ask again" in slack.answer(asked, 2)["text"]
    counting.go_on.release()
    slack.wait(lambda: not made._jobs, "end of the work")
    assert len(slack.thread(asked)) == 2


def test_wrong_tokens_are_named_and_not_shown(slack: SlackStandIn, conversation: Conversation) -> None:
    """Slack's refusal comes with what to do; the token is in no message."""
    wrong = "xoxb-9999-wrong"
    with pytest.raises(RefusedError, match=r"SLACK_BOT_TOKEN.*invalid_auth") as refused:
        SlackBot(conversation, SlackTokens(wrong, APP_TOKEN), base_url=slack.url)
    assert wrong not in str(refused.value)
    bot = SlackBot(conversation, SlackTokens(BOT_TOKEN, "xapp-wrong"), base_url=slack.url)
    with pytest.raises(RefusedError, match=r"SLACK_APP_TOKEN.*connections:write"):
        bot.start()
    bot.stop()


def test_tokens_come_from_the_environment_or_files(tmp_path: Path) -> None:
    """Both ways are the same; everything that is missing is said at once, without what was given."""
    file = tmp_path / "token"
    file.write_text(f"{APP_TOKEN}\n")
    assert slack_tokens({"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_APP_TOKEN_FILE": str(file)}) == TOKENS
    with pytest.raises(ParameterErrors) as wrong:
        slack_tokens({"SLACK_BOT_TOKEN": "hunter22-and-more"})
    assert len(wrong.value.problems) == 2
    assert "hunter22" not in str(wrong.value)

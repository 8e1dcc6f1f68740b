"""People are notified of the cause, once: against real servers for mail and HTTP on this machine."""

from __future__ import annotations

import email
import email.policy
import json
import logging
import socket
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from hypothesis import given
from hypothesis import strategies as st
from slack_stand_in import BOT_TOKEN, SlackStandIn
from webhooks import Hook, listening

from seuron.errors import ParameterErrors
from seuron.notifications.deduplication import Deduplicator
from seuron.notifications.dispatch import notify, retry_notice
from seuron.notifications.notices import Cause, Notice, one_line
from seuron.notifications.notifiers import NOTIFIERS
from seuron.notifications.settings import NotificationSettings, NotifyError, Recipient, read_notifications

LOG_PAGE = "http://127.0.0.1:8080/dags/segmentation/runs/1/tasks/watershed.tier_0/mapped/3"
CAUSE = Cause("watershed 0 leaf (1, 0, 0)", "VolumeError: block 64-128 of gs://lab/aff is missing", LOG_PAGE)
FAILED = Notice(
    "failed", "first", "/data/runs/first", causes=(CAUSE,), next="fix the cause, then `continue first`",
    links={"Airflow": "http://127.0.0.1:8080/dags/segmentation/runs/1"},
)  # fmt: skip


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening() as server:
        yield server


class _Mailbox:
    """Keeps the mails that a server has taken."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []

    async def handle_DATA(self, server: object, session: object, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append((envelope.rcpt_tos, mail))
        return "250 OK"


def settings(*recipients: dict[str, Any], **more: Any) -> NotificationSettings:
    return NotificationSettings.model_validate({"notify": recipients, **more})


def test_a_mail_says_why_and_what_next(tmp_path: Path) -> None:
    """Who reads the mail knows which task failed, why, where its log is, and what to do, without looking."""
    box = _Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    try:
        known = settings(
            {
                "how": "email",
                "to": ["ada@example.org", "eve@example.org"],
                "sender": "seuron@example.org",
                "server": f"127.0.0.1:{port}",
                "starttls": False,
            }
        )
        lines = Notice("failed", "first\r\nBcc: all@example.org", "/d", causes=(CAUSE,), next="fix it")
        assert notify(lines, known, tmp_path) == 1
    finally:
        server.stop()
    to, mail = box.mails[0]
    assert to == ["ada@example.org", "eve@example.org"]
    assert mail["Bcc"] is None
    assert "failed: VolumeError: block 64-128" in mail["Subject"]
    text = mail.get_content()
    for part in (CAUSE.task, CAUSE.reason, f"log: {LOG_PAGE}", "Next: fix it"):
        assert part in text


def test_a_webhook_gets_it_as_data(hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program gets each part under its name, and the whole as text; the token is read when it is needed."""
    monkeypatch.setenv("HOOK_TOKEN", "a-token-of-mine")
    known = settings({"how": "webhook", "address": hook.address, "token": "env:HOOK_TOKEN"})
    assert notify(FAILED, known, tmp_path) == 1
    headers, body = hook.got[0]
    assert headers["authorization"] == "Bearer a-token-of-mine"
    assert body["causes"] == [{"task": CAUSE.task, "reason": CAUSE.reason, "log": LOG_PAGE}]
    assert (body["event"], body["run"], body["next"]) == ("failed", "first", FAILED.next)
    assert body["text"] == FAILED.text


def test_slack_gets_it_by_webhook(hook: Hook, tmp_path: Path) -> None:
    """Slack's webhook gets a text in which nothing calls anybody."""
    file = tmp_path / "webhook"
    file.write_text(hook.address + "\n")
    cause = Cause("t", "ValueError: <!channel> & <@U1>")
    known = settings({"how": "slack", "webhook": f"file:{file}"})
    assert notify(Notice("failed", "first", "/d", causes=(cause,)), known, tmp_path) == 1
    text = hook.got[0][1]["text"]
    assert "&lt;!channel&gt; &amp; &lt;@U1&gt;" in text
    assert "<" not in text


def test_slack_gets_it_in_the_bots_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the bot's token it is a message in a channel; when Slack is asked too often, it is waited for."""
    monkeypatch.setenv("SLACK_BOT_TOKEN", BOT_TOKEN)
    with SlackStandIn() as slack:
        slack.limits["chat.postMessage"] = 1
        recipient = {"how": "slack", "token": "env:SLACK_BOT_TOKEN", "channel": "C0LAB0001", "address": slack.url}
        assert notify(FAILED, settings(recipient), tmp_path) == 1
        posted = slack.made("chat.postMessage")[0].body
    assert posted["channel"] == "C0LAB0001"
    assert CAUSE.reason in posted["text"]


def test_the_log_has_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without any service there is still the log."""
    with caplog.at_level(logging.INFO):
        assert notify(FAILED, settings({"how": "log"}), tmp_path) == 1
    assert CAUSE.reason in caplog.text


def test_only_recipients_that_want_it_are_notified(hook: Hook, tmp_path: Path) -> None:
    """A list says who hears of which runs and events; patterns are for the name or for the folder."""
    wanted = [
        {"events": ["failed"], "runs": ["fir*"]},
        {"events": ["failed"], "runs": ["/data/runs/*"]},
        {"events": ["succeeded"]},
        {"runs": ["other"]},
    ]
    known = settings(*({"how": "webhook", "address": hook.address, **more} for more in wanted))
    assert notify(FAILED, known, tmp_path) == 2
    assert notify(replace(FAILED, output="file:///data/runs/first", run="other"), known, tmp_path) == 2, (
        "by folder, by name"
    )


def test_repeats_are_folded(hook: Hook, tmp_path: Path) -> None:
    """A thousand chunks that fail for one reason are one message, and the next one says how many there were."""
    known = settings({"how": "webhook", "address": hook.address, "events": ["retry"]})
    for place in range(20):
        cause = Cause(
            f"watershed 0 leaf ({place}, 0, 0)", f"OSError: no space for chunk {place} in 0x7f{place:x}", LOG_PAGE
        )
        notify(retry_notice("first", "/data/first", cause, 1, 6), known, tmp_path)
    other = Cause("watershed 0 leaf (0, 0, 0)", "MemoryError: too large")
    notify(retry_notice("first", "/data/first", other, 1, 6), known, tmp_path)
    assert len(hook.got) == 2
    unfolded = known.model_copy(update={"fold_minutes": 0.0})
    notify(retry_notice("first", "/data/first", cause, 2, 6), unfolded, tmp_path)
    assert "(19 more like it)" in hook.got[-1][1]["title"]
    assert "try 3 of at most 6" in hook.got[-1][1]["next"]


@given(st.lists(st.tuples(st.floats(0, 50), st.booleans()), max_size=30))
def test_nothing_is_lost_by_deduplication(told: list[tuple[float, bool]]) -> None:
    """What was sent and what it counted, with what is still held back, is all that there was, also when sending
    fails; and two are never sent within the window."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        folding, now, counted, times = Deduplicator(Path(folder), 60.0), 1000.0, 0, list[float]()
        for wait, works in told:
            now += wait
            repeats = folding.due("key", now)
            if repeats is not None and works:
                counted += repeats + 1
                times.append(now)
            elif repeats is not None:
                folding.failed("key", repeats)
        held_back = folding.due("key", now + 61.0)
        assert counted + (held_back or 0) == len(told)
        assert all(later - earlier >= 60 for earlier, later in pairwise(times))


def test_an_unreachable_recipient_keeps_no_other_from_it(
    hook: Hook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that is away is a line in the log; the others are notified, and it is when it is back."""
    broken = {"how": "webhook", "address": "http://127.0.0.1:9/x"}
    known = settings(broken, {"how": "webhook", "address": hook.address})
    assert notify(FAILED, known, tmp_path) == 1
    assert "webhook was not notified of first: the webhook did not answer" in caplog.text
    hook.status = 500
    with pytest.raises(NotifyError, match="answered 500"):
        NOTIFIERS["webhook"](Recipient(how="webhook", address=hook.address), FAILED)


def test_no_secret_is_sent(hook: Hook, tmp_path: Path) -> None:
    """What an error repeats of an address or a token does not leave the deployment."""
    reason = "OperationalError: cannot reach postgresql://seuron:hunter22@db/airflow with token=abcdef123456"
    notice = Notice("failed", "first", "/d", causes=(Cause("t", reason),), words=f"{BOT_TOKEN} was used")
    notify(notice, settings({"how": "webhook", "address": hook.address}), tmp_path)
    said = json.dumps(hook.got[0][1])
    assert "postgresql://seuron:[hidden]@db/airflow" in said
    assert not [secret for secret in ("hunter22", "abcdef123456", BOT_TOKEN) if secret in said]


def test_all_that_is_wrong_with_the_file_is_said_at_once(tmp_path: Path) -> None:
    """Slips, missing parts and a secret in plain sight are refused together, and the secret is not repeated."""
    file = tmp_path / "notifications.toml"
    file.write_text(
        '[[notify]]\nhow = "slack"\nwebhook = "https://hooks.slack.com/services/T1/B1/hunter22"\n'
        '[[notify]]\nhow = "email"\nto = ["a@b"]\n[[notify]]\nhow = "log"\nchanel = "C1"\n'
        '[[notify]]\nhow = "slack"\ntoken = "env:T"\npassword = "file:/p"\n'
        '[[notify]]\nhow = "log"\nevents = ["fialed"]\n'
    )
    with pytest.raises(ParameterErrors) as wrong:
        read_notifications(file)
    text = str(wrong.value)
    for part in (
        "`notify[1].webhook`: say where the secret is",
        "`notify[2]`: `how = email` needs `sender`; `how = email` needs `server`",
        "`notify[3].chanel` is not known; did you mean `channel`?",
        "takes no `password`",
        "`notify[5].events[1]`",
    ):
        assert part in text
    assert "hunter22" not in text


def test_the_file_of_the_documentation_is_right() -> None:
    """The example can be copied as it is."""
    found = read_notifications(Path(__file__).parents[2] / "docs" / "notifications.example.toml")
    assert {recipient.how for recipient in found.notify} == {"slack", "email", "webhook", "log"}


def test_a_reason_is_one_line() -> None:
    """The first line of an error, and the first of a list of problems with its title."""
    assert one_line("VolumeError: gone\n  at line 3") == "VolumeError: gone"
    assert one_line("ParameterErrors: 2 problems with the parameters:\n  - a\n  - b") == (
        "ParameterErrors: 2 problems with the parameters: - a"
    )
    assert len(one_line("x" * 1000)) == 300

"""Secrets are taken out of what is said, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.redaction import HIDDEN, redacted


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("invalid token xoxb-123-456-abcDEF at Slack", "xoxb-123-456-abcDEF"),
        ("app xapp-1-A0-99-abcdef", "xapp-1-A0-99-abcdef"),
        ("POST https://hooks.slack.com/services/T1/B2/zzz failed", "services/T1/B2/zzz"),
        ("cannot reach redis://:hunter22@10.0.0.1:6379/0", "hunter22"),
        ("postgresql://seuron:p%40ss:word@db/airflow", "p%40ss:word"),
        ("Authorization: Bearer abcdef.ghijkl-123", "abcdef.ghijkl-123"),
        ("key AKIAABCDEFGHIJKLMNOP", "AKIAABCDEFGHIJKLMNOP"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nafter", "MIIE"),
        ('{"password": "hunter22", "user": "ada"}', "hunter22"),
        ("SLACK_BOT_TOKEN='hunter22-x' seuron bot", "hunter22-x"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, secret: str) -> None:
    """Tokens, passwords in addresses and keys do not pass, wherever a text has them from."""
    shown = redacted(text)
    assert secret not in shown
    assert HIDDEN in shown


@pytest.mark.parametrize(
    "text",
    [
        "first: running, watershed, 5 of 16 tasks, about 2 min left",
        "VolumeError: block 64-128 of gs://lab/aff is missing",
        "log: http://127.0.0.1:8080/dags/segmentation/runs/manual__2026-01-01T00:00:00+00:00/tasks/x",
        "chunk_size: 64,64,64 -> 128,128,128",
        "cancelled by ada@example.org on 2026-01-01 10:00 UTC: wrong threshold",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    """What people need to read is not touched."""
    assert redacted(text) == text


@given(st.text("abcdef0123456789", min_size=8, max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_known_secrets_never_pass(secret: str, before: str, after: str) -> None:
    """A secret that is known is hidden in any text."""
    assert secret not in redacted(before + secret + after, [secret])

"""Removing secrets from texts before they leave for a chat, a mail or a log.

The text of a message may come from anywhere, such as the error of a library that repeats an address with its
password, or somebody who types a token into a chat.
"""

from __future__ import annotations

import re
from collections.abc import Collection

HIDDEN = "[hidden]"
#: Shorter values are words that may stand anywhere.
SHORTEST_SECRET = 8

_NAMES = r"(?:password|passwd|secret|token|api_?key)"
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Slack's tokens and webhooks.
    (re.compile(r"\bx(?:ox[a-z]|app)(?:\.xox[a-z])?-[\w.-]+"), HIDDEN),
    (re.compile(r"(hooks\.slack\.com/)[\w/-]+"), rf"\1{HIDDEN}"),
    # The password in an address, `redis://user:password@host`.
    (re.compile(r"(://[^\s/:@]*):[^\s@]+@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    # Google's and Amazon's keys, and JSON web tokens.
    (re.compile(r"\b(?:AIza[\w-]{30,}|ya29\.[\w.-]+|(?:AKIA|ASIA)[A-Z0-9]{16}|eyJ[\w-]+\.[\w-]+\.[\w-]+)"), HIDDEN),
    (re.compile(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"), HIDDEN),
    # `password=...`, in JSON, and in YAML.
    (re.compile(rf"(?i)\b(\w*{_NAMES}\w*\s*=\s*)(['\"]?)[^\s'\",;&]+\2"), rf"\1{HIDDEN}"),
    (re.compile(rf"(?i)(['\"]\w*{_NAMES}\w*['\"]\s*:\s*)(['\"]).*?\2"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(\w*passw(?:or)?d:\s*)\S+"), rf"\1{HIDDEN}"),
)


def redacted(text: str, secrets: Collection[str] = ()) -> str:
    """The text without these secrets, and without what looks like one."""
    for secret in sorted((value for value in secrets if len(value) >= SHORTEST_SECRET), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text

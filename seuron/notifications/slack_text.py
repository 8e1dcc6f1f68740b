"""Plain text as Slack's markup, and back.

Slack reads `<!channel>`, `<@U1>` and `<url|words>` in texts as mentions and links, so all text of users and data is
escaped, and only this module writes links.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

from seuron.printable import printable

#: Lines around a block of code.
_FENCE = "```"
#: Characters of one message: Slack takes 4,000 in an edit.
LONGEST = 3500
_CALL = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")
_SCHEMES = ("http://", "https://", "mailto:")


def escaped(text: str) -> str:
    """Text that Slack shows as it is, in printable characters."""
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def link(name: str, url: str) -> str:
    """A link; what is no web address, such as a folder, is plain text."""
    if not url.startswith(("http://", "https://")) or re.search(r"[\s<>|]", url):
        return f"{escaped(name)}: {escaped(url)}"
    return f"<{escaped(url)}|{escaped(name).replace('|', '/')}>"


def links_line(links: Mapping[str, str]) -> str:
    """All links in a line."""
    return " · ".join(link(name, url) for name, url in links.items())


def plain(text: str, bot: str = "") -> str:
    """What a user typed, from what Slack made of it; the name of the bot is left out."""
    without = text.replace(f"<@{bot}>", " ") if bot else text
    return html.unescape(_CALL.sub(_typed, without)).strip()


def _typed(found: re.Match[str]) -> str:
    """A link that Slack made by itself has the typed words as its label; one made by hand has its own."""
    target, label = found.group(1), found.group(2)
    if target.startswith(("@", "#", "!")):
        return label or target
    bare = next((target.removeprefix(scheme) for scheme in _SCHEMES if target.startswith(scheme)), target)
    return label if label is not None and label in (bare, bare.rstrip("/")) else target


def cut(text: str, longest: int = LONGEST) -> str:
    """An escaped text that is not too long: whole lines, and a table that was cut is closed."""
    if len(text) <= longest:
        return text
    kept = text[: longest - 20]
    kept = kept[: kept.rfind("\n")] if "\n" in kept else kept[: kept.rfind(" ")] if " " in kept else kept
    if kept.rfind("&") > kept.rfind(";"):  # an escaped character that was cut
        kept = kept[: kept.rfind("&")]
    return kept + (f"\n{_FENCE}" if kept.count(_FENCE) % 2 else "") + "\n(cut)"

"""Telling people how runs end, and what goes wrong meanwhile: Slack, e-mail, webhooks, the log.

settings.py    who is told what, from a typed file
notices.py     what is told: the cause, and what happens next
folding.py     the same cause again within a while is counted, not told
notifiers.py   the ways to tell it
telling.py     all of it together; imported by itself, as it loads what a parse of the DAGs need not
"""

from seuron.notifications.notices import Cause, Event, Notice
from seuron.notifications.settings import FILE_VARIABLE, NotificationSettings, read_notifications, unknown_names

__all__ = [
    "FILE_VARIABLE",
    "Cause",
    "Event",
    "Notice",
    "NotificationSettings",
    "read_notifications",
    "unknown_names",
]

"""Telling people how runs end, and what goes wrong meanwhile: Slack, e-mail, webhooks, the log.

settings.py    who is told what, from a typed file
notices.py     what is told: the cause, and what happens next
folding.py     the same cause again within a while is counted, not told
notifiers.py   the ways to tell it
telling.py     all of it together
"""

from seuron.notifications.notices import Cause, Event, Notice
from seuron.notifications.settings import FILE_VARIABLE, NotificationSettings, read_notifications
from seuron.notifications.telling import tell, tell_end

__all__ = [
    "FILE_VARIABLE",
    "Cause",
    "Event",
    "Notice",
    "NotificationSettings",
    "read_notifications",
    "tell",
    "tell_end",
]

"""Sending a notice to every recipient, and the notices of a run's end and of a try that failed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from seuron.engine.states import RunState
from seuron.errors import SeuronError
from seuron.notifications.deduplication import Deduplicator
from seuron.notifications.notices import Cause, Event, Notice, one_line
from seuron.notifications.notifiers import NOTIFIERS
from seuron.notifications.settings import (
    FILE_VARIABLE,
    NotificationSettings,
    NotifyError,
    Recipient,
    read_notifications,
)
from seuron.redaction import redacted
from seuron.storage.digests import digest_of_data

if TYPE_CHECKING:
    from seuron.client import RunHandle, TaskError

log = logging.getLogger(__name__)

#: States that are notified of, with the event that each is.
ENDS: dict[RunState, Event] = {
    RunState.SUCCEEDED: "succeeded",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "cancelled",
}


def notify(notice: Notice, settings: NotificationSettings | None = None, folder: Path | None = None) -> int:
    """Send a notice to the recipients that want it; returns how many were notified.

    `settings` are by default those of $SEURON_NOTIFICATIONS; `folder` holds what was sent, by default in the
    deployment's state. A recipient that cannot be reached does not keep the others from it: that is only logged.
    """
    known = read_notifications() if settings is None else settings
    deduplicator = Deduplicator(folder or _sent_folder(), known.fold_minutes * 60)
    clean = _clean(notice)
    return sum(_notify_one(recipient, clean, deduplicator) for recipient in known.notify if recipient.wants(clean))


def _notify_one(recipient: Recipient, notice: Notice, deduplicator: Deduplicator) -> bool:
    key = digest_of_data([notice.key, recipient.model_dump(mode="json")])
    repeats = deduplicator.due(key, time.time())
    if repeats is None:
        return False
    try:
        NOTIFIERS[recipient.how](recipient, replace(notice, repeats=repeats))
    except NotifyError as error:
        deduplicator.failed(key, repeats)
        log.warning("%s was not notified of %s: %s", recipient.how, notice.run, error)
        return False
    return True


def notify_end(handle: RunHandle) -> None:
    """Notify of how a run has ended; nothing where no recipients are configured.

    A failure to notify is no fault of who ended the run: it is logged.
    """
    if not os.environ.get(FILE_VARIABLE):
        return
    try:
        notice = end_notice(handle)
        if notice is not None:
            notify(notice)
    except SeuronError as error:
        log.warning("Nobody was notified of %s: %s", handle.name, error)


def end_notice(handle: RunHandle) -> Notice | None:
    """The notice of a run that has ended; None for one that has not, or that a person has paused."""
    status = handle.status(stages=False)
    event = ENDS.get(status.state)
    if event is None:
        return None
    errors = handle.errors() if event == "failed" else []
    links = {"Airflow": handle.url} if handle.url else {}
    words = status.stop or _summary(handle)
    following = _next(event, handle.name)
    return Notice(event, handle.name, handle.output, words, causes_of(errors), following, links, start=handle.id)


def causes_of(errors: Sequence[TaskError]) -> tuple[Cause, ...]:
    """Errors of tasks, each with its reason in one line."""
    return tuple(Cause(error.label, one_line(error.message), error.url) for error in errors)


def retry_notice(run: str, output: str, cause: Cause, tried: int, most: int) -> Notice:
    """A task has failed, and another try follows: `tried` tries of at most `most` are used up."""
    following = f"it is retried automatically, try {tried + 1} of at most {most}"
    return Notice("retry", run, output, causes=(cause,), next=following)


def _next(event: Event, name: str) -> str:
    if event == "succeeded":
        return ""
    does = "fix the cause, then" if event == "failed" else "nothing; to resume it after all,"
    return f"{does} `continue {name}`: it resumes where it was, and what is finished is kept"


def _summary(handle: RunHandle) -> str:
    """The run in sentences; nothing of one that was never prepared."""
    from seuron.client.run_summary import summary_of

    try:
        return summary_of(handle)
    except SeuronError as error:
        log.info("No more is known of %s: %s", handle.name, error)
        return ""


def _clean(notice: Notice) -> Notice:
    """Without secrets, whatever the texts came from."""
    causes = tuple(Cause(redacted(c.task), redacted(c.reason), redacted(c.log)) for c in notice.causes)
    links = {name: redacted(url) for name, url in notice.links.items()}
    return replace(notice, words=redacted(notice.words), causes=causes, links=links)


def _sent_folder() -> Path:
    from seuron.deployment import Home

    return Home.default().folder / "notifications"

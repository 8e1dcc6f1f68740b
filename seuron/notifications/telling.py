"""A notice to everybody who is to have it, and the notices of a run's end and of a try that failed."""

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
from seuron.notifications.folding import Folding
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

#: States that are told of, with the event that each is.
ENDS: dict[RunState, Event] = {
    RunState.SUCCEEDED: "succeeded",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "cancelled",
}


def tell(notice: Notice, settings: NotificationSettings | None = None, folder: Path | None = None) -> int:
    """Tell a notice to those who want it, and give how many were told.

    `settings` are by default those of $SEURON_NOTIFICATIONS; `folder` holds what was told, by default in the
    deployment's state. Who cannot be told is no reason not to tell the others: that is only logged.
    """
    known = read_notifications() if settings is None else settings
    folding = Folding(folder or _told_folder(), known.fold_minutes * 60)
    clean = _clean(notice)
    return sum(_tell_one(recipient, clean, folding) for recipient in known.notify if recipient.wants(clean))


def _tell_one(recipient: Recipient, notice: Notice, folding: Folding) -> bool:
    key = digest_of_data([notice.key, recipient.model_dump(mode="json")])
    repeats = folding.due(key, time.time())
    if repeats is None:
        return False
    try:
        NOTIFIERS[recipient.how](recipient, replace(notice, repeats=repeats))
    except NotifyError as error:
        folding.failed(key, repeats)
        log.warning("%s was not told of %s: %s", recipient.how, notice.run, error)
        return False
    return True


def tell_end(handle: RunHandle) -> None:
    """Tell how a run has ended to those who want it; nothing where nobody is to be told.

    That nobody could be told is no fault of who ended the run: it is logged.
    """
    if not os.environ.get(FILE_VARIABLE):
        return
    try:
        notice = end_notice(handle)
        if notice is not None:
            tell(notice)
    except SeuronError as error:
        log.warning("Nobody was told of %s: %s", handle.name, error)


def end_notice(handle: RunHandle) -> Notice | None:
    """What is to be told of a run that has ended; None for one that has not, or that a person has paused."""
    status = handle.status(stages=False)
    event = ENDS.get(status.state)
    if event is None:
        return None
    errors = handle.errors() if event == "failed" else []
    links = {"Airflow": handle.url} if handle.url else {}
    words = status.stop or _summed_up(handle)
    following = _next(event, handle.name)
    return Notice(event, handle.name, handle.output, words, causes_of(errors), following, links, start=handle.id)


def causes_of(errors: Sequence[TaskError]) -> tuple[Cause, ...]:
    """Errors of tasks, each with its reason in one line."""
    return tuple(Cause(error.label, one_line(error.message), error.url) for error in errors)


def retry_notice(run: str, output: str, cause: Cause, tried: int, most: int) -> Notice:
    """A task has failed, and another try follows: `tried` tries of at most `most` are used up."""
    following = f"it is tried again by itself, try {tried + 1} of at most {most}"
    return Notice("retry", run, output, causes=(cause,), next=following)


def _next(event: Event, name: str) -> str:
    if event == "succeeded":
        return ""
    does = "mend the cause, then" if event == "failed" else "nothing; to go on after all,"
    return f"{does} `continue {name}`: it goes on where it was, and what is finished is kept"


def _summed_up(handle: RunHandle) -> str:
    """The run in sentences; nothing of one that was never prepared."""
    from seuron.commands.closing import closing_of

    try:
        return closing_of(handle)
    except SeuronError as error:
        log.info("No more is known of %s: %s", handle.name, error)
        return ""


def _clean(notice: Notice) -> Notice:
    """Without secrets, whatever the texts came from."""
    causes = tuple(Cause(redacted(c.task), redacted(c.reason), redacted(c.log)) for c in notice.causes)
    links = {name: redacted(url) for name, url in notice.links.items()}
    return replace(notice, words=redacted(notice.words), causes=causes, links=links)


def _told_folder() -> Path:
    from seuron.deployment import Home

    return Home.default().folder / "notifications"

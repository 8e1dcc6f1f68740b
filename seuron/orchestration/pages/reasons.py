"""Why a task failed: the message of the exception that ended it, from its log, read once."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

from airflow.models.taskinstance import TaskInstance
from airflow.utils.log.log_reader import TaskLogReader
from sqlalchemy.orm import Session

from seuron.client import first_reason
from seuron.orchestration.pages.facts import Instance

log = logging.getLogger(__name__)

#: Reasons that are kept; each is some lines of text.
_KEPT = 1000
_known: OrderedDict[tuple[str, int], str] = OrderedDict()


def reason_of(session: Session, instance: Instance) -> str:
    """What ended an instance's last try; empty where its log says nothing, or cannot be read now."""
    key = (instance.id, instance.try_number)
    if key not in _known:
        found = session.get(TaskInstance, instance.id)
        if found is None:
            return ""
        try:
            reason = first_reason(_events(found, instance.try_number)) or ""
        except OSError as error:  # a log server that is away; the page is asked for again soon
            log.warning("The log of %s cannot be read: %s", instance.label, error)
            return ""
        while len(_known) >= _KEPT:
            _known.popitem(last=False)
        _known[key] = reason
    return _known[key]


def _events(instance: TaskInstance, try_number: int) -> list[dict[str, Any]]:
    lines, _ = TaskLogReader().read_log_chunks(instance, try_number, {"end_of_log": False})
    return [line.model_dump(mode="json") for line in lines if hasattr(line, "model_dump")]

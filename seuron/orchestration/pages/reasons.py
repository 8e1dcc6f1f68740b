"""Why a task failed: the message of the exception that ended it, from its log, read once."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

from airflow.models.taskinstance import TaskInstance
from airflow.utils.log.log_reader import TaskLogReader
from sqlalchemy.orm import Session

from seuron.airflow_rest import first_reason
from seuron.orchestration.pages.airflow_rows import TaskInstanceRow

log = logging.getLogger(__name__)

#: Reasons that are cached; each is some lines of text.
MAX_REASONS = 1000
_cache: OrderedDict[tuple[str, int], str] = OrderedDict()


def reason_of(session: Session, instance: TaskInstanceRow) -> str:
    """What ended an instance's last try; empty where its log says nothing, or cannot be read now."""
    key = (instance.id, instance.try_number)
    if key not in _cache:
        found = session.get(TaskInstance, instance.id)
        if found is None:
            return ""
        try:
            reason = first_reason(_events(found, instance.try_number)) or ""
        except OSError as error:  # a log server that is away; the page is asked for again soon
            log.warning("The log of %s cannot be read: %s", instance.label, error)
            return ""
        while len(_cache) >= MAX_REASONS:
            _cache.popitem(last=False)
        _cache[key] = reason
    return _cache[key]


def _events(instance: TaskInstance, try_number: int) -> list[dict[str, Any]]:
    lines, _ = TaskLogReader().read_log_chunks(instance, try_number, {"end_of_log": False})
    return [line.model_dump(mode="json") for line in lines if hasattr(line, "model_dump")]

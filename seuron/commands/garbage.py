"""The command that cleans up after many runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from seuron.commands.answers import Answer, Session
from seuron.commands.argument_types import absolute_path, check_reachable, holds_run, is_path
from seuron.commands.registry import Argument, command
from seuron.errors import NotFoundError, RunError
from seuron.storage import cloud_path, local_folder
from seuron.storage.allowed_paths import check_path

if TYPE_CHECKING:
    from seuron.storage.garbage_collection import Garbage
    from seuron.storage.object_store import Store


@command("gc", aliases=("collect garbage",), permission="run", group="Results")
def gc(
    session: Session,
    store: Annotated[str, Argument("a store, or a run that uses it")],
    *,
    delete: Annotated[bool, Argument("remove it; otherwise it is only counted")] = False,
) -> Answer:
    """Find the tables in a store that no run refers to, and what killed writers left.

    A run refers to all that its tasks have made or may still find unchanged. A run whose folder is gone
    refers to nothing; one that was moved does so again once it has been started from its new place.
    """
    from seuron.storage.garbage_collection import collect, find_garbage

    found = _store(session, store)
    garbage = find_garbage(found)
    _refuse_unseen(session, found, garbage)
    if delete:
        session.progress(Answer(f"removing what no run refers to from {found.path}"))
        garbage = collect(found)
    text = _garbage_text(found, garbage, "removed" if delete else f"`gc {store} {_flag(session)}` removes them")
    return Answer(text, _as_data(found, garbage, removed=delete))


def _store(session: Session, given: str) -> Store:
    """The store at a path, or that of the run which lies there or is called so.

    Raises NotFoundError for a folder that is none: what lies there is not to be taken for leftovers.
    """
    from seuron.engine.run import Run
    from seuron.storage.object_store import Store

    if not is_path(session, given):
        return session.find(given).folder().store
    path = cloud_path(absolute_path(session, given, "store"))
    check_path(path, "output", "store")
    check_reachable(session, path)
    if holds_run(path):
        return Run.open(path).store
    found = Store(path)
    if not found.registered() and next(found.objects(), None) is None:
        raise NotFoundError(f"{path} is no store: no run uses it, and it holds no object; give a store, or a run")
    return found


def _refuse_unseen(session: Session, found: Store, garbage: Garbage) -> None:
    """Raise RunError where a run looks gone because it lies on another machine: all it needs would be unused."""
    unseen = [output for output in garbage.gone if local_folder(output) is not None]
    if unseen and not session.deployment.is_local:
        raise RunError(
            f"{found.path} has runs in {', '.join(unseen[:3])}, which may be on a machine of "
            f"{session.deployment.url} and not on this one; give the command there, where it is seen what they need"
        )


def _flag(session: Session) -> str:
    return "--delete" if session.is_local else "delete"


def _garbage_text(found: Store, garbage: Garbage, done: str) -> str:
    from seuron.reporting.quantities import count, file_size

    unused = f"{count(len(garbage.objects))} unused objects, {file_size(garbage.stored_bytes)}"
    left = f"{count(garbage.partial_files)} leftover files, {file_size(garbage.partial_bytes)}"
    lines = [f"{found.path}: {count(garbage.kept_objects)} objects in use"]
    lines.append(f"{unused}: {done}" if garbage.objects else unused)
    lines += [f"{left}: {done}"] if garbage.partial_files else []
    return "\n".join([*lines, *(f"no run is in {output} any more" for output in garbage.gone)])


def _as_data(found: Store, garbage: Garbage, *, removed: bool) -> dict[str, Any]:
    return {
        "store": found.path,
        "removed": removed,
        "objects": list(garbage.objects),
        "stored_bytes": garbage.stored_bytes,
        "partial_files": garbage.partial_files,
        "partial_bytes": garbage.partial_bytes,
        "gone": list(garbage.gone),
        "kept_objects": garbage.kept_objects,
    }

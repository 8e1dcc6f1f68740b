"""`seuron gc`, which cleans up after many runs."""

from __future__ import annotations

from typing import Annotated

import typer


def gc(
    store: Annotated[str, typer.Argument(help="a store, or the output of a run that uses it", metavar="STORE")],
    delete: Annotated[bool, typer.Option("--delete", help="remove it; otherwise it is only counted")] = False,
) -> None:
    """Find the tables in a store that no run refers to, and what killed writers left.

    A run refers to all that its tasks have made or may still find unchanged. A run whose folder is gone
    refers to nothing; one that was moved does so again once it has been started from its new place.
    """
    from seuron.cli.words import absolute
    from seuron.collecting import collect, find_garbage
    from seuron.reporting.quantities import count, file_size
    from seuron.runs import Run
    from seuron.storage import Storage, cloud_path
    from seuron.store import Store

    path = cloud_path(absolute(store))
    found = Run.open(path).store if Storage(path).get("run.json") is not None else Store(path)
    garbage = collect(found) if delete else find_garbage(found)
    done = "removed" if delete else "to be removed with --delete"
    typer.echo(f"{found.path}: {count(garbage.kept_objects)} objects in use")
    typer.echo(f"{count(len(garbage.objects))} unused objects, {file_size(garbage.stored_bytes)}: {done}")
    if garbage.partial_files:
        typer.echo(f"{count(garbage.partial_files)} leftover files, {file_size(garbage.partial_bytes)}: {done}")
    for output in garbage.gone:
        typer.echo(f"no run is in {output} any more")

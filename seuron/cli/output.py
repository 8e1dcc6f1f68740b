"""The one way from the command line to the terminal."""

from __future__ import annotations

import typer

from seuron.printable import printable


def echo(text: str, *, err: bool = False) -> None:
    """Print a text, to the error output with `err`; characters that act on a terminal are shown instead."""
    typer.echo(printable(text), err=err)

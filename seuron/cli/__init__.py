"""The `seuron` command. What a command calls is loaded when it runs."""

from __future__ import annotations

import sys

from seuron.cli.application import app
from seuron.cli.output import echo
from seuron.printable import print_traceback

__all__ = ["app", "main"]

#: Exit code of Ctrl-C; all others are in seuron.commands.answers.
INTERRUPTED = 130


def main() -> None:
    """Entry point: runs a command; errors of seuron and of the system become a message and an exit code."""
    from seuron.commands.answers import FAILED, code_of
    from seuron.errors import ParameterErrors, SeuronError
    from seuron.storage.system_errors import is_of_system, sentence

    try:
        app()
    except SeuronError as error:
        echo(str(error) if isinstance(error, ParameterErrors) else f"seuron: {error}", err=True)
        sys.exit(code_of(error))
    except OSError as error:
        if not is_of_system(error):
            raise
        print(f"seuron: {sentence(error, str(error.filename or ''))}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        sys.excepthook = print_traceback  # typer has set its own

"""The `seuron` command. Each group of commands has a module; what they call is loaded when they run."""

from __future__ import annotations

import sys

from seuron.cli.application import app

__all__ = ["app", "main"]

#: Exit codes: a run or a command failed; parameters were wrong and nothing was started; Ctrl-C.
FAILED, BAD_PARAMETERS, INTERRUPTED = 1, 2, 130


def main() -> None:
    """Entry point: runs a command, and turns seuron's own errors into a message and an exit code."""
    from seuron.errors import ParameterErrors, SeuronError

    try:
        app()
    except ParameterErrors as error:
        print(error, file=sys.stderr)
        sys.exit(BAD_PARAMETERS)
    except SeuronError as error:
        print(f"seuron: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)

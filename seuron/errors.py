"""The errors a user can meet.

Every message says what was wrong, what was given, what is allowed and what to do next.
`PermanentError` marks faults that a retry cannot fix: the runners do not retry them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class SeuronError(Exception):
    """Base of every error that seuron raises on purpose."""


class PermanentError(SeuronError):
    """A fault that will come back on every try (bad data, bad parameters)."""


class ParameterErrors(PermanentError, ValueError):
    """All that is wrong with a set of parameters, at once."""

    def __init__(self, problems: Sequence[str], what: str = "the parameters") -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        title = "1 problem" if count == 1 else f"{count} problems"
        super().__init__(f"{title} with {what}:\n" + "\n".join(f"  - {problem}" for problem in problems))


class DataError(PermanentError, ValueError):
    """The voxels themselves are wrong: NaN in an affinity map, a missing block."""


class VolumeError(PermanentError):
    """A volume cannot be opened, or is not what the parameters say."""


class RunError(SeuronError):
    """A run cannot be prepared, resumed or finished."""


class StorageError(RunError, OSError):
    """The system does not let a file be read or written: the disk is full, a folder read only. A retry may help."""


class DamagedFileError(PermanentError, RunError):
    """A file does not hold what was written into it: its path, what is wrong with it, and the remedy."""

    def __init__(self, path: str, problem: str, remedy: str) -> None:
        super().__init__(path, problem, remedy)
        self.path, self.problem, self.remedy = path, problem, remedy

    def __str__(self) -> str:
        return f"{self.path} is damaged ({self.problem}); {self.remedy}"


class DamagedTableError(DamagedFileError):
    """A table of a finished task is damaged; the task can make it again."""


class NotFoundError(RunError):
    """There is nothing of that name; the message names what is near."""


class UnreachableError(RunError):
    """A deployment does not answer; it may do so later."""


class RefusedError(RunError):
    """A deployment answers, and does not let this user do that."""


class PathNotAllowedError(PermanentError, RunError):
    """A path lies where the deployment's owner lets nobody read or write."""


class ReplacedRunError(PermanentError, RunError):
    """A task was started for a run that has been started again, with other parameters, since."""


class ComputeError(SeuronError):
    """A provider of machines refused or did not answer; another try may help."""


def did_you_mean(
    name: str, known: Iterable[str], otherwise: str, *, quote: str = "", most: int = 1, cutoff: float = 0.5
) -> str:
    """The end of a message about a name that is not known: names that are near, or else what `otherwise` says."""
    near = get_close_matches(name, list(known), n=most, cutoff=cutoff)
    return f"did you mean {' or '.join(f'{quote}{other}{quote}' for other in near)}?" if near else otherwise

"""Which modules rules may take their predicates from: those that the deployment's owner lists.

$SEURON_PREDICATES has the modules' names, with spaces or commas between. A rule that names another module is refused,
so that whoever writes parameters chooses among the owner's functions and has no code of another place run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seuron.errors import ParameterErrors

if TYPE_CHECKING:
    from abiss_py import Constraint

VARIABLE = "SEURON_PREDICATES"


def predicate_modules() -> frozenset[str]:
    """The modules that rules may name."""
    return frozenset(os.environ.get(VARIABLE, "").replace(",", " ").split())


def with_predicates(rules: Sequence[Constraint]) -> tuple[Constraint, ...]:
    """The rules of a run that is checked or computed, the functions that they name imported.

    Raises ParameterErrors for modules that are not listed, and for what cannot be imported.
    """
    from abiss_py import ArgumentError, import_predicates

    try:
        return import_predicates(rules, predicate_modules())
    except ArgumentError as error:
        allowed = f"the deployment's owner lists the modules that rules may use in ${VARIABLE}"
        raise ParameterErrors([f"`constraints`: {line}; {allowed}" for line in str(error).split("\n")]) from error

"""What the owner of a deployment has set, for tests of runs with rules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def listed_predicates() -> Iterator[None]:
    """The modules that rules may take their predicates from."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SEURON_PREDICATES", "constraint_examples")
        yield

"""How many examples hypothesis tries: few in `make test`, many in `make test-long`."""

from __future__ import annotations

from hypothesis import settings

#: Examples of a test that says nothing about their number.
QUICK, THOROUGH = 25, 250


def register() -> None:
    """Name both profiles and take the quick one; `--hypothesis-profile` takes another.

    No example has a deadline: the first one may compile kernels, and the machine may be busy.
    """
    settings.register_profile("quick", max_examples=QUICK, deadline=None)
    settings.register_profile("thorough", max_examples=THOROUGH, deadline=None)
    settings.load_profile("quick")


def scaled(quick: int) -> int:
    """The number of examples of a test whose examples are expensive: so many in the quick profile, more in others."""
    return max(1, quick * settings().max_examples // QUICK)

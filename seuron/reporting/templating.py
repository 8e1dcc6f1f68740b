"""The templates of the pages, and the words that they write figures with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seuron.reporting import quantities

if TYPE_CHECKING:
    from jinja2 import Environment


def environment() -> Environment:
    """The templates of this package; a name that a template does not get is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("seuron.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        big=quantities.big,
        duration=quantities.duration,
        file_size=quantities.file_size,
        number=quantities.count,
        percent=quantities.percent,
    )
    return made

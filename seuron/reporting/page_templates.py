"""The templates of the pages, and the words that they write figures with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seuron.reporting import quantities

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(package: str) -> Environment:
    """The templates in the folder `templates` of a package and of this one; a name without a value is an error."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("seuron.reporting")]),
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

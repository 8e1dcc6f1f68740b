"""What fields of parameter models are made of: types that forms and shells can send as text, and their description."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field


def _numbers(count: int) -> BeforeValidator:
    """Accept `1,2,3`, `1 2 3` and `[1, 2, 3]` where numbers are wanted: forms and shells send text."""

    def parse(value: Any) -> Any:
        if isinstance(value, str):
            value = value.replace(",", " ").replace("[", " ").replace("]", " ").split()
        if isinstance(value, (list, tuple)) and len(value) != count:
            raise ValueError(f"expected {count} numbers, for example {'1,2,3,4,5,6'[: 2 * count - 1]}")
        return value

    return BeforeValidator(parse)


def none_if_blank(value: Any) -> Any:
    """Web forms send an empty text for a field that was left alone."""
    return None if value is None or (isinstance(value, str) and not value.strip()) else value


def _as_list(value: Any) -> Any:
    """The text `a,b,c`, or nothing, as a list of names."""
    if value is None or isinstance(value, str):
        return [word.strip() for word in (value or "").split(",") if word.strip()]
    return value


Positive = Annotated[int, Field(gt=0)]
Size = Annotated[tuple[Positive, Positive, Positive], _numbers(3)]
Corners = Annotated[tuple[int, int, int, int, int, int] | None, _numbers(6), BeforeValidator(none_if_blank)]
Path = Annotated[str | None, BeforeValidator(none_if_blank)]
Dollars = Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(none_if_blank)]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_list)]


def parameter(default: Any, group: str, help: str, *, unit: str = "", **limits: Any) -> Any:
    """A parameter with what the form, the command line and the docs show of it."""
    return Field(default, description=help, json_schema_extra={"group": group, "unit": unit}, **limits)

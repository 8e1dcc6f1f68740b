"""Predicates of custom rules: which functions they may be, how a named one is imported, and their compilation."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from types import FunctionType
from typing import Any

from abiss_py.errors import ArgumentError
from abiss_py.kernels.constraints import compile_predicates

Predicate = Callable[..., bool]


def refusal(value: Any) -> str:
    """Why a value cannot be a predicate; empty for a function that is written in Python, compiled by numba or not."""
    if isinstance(getattr(value, "py_func", value), FunctionType):
        return ""
    return (
        f"predicate is {value!r}; expected a function written in Python, "
        "which numba can compile: no class, method or built-in function"
    )


def imported(name: str, modules: Collection[str]) -> Predicate:
    """The function of a name, "module:function".

    Raises ArgumentError for another module than these, whatever its import raises, and what is no function of it.
    """
    module, _, attribute = name.partition(":")
    if module not in modules:
        raise ArgumentError(
            f"predicate is {name!r}; the modules that may be imported are {', '.join(sorted(modules)) or 'none'}"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a module may raise anything while it is imported
        raise ArgumentError(
            f"predicate is {name!r}, which cannot be imported ({type(error).__name__}: {error})"
        ) from error
    if reason := refusal(found):
        raise ArgumentError(f"{name!r}: {reason}")
    origin = getattr(found, "py_func", found).__module__
    if origin not in modules:
        raise ArgumentError(
            f"predicate is {name!r}, a function of the module {origin!r}; the modules that may be imported are "
            f"{', '.join(sorted(modules))}"
        )
    function: Predicate = found
    return function


def compiled(functions: Mapping[str, Predicate]) -> Any:
    """The functions of rules, by the rules' names, as one predicate (`kernels.constraints.compile_predicates`).

    Raises ArgumentError that names the rules whose functions cannot be compiled, a line for each.
    """
    try:
        return compile_predicates(tuple(functions.values()))
    except ArgumentError as error:
        problems = [f"the custom rule {name!r}: {reason}" for name, reason in _reasons(functions)]
        raise ArgumentError("\n".join(problems) or str(error)) from error


def _reasons(functions: Mapping[str, Predicate]) -> list[tuple[str, str]]:
    """The rules whose functions cannot be compiled, each with its reason."""
    found = []
    for name, function in functions.items():
        try:
            compile_predicates((function,))
        except ArgumentError as error:
            found.append((name, str(error)))
    return found

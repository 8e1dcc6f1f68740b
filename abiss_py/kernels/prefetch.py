"""Hints to the processor which memory will be read soon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

#: Arguments of LLVM's prefetch: for reading, to be kept in all caches, data.
READ, KEEP, DATA = 0, 3, 1


def prefetch(array: Any, index: Any) -> None:
    """Have `array[index]` fetched into the cache, without waiting for it; outside of compiled code, nothing.

    `array` is flat. Nothing is read, so a wrong index does no harm.
    """


@intrinsic
def _fetched(typingctx: Any, array: Any, index: Any) -> Any:  # pragma: no cover - runs in the compiler
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        pointer = builder.bitcast(builder.gep(data, [values[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        builder.call(function, [pointer, number(READ), number(KEEP), number(DATA)])
        return context.get_dummy_value()

    return types.void(array, index), generate


@overload(prefetch, inline="always")
def _compiled(array: Any, index: Any) -> Callable[..., None]:  # pragma: no cover - runs in the compiler
    def fetch(array: Any, index: Any) -> None:
        _fetched(array, index)  # type: ignore[call-arg]  # numba gives the first one

    return fetch

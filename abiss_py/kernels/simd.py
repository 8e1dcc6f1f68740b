"""Sixteen voxels, eight keys, or a whole box at once: steps that numba's compiler does not find by itself.

Each is a few of LLVM's portable vector operations. The bodies say the same in Python: they are what runs without
compiling, and what is compiled for processors that have no instruction for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba.core import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

#: How many places `note_marked` looks at: what it reads and writes has room for so many.
LANES = 16
#: How many keys `raise_to_top` looks at.
KEYS = 8
#: Numbers of a label's corners: the low one, the high one as negative numbers, each with an unused fourth.
CORNERS = 8
#: Corners of a box that holds nothing.
NOTHING = 2**31 - 1

NUMBER, LONG = ir.IntType(32), ir.IntType(64)


def note_marked(marks: NDArray[Any], bit: Any, at: Any, places: NDArray[Any], end: Any) -> Any:
    """Write those of the places `at`, `at + 1`, ... that have a bit in `marks` (uint8) to `places[end:]` (uint32).

    Looks at LANES places; returns the new end. What lies behind it in `places`, up to `end + LANES`, may change.
    """
    for place in range(int(at), int(at) + LANES):
        places[end] = place
        end = end + np.uint64((marks[place] & bit) != 0)
    return end


def raise_to_top(keys: NDArray[Any], at: Any, top: Any) -> Any:
    """Let KEYS keys (int64) from `at` be no smaller than any before them, nor than `top`; returns the last."""
    for place in range(int(at), int(at) + KEYS):
        top = keys[place] = max(top, keys[place])
    return top


def enlarge(corners: NDArray[Any], label: Any, begin: Any, end: Any, y: Any, z: Any) -> None:
    """Let a label's box hold the voxels from `begin` up to `end` of a row; `corners` (int32) has CORNERS for each."""
    first = CORNERS * int(label)
    for place, number in enumerate((begin, y, z, 0, -end, -y - 1, -z - 1, 0), first):
        corners[place] = min(corners[place], number)


def _lanes(context: Any, builder: Any, kind: Any, array: Any, index: Any, count: int) -> Any:
    """A pointer to `count` entries of a flat array."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), ir.VectorType(data.type.pointee, count).as_pointer())


def _all(vector: Any, numbers: Sequence[int]) -> Any:
    return ir.Constant(vector, list(numbers))


def _splat(builder: Any, value: Any, count: int) -> Any:
    vector = ir.VectorType(value.type, count)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, NUMBER(0))
    return builder.shuffle_vector(
        one, ir.Constant(vector, ir.Undefined), _all(ir.VectorType(NUMBER, count), [0] * count)
    )


def _call(builder: Any, name: str, result: Any, arguments: Sequence[Any]) -> Any:
    """Call one of LLVM's own functions."""
    module = builder.module
    function = module.globals.get(name)
    if function is None:
        function = ir.Function(module, ir.FunctionType(result, [argument.type for argument in arguments]), name)
    return builder.call(function, list(arguments))


# What follows runs in the compiler.


@intrinsic
def _note_marked(typing: Any, marks: Any, bit: Any, at: Any, places: Any, end: Any) -> Any:  # pragma: no cover
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        marks, bit, at, places, end = values
        here = builder.load(_lanes(context, builder, signature.args[0], marks, at, LANES), align=1)
        bits = _splat(builder, bit, LANES)
        chosen = builder.icmp_unsigned("!=", builder.and_(here, bits), _all(here.type, [0] * LANES))
        numbers = ir.VectorType(NUMBER, LANES)
        candidates = builder.add(_splat(builder, builder.trunc(at, NUMBER), LANES), _all(numbers, range(LANES)))
        name = f"llvm.experimental.vector.compress.v{LANES}i32"
        packed = _call(builder, name, numbers, [candidates, chosen, ir.Constant(numbers, ir.Undefined)])
        builder.store(packed, _lanes(context, builder, signature.args[3], places, end, LANES), align=1)
        return builder.add(end, builder.zext(builder.ctpop(builder.bitcast(chosen, ir.IntType(LANES))), LONG))

    return types.uint64(marks, types.uint8, types.uint64, places, types.uint64), generate


@intrinsic
def _raise_to_top(typing: Any, keys: Any, at: Any, top: Any) -> Any:  # pragma: no cover
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        keys, at, top = values
        lanes = ir.VectorType(NUMBER, KEYS)
        place = _lanes(context, builder, signature.args[0], keys, at, KEYS)
        found = builder.load(place, align=1)
        nothing = _all(found.type, [0] * KEYS)
        name = f"llvm.smax.v{KEYS}i64"
        for step in (1, 2, 4):
            before = builder.shuffle_vector(found, nothing, _all(lanes, [KEYS] * step + list(range(KEYS - step))))
            found = _call(builder, name, found.type, [found, before])
        found = _call(builder, name, found.type, [found, _splat(builder, top, KEYS)])
        builder.store(found, place, align=1)
        return builder.extract_element(found, NUMBER(KEYS - 1))

    return types.int64(keys, types.uint64, types.int64), generate


@intrinsic
def _enlarge(typing: Any, corners: Any, label: Any, begin: Any, end: Any, y: Any, z: Any) -> Any:  # pragma: no cover
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        corners, label, begin, end, y, z = values
        first = builder.mul(label, LONG(CORNERS))
        place = _lanes(context, builder, signature.args[0], corners, first, CORNERS)
        run = _all(ir.VectorType(NUMBER, CORNERS), [0] * CORNERS)
        # Minima of negative numbers are maxima; ~y is -(y + 1), the place behind.
        parts = {0: begin, 1: y, 2: z, 4: builder.neg(end), 5: builder.not_(y), 6: builder.not_(z)}
        for lane, number in parts.items():
            run = builder.insert_element(run, number, NUMBER(lane))
        known = builder.load(place, align=4)
        builder.store(_call(builder, f"llvm.smin.v{CORNERS}i32", known.type, [known, run]), place, align=4)
        return context.get_dummy_value()

    return types.void(corners, types.uint64, types.int32, types.int32, types.int32, types.int32), generate


@overload(note_marked, inline="always")
def _compiled_note_marked(
    marks: NDArray[Any], bit: Any, at: Any, places: NDArray[Any], end: Any
) -> Any:  # pragma: no cover
    if not binding.get_host_cpu_features().get("avx512f"):
        return note_marked  # Packing a vector would be done number by number, in more steps than this.

    def note(marks: NDArray[Any], bit: Any, at: Any, places: NDArray[Any], end: Any) -> Any:
        return _note_marked(marks, bit, at, places, end)  # type: ignore[call-arg]  # numba gives the first one

    return note


@overload(raise_to_top, inline="always")
def _compiled_raise_to_top(keys: NDArray[Any], at: Any, top: Any) -> Any:  # pragma: no cover
    def raise_(keys: NDArray[Any], at: Any, top: Any) -> Any:
        return _raise_to_top(keys, at, top)  # type: ignore[call-arg]

    return raise_


@overload(enlarge, inline="always")
def _compiled_enlarge(
    corners: NDArray[Any], label: Any, begin: Any, end: Any, y: Any, z: Any
) -> Any:  # pragma: no cover
    def enlarge_(corners: NDArray[Any], label: Any, begin: Any, end: Any, y: Any, z: Any) -> None:
        _enlarge(corners, label, begin, end, y, z)  # type: ignore[call-arg]

    return enlarge_

"""Vector operations say the same as their bodies in Python, which run where nothing is compiled."""

from __future__ import annotations

import numba
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from abiss_py.kernels import simd

#: As it is compiled for this processor, and for one that cannot pack a vector.
NOTING = (
    numba.njit(lambda marks, bit, at, places, end: simd.note_marked(marks, bit, at, places, end)),
    numba.njit(simd.note_marked),
)
raise_to_top, enlarge = (
    numba.njit(lambda keys, at, top: simd.raise_to_top(keys, at, top)),
    numba.njit(lambda corners, label, begin, end, y, z: simd.enlarge(corners, label, begin, end, y, z)),
)


@given(
    marks=st.lists(st.integers(0, 15), min_size=20, max_size=40),
    bit=st.sampled_from([1, 2, 4, 8]),
    at=st.integers(0, 4),
    end=st.integers(0, 5),
)
def test_marked_places_are_noted_in_their_order(marks: list[int], bit: int, at: int, end: int) -> None:
    given_marks, chosen = np.array(marks, np.uint8), [p for p in range(at, at + simd.LANES) if marks[p] & bit]
    for note in (*NOTING, simd.note_marked):
        places = np.full(simd.LANES + 8, 99, np.uint32)
        last = note(given_marks, np.uint8(bit), np.uint64(at), places, np.uint64(end))
        assert places[end:last].tolist() == chosen
        assert (places[:end] == 99).all()


@given(
    keys=st.lists(st.integers(0, 2**62), min_size=10, max_size=20),
    at=st.integers(0, 2),
    top=st.integers(0, 2**62),
)
def test_keys_become_running_maxima(keys: list[int], at: int, top: int) -> None:
    found, twin = np.array(keys), np.array(keys)
    assert raise_to_top(found, at, top) == simd.raise_to_top(twin, at, top)
    raised = np.maximum.accumulate([top, *keys[at : at + simd.KEYS]])[1:]
    assert found.tolist() == twin.tolist() == [*keys[:at], *raised.tolist(), *keys[at + simd.KEYS :]]


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 99), st.integers(1, 9), st.integers(0, 99), st.integers(0, 99)),
        max_size=9,
    )
)
def test_boxes_hold_their_runs_and_no_more(runs: list[tuple[int, int, int, int, int]]) -> None:
    found, twin = np.full((2, 3 * simd.CORNERS), simd.NOTHING, np.int32)
    for label, begin, length, y, z in runs:
        enlarge(found, label, begin, begin + length, y, z)
        simd.enlarge(twin, label, begin, begin + length, y, z)
    assert found.tolist() == twin.tolist()
    for label in {run[0] for run in runs}:
        own = np.array([run[1:] for run in runs if run[0] == label])
        corners = found[label * simd.CORNERS :][: simd.CORNERS].reshape(2, 4)[:, :3]
        assert corners[0].tolist() == own[:, [0, 2, 3]].min(axis=0).tolist()
        ends = np.stack([own[:, 0] + own[:, 1], own[:, 2] + 1, own[:, 3] + 1], axis=1)
        assert (-corners[1]).tolist() == ends.max(axis=0).tolist()

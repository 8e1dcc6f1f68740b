"""Looking ids up, by hash or by halves, renaming and sorting."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from abiss_py import relabel
from abiss_py.contacts import Contacts
from abiss_py.relabel import Mapping, Positions, roots

IDS = st.integers(1, 2**62)
#: More ids are looked for than there are, so through the hash table, or so few that it does not pay.
TIMES = st.sampled_from([1, 6 * relabel.FEW])


@given(st.dictionaries(IDS, st.integers(0, 2**62), min_size=1), st.lists(IDS, min_size=1), TIMES)
def test_ids_follow_their_mapping(names: dict[int, int], others: list[int], times: int) -> None:
    mapping = Mapping.of(np.array(list(names)), np.array(list(names.values())))
    wanted = (list(names)[:1] + others) * times
    assert mapping.follow(np.array(wanted)).tolist() == [names.get(i, i) for i in wanted]
    assert mapping.follow(np.array(wanted, np.uint64)).tolist() == [names.get(i, i) for i in wanted]
    pairs = np.array([wanted, wanted[::-1]])
    assert mapping.follow(pairs.T).tolist() == [[names.get(i, i) for i in pair] for pair in pairs.T.tolist()]


@given(st.sets(IDS, min_size=1, max_size=60), st.data(), TIMES)
def test_positions_are_those_in_the_list(ids: set[int], data: st.DataObject, times: int) -> None:
    keys = sorted(ids)
    positions = Positions(np.array(keys))
    for repeats in (times, 1):  # the second time there may be a table already
        wanted = data.draw(st.lists(st.sampled_from(keys), min_size=1, max_size=3)) * repeats
        assert positions(np.array(wanted)).tolist() == [keys.index(i) for i in wanted]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30), st.randoms())
def test_roots_are_at_the_end_of_every_path(above: list[int], random: Random) -> None:
    """In whatever order members were joined: a root need not be the smallest."""
    names = list(range(len(above)))
    random.shuffle(names)
    parent = np.zeros(len(above), np.uint32)
    for i, j in enumerate(above):
        parent[names[i]] = names[min(i, j)]
    before = parent.tolist()

    def root(member: int) -> int:
        return member if before[member] == member else root(before[member])

    assert roots(parent).tolist() == [root(member) for member in range(len(above))]
    assert parent.tolist() == before


ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2, 3, 2**40, 2**61]),
        st.sampled_from([0, 1, 2, 3, 2**40, 2**61]),
        st.integers(0, 9),
        st.integers(1, 9),
        st.integers(0, 99),
    ),
    max_size=12,
)


@given(ROWS)
def test_renamed_contacts_are_summed_and_sorted(rows: list[tuple[int, int, int, int, int]]) -> None:
    columns = np.array(rows, np.int64).reshape(-1, 5).T
    table = Contacts(*columns).renamed(columns[0], columns[1])
    twin: dict[tuple[int, int], list[int]] = {}
    for a, b, total, count, first in rows:
        low, high = min(a, b), max(a, b)
        if low not in (0, high):
            row = twin.setdefault((low, high), [0, 0, first])
            row[0], row[1], row[2] = row[0] + total, row[1] + count, min(row[2], first)
    found = zip(*(getattr(table, name).tolist() for name in ("a", "b", "total", "count", "first")), strict=True)
    assert list(found) == [(*pair, *row) for pair, row in sorted(twin.items())]

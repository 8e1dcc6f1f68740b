"""The plan of changes: a pure function of what should be there and what is."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from seuron.cluster.resource_plan import (
    LASTING,
    ORDER,
    Change,
    Found,
    Resource,
    mark,
    plan_changes,
    plan_removal,
    read_mark,
)

RESOURCES = st.builds(
    Resource,
    kind=st.sampled_from(ORDER),
    name=st.sampled_from(["a", "b"]),
    location=st.sampled_from(["", "zone-a"]),
    body=st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 2)),
)


def unlike(item: Resource) -> tuple[str, str, str]:
    return item.kind, item.name, item.location


def group(item: Resource) -> Resource:
    """Only groups have templates and sizes."""
    return replace(item, template="t1", size=2) if item.kind == "group" else item


DESIRED = st.lists(RESOURCES.map(group), unique_by=unlike, max_size=6)


def as_found(item: Resource) -> Found:
    return Found(item.kind, item.name, item.location, item.digest, item.template, item.size)


FOUND = st.lists(
    st.builds(
        lambda item, template, size: replace(
            as_found(item), **({"template": template, "size": size} if item.kind == "group" else {})
        ),
        RESOURCES,
        st.sampled_from(["t1", "t2"]),
        st.integers(0, 4),
    ),
    unique_by=lambda item: (item.kind, item.name, item.location),
    max_size=6,
)


def done(found: list[Found], changes: tuple[Change, ...]) -> list[Found]:
    """What is there once a plan is carried out, by the plainest reading of its actions."""
    there = {(item.kind, item.name, item.location): item for item in found}
    for change in changes:
        key = (change.kind, change.name, change.location)
        if change.action == "delete":
            del there[key]
        elif change.action in ("create", "replace"):
            assert change.resource is not None
            assert change.action == "replace" or key not in there
            there[key] = as_found(change.resource)
        elif change.action in ("update", "resize"):
            assert change.resource is not None
            wanted = as_found(change.resource)
            there[key] = replace(wanted, size=max(wanted.size, there[key].size))
    return list(there.values())


@given(DESIRED, FOUND)
def test_a_plan_that_is_done_leaves_nothing_to_do(desired: list[Resource], found: list[Found]) -> None:
    """Planning again after a plan was done finds nothing to do, and no disk was ever removed for it."""
    changes = plan_changes(desired, found)
    assert {change.action for change in plan_changes(desired, done(found, changes))} <= {"keep"}
    assert not [change for change in changes if change.kind == "disk" and change.action in ("delete", "replace")]
    assert not [change for change in changes if change.kind in LASTING and change.action == "replace"]


@given(DESIRED, FOUND)
def test_changes_come_in_the_order_of_needs(desired: list[Resource], found: list[Found]) -> None:
    """What others need is made before them, and removed after them and after all that is made."""
    changes = plan_changes(desired, found)
    wanted = {unlike(item) for item in desired}
    made = [change for change in changes if (change.kind, change.name, change.location) in wanted]
    gone = changes[len(made) :]
    assert [ORDER.index(change.kind) for change in made] == sorted(ORDER.index(change.kind) for change in made)
    positions = [ORDER.index(change.kind) for change in gone]
    assert positions == sorted(positions, reverse=True)
    assert {change.action for change in gone} <= {"delete", "keep"}


@given(FOUND)
def test_removal_takes_everything_along(found: list[Found]) -> None:
    """Removing a cluster leaves nothing, disks neither."""
    changes = plan_removal(found)
    assert sorted(change.name for change in changes) == sorted(item.name for item in found)
    assert not done(found, changes)


@given(DESIRED)
def test_a_cut_off_creation_is_taken_up(desired: list[Resource]) -> None:
    """After any first part of a plan, the next plan is exactly the rest."""
    whole = plan_changes(desired, [])
    for count in range(len(whole) + 1):
        there = done([], whole[:count])
        rest = [change for change in plan_changes(desired, there) if change.action != "keep"]
        assert rest == list(whole[count:])


@given(st.from_regex(r"[a-z]([-a-z0-9]{0,18}[a-z0-9])?", fullmatch=True), st.from_regex(r"[0-9a-f]{8}", fullmatch=True))
def test_a_mark_is_read_as_it_was_written(cluster: str, digest: str) -> None:
    """The mark is how a cluster knows its own; text of others bears none."""
    assert read_mark(mark(cluster, digest)) == (cluster, digest)
    assert read_mark(f"about {mark(cluster, digest)}") is None

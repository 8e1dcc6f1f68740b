"""Versions in an object store, where readers are redirected: a small S3, and real cloud-files and CloudVolume."""

from __future__ import annotations

import json
from uuid import uuid4

import numpy as np
import pytest
from chaos.object_store import ObjectStore

from seuron.box import Box
from seuron.datasets.drafts import make_draft
from seuron.datasets.versions import PublishedVersions
from seuron.storage import Storage, join
from seuron.volumes import create_volume, open_volume

BOX = Box((0, 0, 0), (32, 32, 32))


@pytest.fixture
def published(store: ObjectStore) -> PublishedVersions:
    return PublishedVersions(store.url("bucket", uuid4().hex, "published"))


def write(published: PublishedVersions, number: int, value: int) -> None:
    """A version whose layers are full of a value."""
    for name in ("segmentation", "supervoxels"):
        path = join(published.folder(number), name)
        volume = create_volume(path, BOX, (8, 8, 8), dtype="uint64", kind="segmentation", block_size=(16, 16, 16))
        volume.write(BOX, np.full((*BOX.shape, 1), value, np.uint64, order="F"))
    Storage(published.folder(number)).put("run.json", json.dumps(value).encode())


def value_at(path: str) -> int:
    """What all voxels of a layer are."""
    (value,) = np.unique(open_volume(path).read(BOX))
    return int(value)


def test_readers_are_redirected_to_a_whole_version(published: PublishedVersions) -> None:
    """The same path leads to the new version once it is published; who has a volume open keeps the old one."""
    write(published, 1, 5)
    published.publish(1, "a", [])
    path = join(published.path, "current", "segmentation")
    assert value_at(path) == 5
    opened = open_volume(path)
    half = Box((0, 0, 0), (16, 32, 32))
    assert (opened.read(half) == 5).all()
    write(published, 2, 6)
    assert value_at(path) == 5
    published.publish(2, "b", [])
    assert (opened.read(BOX) == 5).all()
    assert value_at(path) == 6
    assert value_at(join(published.path, "current", "supervoxels")) == 6
    published.rollback()
    assert value_at(path) == 5


def test_a_draft_is_a_copy_that_can_change(published: PublishedVersions) -> None:
    """A draft holds the bytes of its base; what is written into it leaves the base as it was."""
    write(published, 1, 5)
    Storage(published.folder(1)).put("locks/task.json", b"{}")
    published.publish(1, "a", [])
    folder = Storage(make_draft(published, 2, 1))
    base = Storage(published.folder(1))
    names = [name for name in base.every_name() if name != "locks/task.json"]
    assert folder.every_name() == names
    assert all(folder.stored(name) == base.stored(name) for name in names)
    open_volume(join(folder.path, "segmentation")).write(BOX, np.full((*BOX.shape, 1), 9, np.uint64, order="F"))
    assert value_at(join(folder.path, "segmentation")) == 9
    assert value_at(join(base.path, "segmentation")) == 5


def test_old_versions_are_removed(published: PublishedVersions) -> None:
    """A version that is not kept leaves nothing behind."""
    for number in (1, 2, 3):
        write(published, number, number)
        published.publish(number, str(number), [])
    removed, _ = published.prune(1)
    assert removed == [1]
    assert Storage(published.folder(1)).every_name() == []
    assert value_at(join(published.path, "current", "segmentation")) == 3

"""What tasks need, before they run: seconds of a core and bytes of memory, from measured rates.

docs/scaling.md has the measurements of what goes up an octree, docs/performance.md those of rates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from seuron.box import Box, Triple
from seuron.engine.plan import BASE_BYTES, Estimate

#: Mvox/s of a core, and bytes at most for a voxel that is held at once, by the task records of FIB-25 and
#: the demonstration (docs/performance.md).
RATES: dict[str, tuple[float, int]] = {
    "watershed": (6.0, 40),
    "remap_supervoxels": (300.0, 1),
    "agglomeration": (30.0, 4),
    "remap_segments": (300.0, 1),
    "edits": (300.0, 1),
    "labels": (15.0, 16),
    "evaluation": (40.0, 40),
}
#: Bytes that a task needs for each contact that it agglomerates or pools, and for each id that is open; and, where
#: there are rules, for each number that there is of a cluster: three copies, while clusters are summed.
BYTES_PER_CONTACT = 230
BYTES_PER_OPEN_ID = 64
BYTES_PER_RULE_COLUMN = 24
#: Bytes and seconds that a merge of the watershed needs for each cluster that is open.
BYTES_PER_CLUSTER = 230
SECONDS_PER_CLUSTER = 2e-6
#: Bytes of a cluster's old and new name.
BYTES_PER_NAME = 16
#: Bytes of a voxel at a face: id, affinity, whether it is joined.
BYTES_PER_FACE_VOXEL = 13
#: Clusters of the watershed that a leaf leaves undecided, and contacts of the agglomeration that any box
#: does, for each voxel of its faces; clusters that are undecided behind the seams, for each voxel of
#: `seam_lines`, and behind the lines, for each of `leaves_at_faces`.
CLUSTERS_PER_FACE_VOXEL = 0.47
CONTACTS_PER_FACE_VOXEL = 0.19
CLUSTERS_PER_LINE_VOXEL = 0.6
CLUSTERS_PER_LEAF = 100


def of_voxels(stage: str, tier: int, box: Box, held: int) -> Estimate:
    """For a task that goes through the voxels of a box, `held` of them at once at most."""
    rate, bytes_per_voxel = RATES[stage]
    return Estimate.of_voxels(box, rate if tier == 0 else 10 * rate, bytes_per_voxel, held)  # later tiers see tables


def of_watershed_leaf(box: Box, chunk: Triple) -> Estimate:
    """A leaf holds one chunk, what is undecided at its own faces, and the names at those of its chunks."""
    held = Box.from_shape((0, 0, 0), chunk)
    inside = math.prod(box.grid_shape(chunk)) * face_area(held) * CLUSTERS_PER_FACE_VOXEL
    at_faces = face_area(box) * (BYTES_PER_FACE_VOXEL + CLUSTERS_PER_FACE_VOXEL * BYTES_PER_CLUSTER)
    seconds, memory = of_voxels("watershed", 0, box, held.voxels)
    return Estimate(seconds, int(memory + inside * BYTES_PER_NAME + at_faces))


def of_agglomeration_leaf(box: Box, chunk: Triple, task_memory: float) -> Estimate:
    """A leaf holds the contacts of its box as far as they fit, and of one chunk at least."""
    seconds, memory = of_voxels("agglomeration", 0, box, box.voxels)
    least = of_voxels("agglomeration", 0, box, math.prod(chunk)).memory_bytes
    return Estimate(seconds, max(least, min(int(task_memory * 2**30), memory)))


def of_seams(leaf: Box) -> Estimate:
    """Closing the seams at a leaf's low faces, one at a time."""
    x, y, z = leaf.shape
    sides = [2 * area for area in (y * z, x * z, x * y)]
    bytes_per_voxel = BYTES_PER_FACE_VOXEL + CLUSTERS_PER_FACE_VOXEL * BYTES_PER_CLUSTER
    return Estimate(_seconds_of(sum(sides) * CLUSTERS_PER_FACE_VOXEL), int(BASE_BYTES + max(sides) * bytes_per_voxel))


def of_lines(leaf: Box) -> Estimate:
    """Closing what is open around the lines where seams meet, at a leaf's low edges."""
    return _of_clusters(seam_lines(leaf, leaf.shape) * CLUSTERS_PER_LINE_VOXEL)


def of_watershed_merge(parts: Iterable[Box], leaf: Triple, lines_are_closed: bool) -> Estimate:
    """Joining what is open in several boxes, whose seams, or seams and lines, are closed."""
    if lines_are_closed:
        return _of_clusters(sum(leaves_at_faces(part, leaf) for part in parts) * CLUSTERS_PER_LEAF)
    return _of_clusters(sum(seam_lines(part, leaf) for part in parts) * CLUSTERS_PER_LINE_VOXEL)


def of_agglomeration_merge(parts: Iterable[Box], task_memory: float) -> Estimate:
    """Deciding contacts that wait in several boxes, as far as they fit with the ids at their faces."""
    boxes = list(parts)
    contacts, open_ids = contacts_waiting(boxes), sum(map(face_area, boxes)) * CLUSTERS_PER_FACE_VOXEL
    memory = BASE_BYTES + contacts * BYTES_PER_CONTACT + open_ids * BYTES_PER_OPEN_ID
    return Estimate(_seconds_of(contacts), int(min(task_memory * 2**30, memory)))


def contacts_waiting(parts: Iterable[Box]) -> float:
    """The contacts that boxes leave undecided."""
    return sum(face_area(part) for part in parts) * CONTACTS_PER_FACE_VOXEL


def contacts_that_fit(task_memory: float, rule_columns: int = 0) -> int:
    """How many contacts a task of that memory (GiB) may hold, with the clusters at their ends.

    These are no more than the contacts, as what a task agglomerates apart from all else hangs together.
    """
    return max(1, _room(task_memory) // (BYTES_PER_CONTACT + rule_columns * BYTES_PER_RULE_COLUMN))


def fits(task_memory: float, contacts: int, open_ids: int, rule_columns: int = 0) -> bool:
    """Whether a task of that memory (GiB) may hold contacts and the ids that are open, with what rules look at."""
    each = BYTES_PER_OPEN_ID + rule_columns * BYTES_PER_RULE_COLUMN
    return contacts * BYTES_PER_CONTACT + open_ids * each <= _room(task_memory)


def _room(task_memory: float) -> int:
    return int(task_memory * 2**30 - BASE_BYTES)


def face_area(box: Box) -> int:
    """The voxels of a box's six faces."""
    x, y, z = box.shape
    return 2 * (x * y + y * z + x * z)


def seam_lines(box: Box, leaf: Triple) -> int:
    """The voxels of the outlines of all leaves' faces that lie in a box's six faces.

    Once the seams between leaves are closed, what is open lies where leaves meet in a line.
    """
    sides = list(zip(box.shape, leaf, strict=True))
    pairs = ((sides[a], sides[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    return sum(4 * (width * -(-height // h) + height * -(-width // w)) for (width, w), (height, h) in pairs)


def leaves_at_faces(box: Box, leaf: Triple) -> int:
    """The leaves of a box that lie at its six faces, those at several counted once for each.

    Once lines are closed as well, what is open lies around the corners of leaves.
    """
    x, y, z = box.grid_shape(leaf)
    return 2 * (x * y + y * z + x * z)


def _of_clusters(clusters: float) -> Estimate:
    return Estimate(_seconds_of(clusters), int(BASE_BYTES + clusters * BYTES_PER_CLUSTER))


def _seconds_of(rows: float) -> float:
    return round(rows * SECONDS_PER_CLUSTER, 3)

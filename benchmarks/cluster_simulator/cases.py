"""The cluster and the workloads on which policies are compared.

Prices are round figures of the order that a large provider asked in 2025: what matters is their ratios.
A slot is a processor core with its memory, or a whole GPU.
"""

from __future__ import annotations

from collections.abc import Sequence

from seuron.box import Box
from seuron.cluster.groups import Group
from seuron.engine.queues import MANAGER, QueueCapacity, assign
from seuron.engine.run import make_plan
from seuron.params import parse_parameters
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.facts import VolumeFacts
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.stages.predict.cells import choose_cell
from seuron.pipelines.stages.predict.facts import PredictionFacts

from .work import Workload, workload_of

GIB = 2**30
ZONES = ("zone-a", "zone-b", "zone-c")
#: How many times as fast as the one core of the plan's rates a GPU runs the net: a guess, on the low side.
SPEED = {"gpu": 50.0}


def cluster(largest: int = 100) -> tuple[Group, ...]:
    """Spot groups in three zones for each queue, and on-demand ones; `largest` is the most of a cpu group."""
    groups = []
    for place, zone in enumerate(ZONES):
        # The same machine costs a little more from zone to zone, so that the order is no accident.
        dearer = 1 + 0.02 * place
        groups.append(Group(f"cpu-spot-{zone}", "cpu", zone, 8, 4 * GIB, largest, 0.12 * dearer, spot=True))
        groups.append(Group(f"memory-spot-{zone}", "memory", zone, 4, 32 * GIB, 20, 0.30 * dearer, spot=True))
        groups.append(Group(f"gpu-spot-{zone}", "gpu", zone, 1, 16 * GIB, 20, 0.30 * dearer, spot=True, gpus=1))
    zone = ZONES[0]
    groups.append(Group("cpu-on-demand", "cpu", zone, 8, 4 * GIB, largest, 0.40))
    groups.append(Group("memory-on-demand", "memory", zone, 4, 32 * GIB, 20, 1.05))
    groups.append(Group("gpu-on-demand", "gpu", zone, 1, 16 * GIB, 20, 0.85, gpus=1))
    return tuple(groups)


def offers(groups: Sequence[Group]) -> list[QueueCapacity]:
    """What a slot of each of the groups has, and of the manager, whose tasks no group does."""
    return [
        QueueCapacity(MANAGER, 0),
        *(QueueCapacity(group.queue, group.memory_bytes, group.gpus) for group in groups),
    ]


def cube(name: str, batches: int, batch_chunks: int, *, image: bool = False, chunk: int = 256) -> Workload:
    """The workload of a cube of `batches`^3 leaf batches, of `batch_chunks`^3 chunks of `chunk`^3 voxels each."""
    side = batches * batch_chunks * chunk
    source = {"image": "image"} if image else {"affinities": "affinities"}
    chunks = {"chunk_size": (chunk, chunk, chunk), "batch_chunks": batch_chunks, "task_memory": 16.0}
    params = parse_parameters(SegmentationParams, {**source, **chunks, "output": "run"})
    box = Box((0, 0, 0), (side, side, side))
    layers = {"affinities": 7, "supervoxels": 7, "segmentation": 7}
    facts = VolumeFacts(box, (8.0, 8.0, 40.0), "uint8", layers, _net(params, box) if image else None)
    plan = make_plan(PIPELINE, params, facts)
    return workload_of(name, plan, assign(plan, offers(cluster())), SPEED)


def _net(params: SegmentationParams, box: Box) -> PredictionFacts:
    """How the shipped net would be run."""
    return PredictionFacts(
        image=box,
        cell=choose_cell(params.chunk_size, params.block_size, box),
        origin=box.minimum,
        net="boundary-fib25",
        engine="torch",
        precision="fp32",
        patch_size=(96, 96, 96),
        patch_overlap=(16, 16, 16),
        patch_margin=(0, 0, 0),
        outputs={"affinities": (0, 1, 2)},
    )


def small() -> Workload:
    """64 leaf batches, of 2x2x2 chunks of 256^3: 8.6 billion voxels."""
    return cube("64 batches", 4, 2)


def medium() -> Workload:
    """1,331 leaf batches of 4x4x4 chunks of 256^3, from an image, with the net on GPUs: 1.4 trillion voxels."""
    return cube("1,331 batches, net on GPUs", 11, 4, image=True)


def large() -> Workload:
    """19,683 leaf batches of 4x4x4 chunks of 256^3: 21 trillion voxels, a sixteenth of a cubic millimetre."""
    return cube("19,683 batches", 27, 4)

"""Queues follow from what tasks need and what is offered, and all that fits nowhere is said at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_nets import made_up_prediction

from seuron.box import Box
from seuron.cluster.local_machine import LocalMachine
from seuron.engine.plan import Plan
from seuron.engine.queues import MANAGER, QueueCapacity, QueueErrors, assign, needs
from seuron.engine.run import make_plan
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.facts import VolumeFacts
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.stages.predict.cells import choose_cell

GIB = 2**30
offer_lists = st.lists(
    st.builds(QueueCapacity, st.sampled_from(["a", "b", "c", "d"]), st.integers(1, 24 * GIB), st.integers(0, 2)),
    max_size=6,
)


def plan_of(image: bool = True, size: int = 1024, patch: int = 96, **changes: Any) -> Plan:
    source: dict[str, Any] = {"image": "i"} if image else {"affinities": "a"}
    params = SegmentationParams(**source, output="o", ground_truth="g", **changes)
    scales = {"affinities": 3, "supervoxels": 3, "segmentation": 3}
    box = Box((0, 0, 0), (size, size, size))
    cell = choose_cell(params.chunk_size, params.block_size, box)
    net = made_up_prediction(box, cell, patch_size=(patch,) * 3) if image else None
    facts = VolumeFacts(box, (8, 8, 8), "uint8", scales, net)
    return make_plan(PIPELINE, params, facts)


PLANS = [plan_of(), plan_of(image=False), plan_of(size=300, chunk_size=(64, 64, 64), batch_chunks=1)]
MANAGED = QueueCapacity(MANAGER, 0)


@given(st.sampled_from(PLANS), offer_lists)
def test_every_tier_has_the_smallest_offer_that_holds_it(plan: Plan, offers: list[QueueCapacity]) -> None:
    """No offer that fits is smaller than the chosen one, the weakest of a queue's workers counts, and where
    none fits the error names exactly those tiers.
    """
    weakest = {
        name: (
            min(offer.memory_bytes for offer in offers if offer.name == name),
            min(offer.gpus for offer in offers if offer.name == name),
        )
        for name in {offer.name for offer in offers}
    }
    wanted = {tier: need for tier, need in needs(plan).items() if need.work != "manager"}

    def fits(tier: tuple[str, int], name: str) -> bool:
        memory, gpus = weakest[name]
        any_gpu = any(other for _, other in weakest.values())
        return memory >= wanted[tier].memory_bytes and (wanted[tier].work != "gpu" or not any_gpu or gpus > 0)

    unserved = {tier for tier in wanted if not any(fits(tier, name) for name in weakest)}
    if unserved:
        with pytest.raises(QueueErrors) as raised:
            assign(plan, [*offers, MANAGED])
        assert len(raised.value.problems) == len(unserved)
        for stage, tier in unserved:
            assert any(problem.startswith(f"{stage}, tier {tier},") for problem in raised.value.problems)
        return
    queues = assign(plan, [*offers, MANAGED])
    assert queues.keys() == needs(plan).keys()
    for tier in wanted:
        assert fits(tier, queues[tier])
        for name, (memory, gpus) in weakest.items():
            chosen = weakest[queues[tier]]
            assert not fits(tier, name) or (gpus, memory) >= (chosen[1], chosen[0])


@given(st.sampled_from(PLANS), offer_lists, st.randoms())
def test_the_order_of_offers_does_not_matter(plan: Plan, offers: list[QueueCapacity], random: Any) -> None:
    """The same offers in another order give the same queues: a retry of `prepare` changes nothing."""
    offers = [*offers, MANAGED, QueueCapacity("huge", 10**15, 1)]
    first = assign(plan, offers)
    random.shuffle(offers)
    assert assign(plan, offers) == first
    assert assign(plan, offers, kept=first) == first


def test_the_net_takes_a_gpu_only_where_there_is_one() -> None:
    """Affinities go to the offer with a GPU, however dear, and to a core where there is none."""
    plan, cpu = PLANS[0], QueueCapacity("cpu", 64 * GIB)
    assert assign(plan, [MANAGED, cpu])["affinities", 0] == "cpu"
    queues = assign(plan, [MANAGED, cpu, QueueCapacity("gpu", 640 * GIB, 1)])
    assert queues["affinities", 0] == "gpu"
    assert queues["labels", 0] == "cpu"


def test_queues_that_were_given_stay_or_it_is_an_error() -> None:
    """Airflow has written a run's queues down: a better offer changes nothing, a missing one is said."""
    plan, cpu = PLANS[1], QueueCapacity("cpu", 64 * GIB)
    first = assign(plan, [MANAGED, cpu])
    assert assign(plan, [MANAGED, cpu, QueueCapacity("little", 32 * GIB)], kept=first) == first
    with pytest.raises(QueueErrors, match=r"given the queue 'cpu'.*start the run again"):
        assign(plan, [MANAGED, QueueCapacity("little", 32 * GIB)], kept=first)


def test_an_error_says_what_is_needed_offered_and_to_be_done() -> None:
    """Every tier that fits nowhere is in one message, with the memory it needs and what there is."""
    with pytest.raises(QueueErrors) as raised:
        assign(PLANS[0], [QueueCapacity("cpu", GIB // 2)])
    message = str(raised.value)
    for word in ("watershed, tier 0", "labels, tier 0", "report, tier 0", "GiB for a task", "cpu (0.5 GiB a slot)"):
        assert word in message
    for word in ("chunk_size", "task_memory", "seuron worker --queue manager"):
        assert word in message
    with pytest.raises(QueueErrors, match="no worker runs"):
        assign(PLANS[0], [])


def test_a_machine_offers_a_share_and_the_whole() -> None:
    """On one machine a task with more than a core's share takes slots of the memory pool for all it needs."""
    machine = LocalMachine(cores=8, gpus=0, memory_bytes=16 * GIB)
    queues = assign(plan_of(size=2048, patch=160), machine.capacities)
    assert queues["affinities", 0] == "memory"
    assert queues["watershed", 0] == "cpu"
    assert machine.slots("cpu", 16 * GIB) == 1
    assert machine.pools["memory"] == 4
    assert [machine.slots("memory", need * GIB) for need in (1, 4, 5, 8, 9, 16, 99)] == [1, 1, 2, 2, 3, 4, 4]


def test_what_a_task_holds_does_not_grow_with_its_box() -> None:
    """Tasks go through their boxes in cells: a volume of 3 * 10^13 voxels asks no more of labels than a small one."""
    small, large = (needs(plan_of(size=size)) for size in (1024, 30_000))
    for tier in (("labels", 0), ("pyramid", 0), ("evaluation", 0), ("report", 0)):
        assert small[tier].memory_bytes == large[tier].memory_bytes

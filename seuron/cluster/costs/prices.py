"""What machines cost: a table of list prices, and the price of an instance from it.

Google bills cores, memory, GPUs and disks apart, so the table has a row for a family, not for a type.
The numbers are list prices of us-central1 in dollars, without taxes and discounts, from copies of
Google's price pages. They were not compared with the live list, other regions cost up to half as
much again, and spot prices move every day: whoever spends money gives their own in `[prices]`.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from seuron.cluster.machine_types import GIB, MachineType
from seuron.params.model import Parameters

#: When the table below was written down.
WRITTEN = "2026-11"
#: Google promises at least 60 % off for most spot resources. Where no spot price is known this much of the
#: list price is taken, so that an estimate errs to the dear side.
SPOT_SHARE = 0.4
#: Disks are sold by the month, of 730 hours.
HOURS_A_MONTH = 730.0


class Rates(NamedTuple):
    """Dollars an hour for one core and for one GiB of memory."""

    core: float
    gibibyte: float


_ON_DEMAND = {
    "e2": Rates(0.02181159, 0.00292353),
    "n1": Rates(0.031611, 0.004237),
    "n2": Rates(0.031611, 0.004237),
    "n2d": Rates(0.027502, 0.003686),
    "t2d": Rates(0.027502, 0.003686),
    "c2": Rates(0.03398, 0.00455),
    "c2d": Rates(0.029563, 0.003959),
    "c3": Rates(0.03398, 0.00456),
    "c3d": Rates(0.02956, 0.00396),
    "g2": Rates(0.024988, 0.002927),
    "a2": Rates(0.031611, 0.004237),
}
_SPOT = {
    "e2": Rates(0.00872, 0.001169),
    "c2": Rates(0.005, 0.000667),
    "c2d": Rates(0.00736, 0.000987),
    "c3": Rates(0.00575, 0.00077),
    "c3d": Rates(0.01182, 0.001584),
    "a2": Rates(0.01264, 0.001695),
}
_GPUS = {
    "nvidia-tesla-t4": 0.35,
    "nvidia-tesla-p4": 0.60,
    "nvidia-tesla-p100": 1.46,
    "nvidia-tesla-v100": 2.48,
    "nvidia-l4": 0.5600,
    "nvidia-tesla-a100": 2.933908,
    "nvidia-a100-80gb": 3.92,
}
#: Dollars a GiB and month.
_DISKS = {"pd-standard": 0.04, "pd-balanced": 0.10, "pd-ssd": 0.17}


class PriceRow(Parameters):
    """Dollars an hour, on demand and spot; one of them may be left out."""

    on_demand: float | None = Field(None, ge=0, description="dollars an hour")
    spot: float | None = Field(None, ge=0, description="dollars an hour")


class PriceTable(Parameters):
    """`[prices]`: your own prices, before those of the shipped table."""

    machines: dict[str, PriceRow] = Field({}, description="by machine type, built-in GPUs included")
    gpus: dict[str, PriceRow] = Field({}, description="by type of an attached GPU")
    disks: dict[str, Annotated[float, Field(ge=0)]] = Field({}, description="dollars a GiB and month, by type")

    def instance(
        self, machine: MachineType, spot: bool, gpu_type: str, gpus: int, disk_type: str, disk_gib: int
    ) -> float | None:
        """Dollars an hour of one instance; None when the table lacks a part of it.

        `gpu_type` and `gpus` are those attached, not the built-in ones.
        """
        disk = self.disks.get(disk_type, _DISKS.get(disk_type))
        parts = [
            self._machine(machine, spot),
            self._gpus(gpu_type, gpus, spot),
            None if disk is None else disk * disk_gib / HOURS_A_MONTH,
        ]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None

    def _machine(self, machine: MachineType, spot: bool) -> float | None:
        if (own := _own(self.machines, machine.type, spot)) is not None:
            return own
        rates, share = _ON_DEMAND.get(machine.family), 1.0
        if spot:
            share = 1.0 if machine.family in _SPOT else SPOT_SHARE
            rates = _SPOT.get(machine.family, rates)
        built_in = self._gpus(machine.gpu_type, machine.gpus, spot)
        if rates is None or built_in is None:
            return None
        # A core that is shared (e2-micro and the like) costs less; the dear side is taken.
        return share * (rates.core * machine.cores + rates.gibibyte * machine.memory_bytes / GIB) + built_in

    def _gpus(self, gpu_type: str, count: int, spot: bool) -> float | None:
        if count == 0:
            return 0.0
        if (own := _own(self.gpus, gpu_type, spot)) is not None:
            return own * count
        price = _GPUS.get(gpu_type)
        return None if price is None else price * count * (SPOT_SHARE if spot else 1.0)


def _own(rows: dict[str, PriceRow], name: str, spot: bool) -> float | None:
    row = rows.get(name)
    return None if row is None else row.spot if spot else row.on_demand

"""What scaling policies cost, in the simulator: `python benchmarks/scaling_policy.py [comparison] [calm] [settings]`.

Prints the tables and writes them into docs/scaling-policy.md, between its markers. `comparison` is the
policy against pools of fixed sizes and the reference's rule, over three workloads (ten minutes on a busy machine);
`calm` is the same where nothing goes wrong (three minutes); `settings` varies one setting of the policy at a time
(ten minutes).
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from cluster_simulator import Outage, Policy, Result, Workload, World, simulate
from cluster_simulator.cases import cluster, large, medium, small
from cluster_simulator.rivals import FixedPool, Ours, Reference
from cluster_simulator.world import CALM

from seuron.cluster.settings import PolicySettings

PAGE = Path(__file__).parents[1] / "docs" / "scaling-policy.md"
SEEDS = 5
#: A world in which the cheapest zone has no machines every other hour.
SCARCE = World(
    spot_hours=6.0,
    outages=tuple(
        Outage(
            "no_stock",
            frozenset({"cpu-spot-zone-a", "memory-spot-zone-a", "gpu-spot-zone-a"}),
            3600.0 * hour,
            3600.0 * (hour + 1),
        )
        for hour in range(0, 400, 2)
    ),
)
#: A world in which workers die, hosts fail and tasks hang far more often.
SICK = World(dead_hours=20.0, bad_host_share=0.03, stuck_share=0.0005)

#: The policies, as something that makes a fresh one: the reference's remembers.
POLICIES: tuple[Callable[[], Policy], ...] = (
    Ours,
    lambda: FixedPool({"cpu": 10, "memory": 2, "gpu": 5}, name="fixed 10, 2, 5"),
    lambda: FixedPool({"cpu": 50, "memory": 6, "gpu": 20}, name="fixed 50, 6, 20"),
    lambda: FixedPool({"cpu": 200, "memory": 12, "gpu": 60}, name="fixed 200, 12, 60"),
    lambda: FixedPool({"cpu": 10, "memory": 2, "gpu": 5}, name="by stage 10, 2, 5", by_stage=True),
    lambda: FixedPool({"cpu": 50, "memory": 6, "gpu": 20}, name="by stage 50, 6, 20", by_stage=True),
    Reference,
)
#: Values of settings that are tried, the others at their defaults.
TRIED: dict[str, Sequence[float]] = {
    "target_seconds": (200, 450, 900, 3600),
    "starts_per_second": (3, 6, 9, 100),
    "first_instances": (2, 10, 50),
    "ramp_seconds": (0, 60, 300, 1200),
    "idle_seconds": (0, 60, 180, 600, 1800),
    "settle_seconds": (0, 120, 600),
    "dead_seconds": (60, 180, 600),
    "stuck_factor": (3, 8, 20),
    "stuck_seconds": (600, 1800, 5400),
    "host_failures": (2, 5, 20),
    "spot_hours": (2, 20, 1000),
    "rest_seconds": (30, 120, 600),
}


def mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


def runs(workload: Workload, make: Callable[[], Policy], world: World, seeds: int) -> list[Result]:
    return [simulate(workload, cluster(), make(), world, seed=seed) for seed in range(seeds)]


def comparison(workloads: Sequence[Workload], seeds: int, world: World) -> list[str]:
    lines = [
        "| workload | policy | dollars | hours | instance-hours | idle | most instances | tasks lost | tasks failed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for workload in workloads:
        for make in POLICIES:
            found = runs(workload, make, world, seeds)
            assert all(result.finished and not result.left_over for result in found)
            hours = mean(result.instance_hours for result in found)
            lines.append(
                f"| {workload.name} | {found[0].policy} | {mean(r.dollars for r in found):.2f} "
                f"| {mean(r.seconds for r in found) / 3600:.2f} | {hours:.1f} "
                f"| {mean(r.idle_hours for r in found) / hours:.0%} | {max(r.most_instances for r in found)} "
                f"| {mean(r.lost for r in found):.0f} | {mean(r.failed for r in found):.0f} |"
            )
            print(lines[-1], flush=True)
    return lines


def settings_table(cases: Sequence[tuple[str, Workload, World]], seeds: int) -> list[str]:
    lines = [
        "| setting | value | " + " | ".join(name for name, _, _ in cases) + " |",
        "|---|---|" + "---|" * len(cases),
    ]
    for name, values in TRIED.items():
        for value in values:
            changed = PolicySettings().model_copy(update={name: value})
            cells = [settings_cell(workload, world, changed, seeds) for _, workload, world in cases]
            mark = " (default)" if changed == PolicySettings() else ""
            lines.append(f"| `{name}` | {value:g}{mark} | " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    return lines


@functools.cache
def settings_cell(workload: Workload, world: World, changed: PolicySettings, seeds: int) -> str:
    found = runs(workload, lambda: Ours(changed), world, seeds)
    assert all(result.finished and not result.left_over for result in found)
    return f"${mean(r.dollars for r in found):.2f}, {mean(r.seconds for r in found) / 3600:.2f} h"


def write(marker: str, lines: Sequence[str]) -> None:
    """Put lines between the page's two markers of that name."""
    begin, end = f"<!-- {marker} -->", f"<!-- end of {marker} -->"
    text = PAGE.read_text()
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{begin}\n" + "\n".join(lines) + f"\n{end}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", choices=["comparison", "calm", "settings"])
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each case, with different chances")
    parser.add_argument("--print-only", action="store_true", help="leave the page as it is")
    given = parser.parse_args()
    begun = time.perf_counter()
    if "comparison" in given.tables or not given.tables:
        lines = comparison((small(), medium(), large()), given.seeds, World())
        if not given.print_only:
            write("comparison", lines)
    if "calm" in given.tables:
        lines = comparison((small(), medium(), large()), given.seeds, CALM)
        if not given.print_only:
            write("calm", lines)
    if "settings" in given.tables:
        cases = [
            ("64 batches", small(), World()),
            ("1,331 batches", medium(), World()),
            ("1,331, scarce", medium(), SCARCE),
            ("1,331, sick", medium(), SICK),
        ]
        lines = settings_table(cases, given.seeds)
        if not given.print_only:
            write("settings", lines)
    print(f"{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()

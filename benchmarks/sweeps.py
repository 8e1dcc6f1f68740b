"""How long a sweep of 20 thresholds takes, beside the run's agglomeration: `python benchmarks/sweeps.py RUN...`.

Both in seconds of processor time: of the run, by the records of its agglomeration tasks; of the sweep, the
first in this process and the median of five more, with all imports done and the tables in the file cache.
`--rules` as of `seuron sweep`: another line, for all these lists of rules together.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

from seuron.engine.run import Run
from seuron.pipelines.segmentation.analysis import region_graph, rules_by_name, supervoxels, sweep_run

THRESHOLDS = [round(0.05 * step, 2) for step in range(1, 21)]
REPEATS = 5


def seconds_of_a_sweep(run: Run, thresholds: list[float], rules: list[str] | None = None) -> float:
    start = time.process_time()
    sweep_run(run, thresholds, rules=rules_by_name(run, rules) if rules else None)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="output folder of a finished run")
    parser.add_argument("--rules", action="append", default=[], help="run, none, a preset or a JSON file")
    given = parser.parse_args()
    for output in given.runs:
        run = Run.open(output)
        own = run.params.agglomeration_threshold
        above = [own + (1 - own) * step / 20 for step in range(20)]
        stage = sum(record.cpu_seconds for record in run.records() if record.stage == "agglomeration")
        first = seconds_of_a_sweep(run, THRESHOLDS)
        across, higher = (
            median(seconds_of_a_sweep(run, swept) for _ in range(REPEATS)) for swept in (THRESHOLDS, above)
        )
        print(f"{output}: {supervoxels(run).ids.size - 1} supervoxels, {len(region_graph(run))} contacts")
        print(f"  agglomeration stage          {stage:.3f} s")
        print(f"  sweep of 0.05 to 1, first    {first:.3f} s")
        print(f"  sweep of 0.05 to 1           {across:.3f} s")
        print(f"  sweep of {own:g} to 1           {higher:.3f} s")
        if given.rules:
            ruled = median(seconds_of_a_sweep(run, THRESHOLDS, given.rules) for _ in range(REPEATS))
            print(f"  sweep of 0.05 to 1, lists of rules: {len(given.rules)}  {ruled:.3f} s")


if __name__ == "__main__":
    main()

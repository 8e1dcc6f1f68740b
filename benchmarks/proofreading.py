"""What the proofreading queue is worth: VOI against the number of verdicts by an oracle, beside random order.

    python -m benchmarks.proofreading ../shared/data/fib25_train2_z000-166.h5

The test part of FIB-25 (z 130..165) and a synthetic volume are segmented by a run with the shipped weights. An oracle
answers the queue from the top: two supervoxels are one object where most of their labelled voxels are of one true
object; where either has none, or most of it is none, it says nothing. After each share of the queue the verdicts so far
are carried out on the region graph as the stage `edits` does, and scored on the supervoxels' table.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.shipped_weights.scores import predict
from benchmarks.shipped_weights.train import HELD_OUT_SEED, RESOLUTION, SYNTHETIC_SHAPE, TEST_BOX
from seuron.box import Box
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.evaluation import ContingencyTable, scores
from seuron.nets.checkpoint import SHIPPED
from seuron.params import parse_parameters
from seuron.pipelines.segmentation.analysis import region_graph
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.proofreading.edited_graph import Cut, edited_segments
from seuron.pipelines.segmentation.proofreading.queue import Queue, proofreading_queue
from seuron.pipelines.segmentation.stages.evaluation import supervoxel_table
from seuron.pipelines.segmentation.stages.remap import segments_of
from seuron.synth import synthesize
from seuron.training.volumes import TrainingVolume, hdf5_volume
from seuron.volumes import create_volume

#: Shares of the queue after which the edits are scored.
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
#: Random orders that are averaged, and the seed of the first.
ORDERS, SEED = 5, 19
EVERYTHING = 10**9


@dataclass(frozen=True)
class Oracle:
    """A run's supervoxels against ground truth."""

    table: ContingencyTable
    ids: NDArray[np.int64]
    truth: NDArray[np.int64]

    @classmethod
    def of(cls, run: Run) -> Oracle:
        table = supervoxel_table(run)
        order = np.lexsort((table.truths, -table.voxels, table.segments))
        ids, first = np.unique(table.segments[order], return_index=True)
        return cls(table, ids.astype(np.int64), table.truths[order][first].astype(np.int64))

    def truth_of(self, supervoxels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The true object of each, 0 where it is none."""
        at = np.minimum(np.searchsorted(self.ids, supervoxels), self.ids.size - 1)
        return np.where(self.ids[at] == supervoxels, self.truth[at], 0)


@dataclass(frozen=True)
class Proofreader:
    """Carries out verdicts on a run's region graph, and scores what comes of it."""

    run: Run
    oracle: Oracle
    queue: Queue

    def voi(self, counts: Sequence[int], order: NDArray[np.intp]) -> list[float]:
        """VOI after so many rows of the queue in this order."""
        graph = region_graph(self.run)
        members = np.unique(np.concatenate([graph.a, graph.b, self.oracle.ids]))
        segments = segments_of(self.run, members)
        named = dict(zip(members.tolist(), segments.tolist(), strict=True))
        a, b = self.queue.a[order], self.queue.b[order]
        truth_a, truth_b = self.oracle.truth_of(a), self.oracle.truth_of(b)
        known, same = (truth_a > 0) & (truth_b > 0), truth_a == truth_b
        found = []
        for count in counts:
            rows = np.flatnonzero(known[:count])
            links = [(int(a[i]), int(b[i])) for i in rows if same[i]]
            cuts = [Cut((int(a[i]),), (int(b[i]),)) for i in rows if not same[i]]
            names = edited_segments(graph, named, links, cuts).names
            supervoxels = self.oracle.table.segments.astype(np.int64)
            edited = np.isin(supervoxels, names.keys)
            ids = np.where(edited, names.follow(supervoxels), segments_of(self.run, supervoxels))
            found.append(scores(self.oracle.table.renamed(ids.astype(np.uint64))).voi)
        return found


def measure(run: Run) -> list[str]:
    """The lines of a run's table."""
    queue = proofreading_queue(run, EVERYTHING)
    reader = Proofreader(run, Oracle.of(run), queue)
    counts = [0, *(max(1, round(share * len(queue))) for share in SHARES)]
    ranked = reader.voi(counts, np.arange(len(queue)))
    randoms = [reader.voi(counts, np.random.default_rng(SEED + i).permutation(len(queue))) for i in range(ORDERS)]
    random = np.mean(randoms, axis=0)
    won = ranked[0] - ranked[-1]
    table = reader.oracle.table
    best = scores(table.renamed(reader.oracle.truth_of(table.segments.astype(np.int64)).astype(np.uint64))).voi
    lines = [f"{len(queue)} decisions; VOI {ranked[0]:.3f}, with all verdicts {ranked[-1]:.3f}"]
    lines.append(f"the best that any joining of these supervoxels gives is about {best:.3f}")
    lines.append("| verdicts | share | VOI, ranked | won | VOI, random | won |\n|---|---|---|---|---|---|")
    for count, share, own, other in zip(counts, (0.0, *SHARES), ranked, random, strict=True):
        gains = [(ranked[0] - value) / won for value in (own, other)]
        lines.append(f"| {count} | {share:.0%} | {own:.3f} | {gains[0]:.0%} | {other:.3f} | {gains[1]:.0%} |")
    return lines


def segmented(volume: TrainingVolume, weights: Path, folder: Path, **changes: Any) -> Run:
    """A run on what the net predicts for a volume."""
    sources = {}
    for name, voxels in (("affinities", predict(volume, weights)), ("truth", volume.labels)):
        kind: dict[str, Any] = {"channels": 3} if voxels.ndim == 4 else {"kind": "segmentation"}
        box = Box.from_shape((0, 0, 0), voxels.shape[:3])
        made = create_volume(str(folder / name), box, RESOLUTION, dtype=str(voxels.dtype), pyramid=False, **kind)
        made.write(box, voxels)
        sources[name] = made.path
    values = {"affinities": sources["affinities"], "ground_truth": sources["truth"], "output": str(folder / "run")}
    return run_local(parse_parameters(SegmentationParams, values | changes))


def main() -> None:
    """Print a table for each volume."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fib25", type=Path, help="fib25_train2_z000-166.h5")
    parser.add_argument("--weights", type=Path, default=SHIPPED)
    parser.add_argument("--threshold", type=float, default=None, help="the run's default when left out")
    arguments = parser.parse_args()
    made = synthesize(SYNTHETIC_SHAPE, HELD_OUT_SEED)
    volumes = {
        "FIB-25 test z130-165": hdf5_volume(
            "t", f"{arguments.fib25}:raw", f"{arguments.fib25}:labels/neuron_ids", RESOLUTION, TEST_BOX
        ),
        f"synthetic seed {HELD_OUT_SEED}": TrainingVolume("s", made.image, made.labels, RESOLUTION),
    }
    changes = {} if arguments.threshold is None else {"agglomeration_threshold": arguments.threshold}
    for name, volume in volumes.items():
        with tempfile.TemporaryDirectory() as folder:
            lines = measure(segmented(volume, arguments.weights, Path(folder), **changes))
        print("\n".join([name, *lines]), flush=True)


if __name__ == "__main__":
    main()

"""What a run decided, and what it would have decided otherwise: read from its tables, not from voxels."""

from seuron.decisions.explaining import Explanation, explain_run
from seuron.decisions.stored import Supervoxels, Veto, merge_tree, region_graph, supervoxels, vetoes
from seuron.decisions.sweeping import Sweep, SweepPoint, Variant, sweep, sweep_run

__all__ = [
    "Explanation",
    "Supervoxels",
    "Sweep",
    "SweepPoint",
    "Variant",
    "Veto",
    "explain_run",
    "merge_tree",
    "region_graph",
    "supervoxels",
    "sweep",
    "sweep_run",
    "vetoes",
]

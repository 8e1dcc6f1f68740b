"""What a run decided, and what it would have decided otherwise: read from its tables, not from voxels."""

from seuron.decisions.explaining import Explanation, explain_run
from seuron.decisions.named_rules import rules_by_name
from seuron.decisions.stored import (
    Reagglomeration,
    Supervoxels,
    Veto,
    clusters,
    merge_tree,
    region_graph,
    supervoxels,
    veto_counts,
    vetoes,
)
from seuron.decisions.sweeping import Sweep, SweepPoint, Variant, sweep, sweep_run

__all__ = [
    "Explanation",
    "Reagglomeration",
    "Supervoxels",
    "Sweep",
    "SweepPoint",
    "Variant",
    "Veto",
    "clusters",
    "explain_run",
    "merge_tree",
    "region_graph",
    "rules_by_name",
    "supervoxels",
    "sweep",
    "sweep_run",
    "veto_counts",
    "vetoes",
]

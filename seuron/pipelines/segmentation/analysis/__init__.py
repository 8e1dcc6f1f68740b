"""What a run decided, and what it would have decided otherwise: read from its tables, not from voxels."""

from seuron.pipelines.segmentation.analysis.explain import Explanation, explain_run
from seuron.pipelines.segmentation.analysis.named_rules import rules_by_name
from seuron.pipelines.segmentation.analysis.stored_graph import (
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
from seuron.pipelines.segmentation.analysis.sweep import Sweep, SweepPoint, Variant, sweep, sweep_run

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

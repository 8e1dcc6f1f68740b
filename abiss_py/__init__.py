"""Watershed and mean-affinity agglomeration of affinity maps, exact and independent of chunking.

    affinities (X, Y, Z, 3)          float32 0..1, or uint8 = value/255
        | steepest edges, connected components     kernels/watershed.py
    basins
        | edges that can matter                  kernels/boruvka.py, spanning_forest.py
        | small ones absorbed, strongest edge first    kernels/absorption.py
    supervoxels (X, Y, Z)            uint64, id = 1 + index of the first voxel
        | contacts: sum and count of affinities    kernels/region_graph.py
    region graph
        | best mean first, while above the threshold    kernels/agglomeration.py
    segments (X, Y, Z)               uint64, id = 1 + index of the first voxel

Arrays are (X, Y, Z) or (X, Y, Z, C), x fastest; affinity channel c at voxel v is the affinity
between v and v - e_c. A volume may be cut into chunks anywhere: `watershed_chunk` decides what a
chunk can decide, `merge_regions` the rest, and the result is the same bytes.
"""

from abiss_py.agglomeration import Agglomeration, Vetoes, agglomerate
from abiss_py.clusters import Clusters, count_classes
from abiss_py.constraints import (
    PRESETS,
    Constraint,
    CustomRule,
    SemanticRule,
    SizeRule,
    TwigRule,
    dump_constraints,
    import_predicates,
    parse_constraints,
)
from abiss_py.contacts import Contacts
from abiss_py.dtypes import AffinityType, affinity_type
from abiss_py.errors import AbissError, AffinityError, ArgumentError
from abiss_py.face_views import close_seams, split_shares, split_views
from abiss_py.kernels.paint import paint
from abiss_py.merge_tree import MergeTree, best_first
from abiss_py.octree import Segmentation, segment
from abiss_py.place import Place
from abiss_py.region_merge import Edges, GhostClusters, Merge, Region, hull, merge_regions
from abiss_py.relabel import Mapping
from abiss_py.seams import Face, Faces, Seam, seam_of, seams_of_grid
from abiss_py.watershed import ChunkWatershed, WatershedRules, watershed_chunk

__all__ = [
    "PRESETS",
    "AbissError",
    "AffinityError",
    "AffinityType",
    "Agglomeration",
    "ArgumentError",
    "ChunkWatershed",
    "Clusters",
    "Constraint",
    "Contacts",
    "CustomRule",
    "Edges",
    "Face",
    "Faces",
    "GhostClusters",
    "Mapping",
    "Merge",
    "MergeTree",
    "Place",
    "Region",
    "Seam",
    "Segmentation",
    "SemanticRule",
    "SizeRule",
    "TwigRule",
    "Vetoes",
    "WatershedRules",
    "affinity_type",
    "agglomerate",
    "best_first",
    "close_seams",
    "count_classes",
    "dump_constraints",
    "hull",
    "import_predicates",
    "merge_regions",
    "paint",
    "parse_constraints",
    "seam_of",
    "seams_of_grid",
    "segment",
    "split_shares",
    "split_views",
    "watershed_chunk",
]

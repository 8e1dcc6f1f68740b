"""A WebKnossos dataset of a run: its supervoxels as a wkw layer, and an agglomerate file that says which are one.

WebKnossos looks a voxel's segment up in an array that has an entry for every id up to the largest. A run's ids are
voxel indices, so that array would be as long as the volume is large: supervoxels and segments are counted from 1 on
instead, in the order of their ids, and two tables say what they are in the run.

    TARGET/datasource-properties.json
    TARGET/segmentation/1/                           supervoxels, counted from 1 on, uint32 or uint64
    TARGET/segmentation/agglomerates/NAME.hdf5       what WebKnossos calls a mapping
    TARGET/supervoxels.csv, segments.csv             `in_file`: the number, `in_layer`: the run's id

The agglomerate file, as the data store of WebKnossos reads it; the agglomerate of the background, 0, has no segments:

    segment_to_agglomerate (S + 1)           of each supervoxel, 0 included
    agglomerate_to_segments_offsets (A + 2)  where the supervoxels of an agglomerate begin, and those of the next
    agglomerate_to_segments (S)              ascending in each agglomerate
    agglomerate_to_positions (S, 3)          a voxel of each of these, x, y, z: its first one
    agglomerate_to_edges_offsets (A + 2)     as above, of edges
    agglomerate_to_edges (E, 2)              contacts in an agglomerate; places in its list of supervoxels
    agglomerate_to_affinities (E)            their mean affinities, 0 to 1, float32
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py import Contacts, affinity_type
from seuron.pipelines.segmentation.analysis import clusters, region_graph
from seuron.pipelines.segmentation.chunks import place_of
from seuron.pipelines.segmentation.exports import checked_export, edit_notes
from seuron.pipelines.segmentation.facts import SegmentationRun, affinity_dtype
from seuron.pipelines.segmentation.stages.remap import segments_of
from seuron.volumes import open_volume
from seuron.volumes.exports.block_stores import open_wkw, wkw_corner
from seuron.volumes.exports.labels import write_label_table
from seuron.volumes.exports.layer_export import write_array
from seuron.volumes.exports.target import ExportedArray, written_whole
from seuron.volumes.volume_import import Progress

Int64s = NDArray[np.int64]

#: What `artifact_schema_version` says of the arrays above.
SCHEMA_VERSION = 4


def export_webknossos(
    output: str, target: str, *, overwrite: bool = False, progress: Progress | None = None
) -> tuple[str, ...]:
    """Write the finished run in the folder `output` as a WebKnossos dataset; returns what a person should know.

    The region graph is held in memory; voxels go through it slab by slab. Raises ParameterErrors.
    """
    run, path = checked_export(output, target, overwrite)
    ids = clusters(run).ids
    layer = open_volume(run.layer("supervoxels"))
    array = ExportedArray(
        name=layer.path,
        box=layer.box,
        resolution_nm=layer.resolution_nm,
        dtype=np.dtype(np.uint32 if ids.size < 2**32 else np.uint64),
        channels=1,
        kind="segmentation",
        read=layer.read,
        labels=np.concatenate([[0], ids]).astype(np.uint64),
    )
    name = mapping_name(run)
    with written_whole(path) as partial:
        write_array(open_wkw, partial, array, layer, progress)
        arrays, segments = agglomerate_arrays(run, ids)
        file = partial / "segmentation" / "agglomerates" / f"{name}.hdf5"
        _write_agglomerates(file, arrays)
        _complete_properties(partial / "datasource-properties.json", name, ids.size)
        write_label_table(partial / "supervoxels.csv", np.concatenate([[0], ids]))
        write_label_table(partial / "segments.csv", np.concatenate([[0], segments]))
    return (
        f"{ids.size} supervoxels and {segments.size} segments are counted from 1 on; "
        f"{path}/supervoxels.csv and segments.csv say what they are in the run",
        f"in WebKnossos choose the mapping {name} of the layer segmentation",
        *edit_notes(run),
    )


def mapping_name(run: SegmentationRun) -> str:
    """What WebKnossos lists a run's agglomerate file as."""
    return f"agglomerate_view_{run.params.agglomeration_threshold:g}"


def agglomerate_arrays(run: SegmentationRun, ids: Int64s) -> tuple[dict[str, NDArray[Any]], Int64s]:
    """The arrays of a run's agglomerate file, and its segments' ids; `ids` are its supervoxels; both ascending."""
    segments, agglomerate = np.unique(segments_of(run, ids), return_inverse=True)
    order = np.argsort(agglomerate, kind="stable")
    sizes = np.bincount(agglomerate, minlength=segments.size)
    begins = _offsets(sizes)
    place = np.empty(ids.size, np.int64)  # of each supervoxel in the list of its agglomerate
    place[order] = np.arange(ids.size) - begins[1 + agglomerate[order]]
    edges, of_edges, affinities = _edges(run, ids, agglomerate)
    return {
        "segment_to_agglomerate": np.concatenate([[0], 1 + agglomerate]).astype(np.uint64),
        "agglomerate_to_segments_offsets": begins.astype(np.uint64),
        "agglomerate_to_segments": (1 + order).astype(np.uint64),
        "agglomerate_to_positions": _first_voxels(run, ids[order]).astype(np.uint64),
        "agglomerate_to_edges_offsets": _offsets(np.bincount(of_edges, minlength=segments.size)).astype(np.uint64),
        "agglomerate_to_edges": place[edges].astype(np.uint64),
        "agglomerate_to_affinities": affinities,
    }, segments


def _edges(run: SegmentationRun, ids: Int64s, agglomerate: Int64s) -> tuple[Int64s, Int64s, NDArray[np.float32]]:
    """The contacts in agglomerates: both supervoxels' places in `ids` (E, 2), the agglomerate, the mean affinity."""
    graph: Contacts = region_graph(run)
    pairs = np.stack([np.searchsorted(ids, graph.a), np.searchsorted(ids, graph.b)], axis=1)
    of_pairs = agglomerate[pairs]
    inside = np.flatnonzero(of_pairs[:, 0] == of_pairs[:, 1])
    inside = inside[np.argsort(of_pairs[inside, 0], kind="stable")]
    scale = affinity_type(affinity_dtype(run.params, run.facts)).scale
    means = graph.total[inside] / (graph.count[inside] * scale)
    return pairs[inside], of_pairs[inside, 0], means.astype(np.float32)


def _offsets(sizes: Int64s) -> Int64s:
    """Where lists begin that lie one after the other, that of agglomerate 0, which has nothing, first; and the end."""
    return np.concatenate([[0, 0], np.cumsum(sizes)]).astype(np.int64)


def _first_voxels(run: SegmentationRun, ids: Int64s) -> Int64s:
    """The first voxel (N, 3) of each supervoxel, where it lies in the wkw layer: an id is 1 and its voxel's index."""
    place, box = place_of(run, run.facts.box), run.facts.box
    inside = np.stack(np.unravel_index(ids - 1, place.whole, order="F"), axis=1)
    moved: Int64s = inside - np.array(place.minimum) + np.array(wkw_corner(box))
    return moved


def _write_agglomerates(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    import h5py

    path.parent.mkdir(parents=True)
    with h5py.File(path, "w", track_order=False) as file:
        file.attrs["artifact_class"] = "AgglomerateViewArtifact"
        file.attrs["artifact_schema_version"] = SCHEMA_VERSION
        for name, array in arrays.items():
            file.create_dataset(name, data=array)


def _complete_properties(path: Path, mapping: str, largest: int) -> None:
    """Name the agglomerate file, as WebKnossos finds it without a scan, and the largest id."""
    properties = json.loads(path.read_text())
    attachment = {
        "name": mapping,
        "path": f"./segmentation/agglomerates/{mapping}.hdf5",
        "dataFormat": "hdf5",
    }
    properties["dataLayers"][0] |= {"largestSegmentId": largest, "attachments": {"agglomerates": [attachment]}}
    path.write_text(json.dumps(properties, indent=1))

"""What PyChunkedGraph ingests, of a run.

    TARGET/watershed/                            the layer of supervoxels, cut at the borders of chunks, precomputed
    TARGET/edges/edges_X_Y_Z.proto.zst           the edges of a chunk's supervoxels
    TARGET/components/components_X_Y_Z.proto     which of them, and of those they touch, are one segment
    TARGET/pieces/X_Y_Z.parquet                  what each was in the run
    TARGET/config.yml                            the ingest's configuration, but for the database

An edge between two chunks is in the files of both, with the file's own supervoxel first. A chunk without edges has no
file of edges, one without supervoxels no file of components: PyChunkedGraph takes a missing file for that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from seuron.box import Triple, triple
from seuron.errors import ParameterErrors
from seuron.pipelines.segmentation.exports import checked_export, edit_notes
from seuron.pipelines.segmentation.exports.chunk_edges import ChunkExport, write_edges, write_pieces
from seuron.pipelines.segmentation.exports.chunk_ids import LAYER_BITS, ChunkIds
from seuron.process_pool import as_finished, process_pool
from seuron.storage import cloud_path
from seuron.volumes import create_volume, open_volume
from seuron.volumes.exports.target import written_whole
from seuron.volumes.volume_import import Progress

#: PyChunkedGraph's usual chunk, in voxels; made of whole blocks of the run's layers.
CHUNK_SIZE: Triple = (256, 256, 512)
#: How many chunks along each axis are one of the next layer.
FANOUT = 2

Step = Callable[[ChunkExport, Triple], tuple[int, int]]
Calls = Callable[[Iterable[tuple[Step, tuple[ChunkExport, Triple]]]], Iterator[tuple[int, int]]]


def export_pychunkedgraph(
    output: str,
    target: str,
    *,
    chunk_size: Triple | None = None,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Write what PyChunkedGraph ingests of the finished run in the folder `output`; returns what a person should know.

    `chunk_size` is in voxels, whole blocks of the run's layers; `workers` processes take chunks, a slab of one at a
    time. The bytes are the same for any number of them. Raises ParameterErrors with all that is in the way.
    """
    run, path = checked_export(output, target, overwrite)
    supervoxels = open_volume(run.layer("supervoxels"))
    block = run.params.block_size
    size = chunk_size or triple([-(-side // b) * b for side, b in zip(CHUNK_SIZE, block, strict=True)])
    if any(side <= 0 or side % b for side, b in zip(size, block, strict=True)):
        raise ParameterErrors(
            [f"--chunk-size: got {', '.join(map(str, size))}; give multiples of the run's block_size, {block}"],
            "the export",
        )
    ids = ChunkIds.of(supervoxels.box, size)
    with written_whole(path) as unfinished:
        create_volume(
            cloud_path(str(unfinished / "watershed")),
            supervoxels.box,
            supervoxels.resolution_nm,
            dtype="uint64",
            kind="segmentation",
            block_size=block,
            pyramid=False,
            shard_above=0,
        )
        export = ChunkExport(run.output, cloud_path(str(unfinished)), ids, block)
        with _calls(min(workers, ids.places.voxels)) as calls:
            pieces = _all_chunks(export, write_pieces, calls, "pieces", progress)
            alone = _all_chunks(export, write_edges, calls, "edges", progress)
        (unfinished / "config.yml").write_text(_config(path, ids))
    note = f"{pieces} supervoxels in {ids.places.voxels} chunks of {', '.join(map(str, size))} voxels"
    if alone:
        note += f"; {alone} touch no other, and are in no edge: PyChunkedGraph has no node for these"
    moved = f"{path}/config.yml names files of this machine: name the buckets that you copy them to"
    return (note, moved, *edit_notes(run))


def _all_chunks(export: ChunkExport, step: Step, calls: Calls, what: str, progress: Progress | None) -> int:
    """Do one step for all chunks; returns the sum of what it counts."""
    counted, done = 0, 0
    for count, voxels in calls((step, (export, place)) for place in export.ids.places.places()):
        counted, done = counted + count, done + voxels
        if progress is not None:
            progress(what, 8 * done, 8 * export.ids.box.voxels)
    return counted


@contextmanager
def _calls(workers: int) -> Iterator[Calls]:
    """How steps are called: here, or in processes."""
    if workers == 1:
        yield lambda calls: (step(*arguments) for step, arguments in calls)
        return
    with process_pool(workers) as pool:
        yield partial(as_finished, pool)


def _config(path: Path, ids: ChunkIds) -> str:
    """The configuration of `ingest graph`, in JSON, which is YAML too."""
    where = cloud_path(str(path))
    return json.dumps(
        {
            "data_source": {
                "EDGES": f"{where}/edges",
                "COMPONENTS": f"{where}/components",
                "WATERSHED": f"{where}/watershed",
            },
            "graph_config": {
                "CHUNK_SIZE": list(ids.chunk_size),
                "FANOUT": FANOUT,
                "LAYER_ID_BITS": LAYER_BITS,
                "SPATIAL_BITS": ids.spatial_bits,
            },
            "backend_client": {"TYPE": "bigtable", "CONFIG": {"ADMIN": True, "READ_ONLY": False}},
            "ingest_config": {},
        },
        indent=1,
    )

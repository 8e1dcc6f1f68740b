"""Odd sets of parameters of a segmentation, what is wrong with each, and the volumes that they name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from seuron.box import Box
from seuron.volumes import create_volume

SHAPE = (64, 48, 32)
NAN, INFINITE = float("nan"), float("inf")
SIZE = {"rule": "size", "name": "dumbbell", "smaller_over": 5}
SEMANTIC = {"rule": "semantic", "name": "classes", "evidence": 10, "dominance": 0.6}
TWIG = {"rule": "twig", "name": "twig", "voxels": 10, "edges": 5}
CLASSES = {"semantic": "@labels", "semantic_classes": "axon,dendrite", "constraints": [SEMANTIC]}
IMAGE: dict[str, Any] = {"affinities": None, "image": "@image", "precision": "fp32"}


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


#: What is changed of a set in which nothing is wrong, and the parameters that the problems are about, one for each. `@`
#: is the folder in which the volumes lie.
SETS: list[tuple[dict[str, Any], list[str]]] = [
    # nothing is wrong
    ({}, []),
    ({"task_memory": "4"}, []),
    ({"task_memory": " 4 "}, []),
    ({"task_memory": 65536}, []),
    ({"mip": "0"}, []),
    ({"mip": 0.0}, []),
    ({"budget_dollars": ""}, []),
    ({"budget_dollars": "12.5"}, []),
    ({"bbox": " "}, []),
    ({"bbox": "10,20,30,20,30,40"}, []),
    ({"bbox": "[10, 20, 30, 20, 30, 40]"}, []),
    ({"frame": [0, 0, 0, 1000, 1000, 1000]}, []),
    ({"store": ""}, []),
    ({"store": "@store"}, []),
    ({"store": "@new"}, ["store"]),
    ({"inspect_after": "watershed, agglomeration"}, []),
    ({"constraints": ""}, []),
    ({"constraints": " abiss2026 "}, []),
    ({"constraints": [SIZE, TWIG]}, []),
    ({"constraints": json.dumps([SIZE])}, []),
    ({"constraints": []}, []),
    (CLASSES, []),
    ({"ground_truth": "@labels"}, []),
    ({"output": "@deep/in/a/new/folder"}, []),
    ({"output": "@name with blanks and ü"}, []),
    ({"affinity_channels": "zyx", "affinity_edges": "forward", "affinity_values": "boundaries"}, []),
    (IMAGE, []),
    ({**IMAGE, "grey_mean": 120, "grey_std": 30}, []),
    # numbers
    ({"task_memory": INFINITE}, ["task_memory"]),
    ({"task_memory": "inf"}, ["task_memory"]),
    ({"task_memory": -INFINITE}, ["task_memory"]),
    ({"task_memory": NAN}, ["task_memory"]),
    ({"task_memory": "NaN"}, ["task_memory"]),
    ({"task_memory": 1e300}, ["task_memory"]),
    ({"task_memory": 0.5}, ["task_memory"]),
    ({"task_memory": True}, ["task_memory"]),
    ({"task_memory": "four"}, ["task_memory"]),
    ({"task_memory": "4 GiB"}, ["task_memory"]),
    ({"task_memory": [4]}, ["task_memory"]),
    ({"task_memory": None}, ["task_memory"]),
    ({"task_memory": ""}, ["task_memory"]),
    ({"task_memory": 10**400}, ["task_memory"]),
    ({"budget_dollars": INFINITE}, ["budget_dollars"]),
    ({"budget_dollars": NAN}, ["budget_dollars"]),
    ({"budget_dollars": 0}, ["budget_dollars"]),
    ({"budget_dollars": -5}, ["budget_dollars"]),
    ({"budget_dollars": 1e12}, ["budget_dollars"]),
    ({"budget_dollars": "$5"}, ["budget_dollars"]),
    ({"mip": 64}, ["mip"]),
    ({"mip": 2**64}, ["mip"]),
    ({"mip": 10**5000}, ["mip"]),
    ({"mip": "1" * 5000}, ["mip"]),
    ({"mip": 0.5}, ["mip"]),
    ({"mip": False}, ["mip"]),
    ({"mip": "1 2"}, ["mip"]),
    ({"mip": {}}, ["mip"]),
    ({"mip": 3}, ["affinities"]),
    ({"watershed_high": NAN}, ["watershed_high"]),
    ({"watershed_low": INFINITE}, ["watershed_low"]),
    ({"watershed_low": True}, ["watershed_low"]),
    ({"watershed_size": 2**64}, ["watershed_size"]),
    ({"watershed_size": -1}, ["watershed_size"]),
    ({"watershed_dust": 2**62}, ["watershed_dust"]),
    ({"watershed_dust": INFINITE}, ["watershed_dust"]),
    ({"agglomeration_threshold": -0.0001}, ["agglomeration_threshold"]),
    ({"agglomeration_threshold": NAN}, ["agglomeration_threshold"]),
    ({"agglomeration_threshold": 1e-300}, ["agglomeration_threshold"]),
    ({"batch_chunks": 2**62}, ["batch_chunks"]),
    ({"batch_chunks": 3}, ["batch_chunks"]),
    ({"batch_chunks": True}, ["batch_chunks"]),
    # boxes and sizes
    ({"bbox": [0, 0, 0, 2**63, 1, 1]}, ["bbox"]),
    ({"bbox": [-(2**70), 0, 0, 1, 1, 1]}, ["bbox"]),
    ({"bbox": [0, 0, 0, 2**50, 2**50, 2**50]}, ["bbox"]),
    ({"bbox": [0, 0, 0, 2**20, 2**20, 2**20]}, ["bbox"]),
    ({"bbox": [10, 20, 30, 20, 30]}, ["bbox"]),
    ({"bbox": [10, 20, 30, 20, 30, 40, 50]}, ["bbox"]),
    ({"bbox": [True, 20, 30, 20, 30, 40]}, ["bbox"]),
    ({"bbox": [10.5, 20, 30, 20, 30, 40]}, ["bbox"]),
    ({"bbox": "10;20;30;20;30;40"}, ["bbox"]),
    ({"bbox": [20, 20, 30, 20, 30, 40]}, ["bbox"]),
    ({"bbox": [0, 0, 0, 5, 5, 5]}, ["bbox"]),
    ({"bbox": 5}, ["bbox"]),
    ({"bbox": {"x": 1}}, ["bbox"]),
    ({"bbox": [NAN, 20, 30, 20, 30, 40]}, ["bbox"]),
    ({"bbox": [[10, 20, 30], [20, 30, 40]]}, ["bbox"]),
    ({"frame": [0, 0, 0, 2**62, 2**62, 2**62]}, ["frame"]),
    ({"frame": [0, 0, 0, 20, 30, 40]}, ["frame"]),
    ({"chunk_size": [2**17, 64, 64]}, ["chunk_size"]),
    ({"chunk_size": [2**15, 2**15, 2**15]}, ["chunk_size"]),
    ({"chunk_size": [4096, 4096, 64]}, []),
    ({"chunk_size": "0,64,64"}, ["chunk_size"]),
    ({"chunk_size": None}, ["chunk_size"]),
    ({"block_size": [10**6, 1, 1]}, ["block_size"]),
    ({"block_size": [2**14, 2**14, 2**14]}, ["block_size"]),
    ({**IMAGE, "patch_size": [10**6, 10**6, 10**6]}, ["patch_size"]),
    ({**IMAGE, "patch_size": [4096, 4096, 4096]}, ["patch_size"]),
    ({**IMAGE, "patch_size": [97, 96, 96]}, ["patch_size"]),
    ({**IMAGE, "patch_overlap": [96, 16, 16]}, ["patch_overlap"]),
    ({**IMAGE, "patch_overlap": [200, 16, 16]}, ["patch_overlap"]),
    ({**IMAGE, "patch_overlap": [-1, 16, 16]}, ["patch_overlap"]),
    # folders
    ({"output": ""}, ["output"]),
    ({"output": "   "}, ["output"]),
    ({"output": None}, ["output"]),
    ({"output": 5}, ["output"]),
    ({"output": ["@new"]}, ["output"]),
    ({"output": "@affinities/run"}, ["output"]),
    ({"output": "@affinities"}, ["output"]),
    ({"output": "@"}, ["output"]),
    ({"output": "@file.txt"}, ["output"]),
    ({"output": "@file.txt/below/it"}, ["output"]),
    ({"output": "@loop/run"}, ["output"]),
    ({"output": "@" + "n" * 256}, ["output"]),
    ({"output": "@" + "ü" * 128}, ["output"]),
    ({"output": "@" + "/".join(["name"] * 1000)}, ["output"]),
    ({"output": "@a\0b"}, ["output"]),
    ({"output": "@a\nb"}, ["output"]),
    ({"output": "@a\x1b[31mb"}, ["output"]),
    ({"output": "@\ud800"}, ["output"]),
    ({"output": "ftp://host/run"}, ["output"]),
    ({"output": "s4://bucket/run"}, ["output"]),
    ({"output": "https://host/run"}, ["output"]),
    ({"output": "gs://"}, ["output"]),
    ({"output": "://bucket/run"}, ["output"]),
    ({"store": "@file.txt"}, ["store"]),
    ({"store": "@file.txt/store"}, ["store"]),
    ({"store": "@affinities/store"}, ["store"]),
    ({"store": "@" + "n" * 300}, ["store"]),
    ({"store": True}, ["store"]),
    ({"store": "http://host/store"}, ["store"]),
    # volumes
    ({"affinities": None}, [""]),
    ({"image": "@image"}, [""]),
    ({"affinities": "@none"}, ["affinities"]),
    ({"affinities": "@file.txt"}, ["affinities"]),
    ({"affinities": "@file.txt/below"}, ["affinities"]),
    ({"affinities": "@image"}, ["affinities"]),
    ({"affinities": "@labels"}, ["affinities"] * 2),
    ({"affinities": "zarr://@affinities"}, ["affinities"]),
    ({"affinities": "foo://bucket/x"}, ["affinities"]),
    ({"affinities": "@a\0"}, ["affinities"]),
    ({"affinities": "@" + "n" * 400}, ["affinities"]),
    ({"affinities": {"path": "x"}}, ["affinities"]),
    ({"ground_truth": "@image"}, ["ground_truth"]),
    ({"ground_truth": "@affinities"}, ["ground_truth"]),
    ({"ground_truth": "@none"}, ["ground_truth"]),
    ({"ground_truth": 7}, ["ground_truth"]),
    ({**IMAGE, "image": "@affinities"}, ["image"]),
    ({**IMAGE, "image": "@black"}, ["image"]),
    ({**IMAGE, "image": "@black", "grey_mean": 100, "grey_std": 20}, []),
    ({"missing_blocks": "ignore"}, ["missing_blocks"]),
    ({"missing_blocks": ["zero"]}, ["missing_blocks"]),
    # the net
    ({**IMAGE, "model": "boundary-fib52"}, ["model"]),
    ({**IMAGE, "model": "@"}, ["model"]),
    ({**IMAGE, "model": "@file.txt"}, ["model"]),
    ({**IMAGE, "model": "@array.npy"}, ["model"]),
    ({**IMAGE, "model": "@other.npz"}, ["model"]),
    ({**IMAGE, "model": ""}, ["model"]),
    ({**IMAGE, "model": "m" * 5000}, ["model"]),
    ({**IMAGE, "model": "a\0b"}, ["model"]),
    ({**IMAGE, "model": 3}, ["model"]),
    ({**IMAGE, "precision": "fp16"}, ["precision"]),
    ({**IMAGE, "affinity_dtype": "float16"}, ["affinity_dtype"]),
    ({**IMAGE, "grey_mean": 120}, ["grey_mean"]),
    ({**IMAGE, "grey_mean": 120, "grey_std": 0}, ["grey_std"]),
    ({**IMAGE, "grey_mean": NAN, "grey_std": 3}, ["grey_mean"]),
    ({**IMAGE, "grey_mean": 300, "grey_std": 3}, ["grey_mean"]),
    ({**IMAGE, "affinity_channels": "zyx"}, ["affinity_channels"]),
    ({"affinity_channels": "xxy"}, ["affinity_channels"]),
    ({"affinity_channels": "ZYX"}, ["affinity_channels"]),
    ({"affinity_edges": True}, ["affinity_edges"]),
    # rules
    ({"constraints": "abiss2062"}, ["constraints"]),
    ({"constraints": "[{"}, ["constraints"]),
    ({"constraints": {"rule": "size"}}, ["constraints"]),
    ({"constraints": 5}, ["constraints"]),
    ({"constraints": "[" * 100_000}, ["constraints"]),
    ({"constraints": "[" * 500 + "]" * 500}, ["constraints"]),
    ({"constraints": nested(100)}, ["constraints"]),
    ({"constraints": nested(100_000)}, ["constraints"]),
    ({"constraints": [5]}, ["constraints"]),
    ({"constraints": [{**SIZE, "rule": ["size"]}]}, ["constraints"]),
    ({"constraints": [{**SIZE, "rule": {}}]}, ["constraints"]),
    ({"constraints": [{**SIZE, "name": 5}]}, ["constraints"]),
    ({"constraints": [{**SIZE, "name": " "}]}, ["constraints"]),
    ({"constraints": [{**SIZE, "smaller_over": -1}]}, ["constraints"]),
    ({"constraints": [{**SIZE, "smaller_over": 2**64}]}, ["constraints"]),
    ({"constraints": [{**SIZE, "smaller_over": True}]}, ["constraints"]),
    ({"constraints": [{**SIZE, "below": 10**400}]}, ["constraints"]),
    ({"constraints": [{**SIZE, "below": NAN}]}, ["constraints"]),
    ({"constraints": [{**SIZE, "measure": ["voxels"]}]}, ["constraints"]),
    ({"constraints": [{**SIZE, "samller_over": 5}]}, ["constraints"]),
    ({"constraints": [SIZE, SIZE]}, ["constraints"]),
    ({"constraints": [{**SIZE, "below": 2}, {**TWIG, "edges": -1}]}, ["constraints", "constraints"]),
    ({"constraints": [{**TWIG, "delta": INFINITE}]}, ["constraints"]),
    ({"constraints": [{**SEMANTIC, "dominance": 1e-300}]}, ["constraints"]),
    ({"constraints": [{**SEMANTIC, "dominance": "most"}]}, ["constraints"]),
    ({**CLASSES, "constraints": [{**SEMANTIC, "forbidden": "all"}]}, ["constraints"]),
    ({**CLASSES, "constraints": [{**SEMANTIC, "forbidden": []}]}, ["constraints"]),
    ({**CLASSES, "constraints": [{**SEMANTIC, "forbidden": [["axon"]]}]}, ["constraints"]),
    ({**CLASSES, "constraints": [{**SEMANTIC, "forbidden": [["axon", 3]]}]}, ["constraints"]),
    ({**CLASSES, "constraints": [{**SEMANTIC, "forbidden": [["axon", ["dendrite"]]]}]}, ["constraints"]),
    ({**CLASSES, "constraints": [{**SEMANTIC, "forbidden": [["axon", {"a": 1}]]}]}, ["constraints"]),
    ({**CLASSES, "constraints": [{**SEMANTIC, "forbidden": [["axon", "soma"]]}]}, ["constraints"]),
    ({**CLASSES, "constraints": [{**SEMANTIC, "groups": []}]}, ["constraints"]),
    ({**CLASSES, "constraints": [{**SEMANTIC, "groups": {"a": "axon"}}]}, ["constraints"]),
    ({**CLASSES, "constraints": [{**SEMANTIC, "groups": {"a": [["axon"]]}}]}, ["constraints"]),
    ({**CLASSES, "constraints": [{**SEMANTIC, "groups": {"a": [1]}}]}, ["constraints"]),
    ({**CLASSES, "semantic_classes": "axon,axon"}, ["semantic_classes"]),
    ({**CLASSES, "semantic_classes": "axon,,soma"}, ["semantic_classes"]),
    ({**CLASSES, "semantic_classes": "ax\non,soma"}, ["semantic_classes"]),
    ({**CLASSES, "semantic_classes": [["axon"]]}, ["semantic_classes"]),
    ({**CLASSES, "semantic_classes": ["axon", 5]}, ["semantic_classes"]),
    ({**CLASSES, "semantic_classes": ",".join(f"class{n}" for n in range(300))}, ["semantic_classes"]),
    ({**CLASSES, "semantic": "@image"}, []),
    ({"semantic_classes": "axon"}, ["semantic"]),
    # names
    ({"chunksize": 5}, ["chunksize"]),
    ({"": 5}, [""]),
    ({"x" * 5000: 5}, ["x"]),
    ({"output ": "@new"}, ["output "]),
    ({"preset": "no-such"}, ["preset"]),
    ({"preset": ["a"]}, ["preset"]),
    ({"preset": 5}, ["preset"]),
    ({"preset": "no-such", "mip": -1, "output": "@file.txt"}, ["preset", "mip", "output"]),
    ({"inspect_after": "watershd"}, ["inspect_after"]),
    ({"inspect_after": ["watershed", 5]}, ["inspect_after"]),
    ({"inspect_after": True}, ["inspect_after"]),
    ({"inspect_after": [["watershed"]]}, ["inspect_after"]),
    # several at once
    (
        {
            "task_memory": NAN,
            "mip": True,
            "output": "a\0",
            "chunksize": 1,
            "affinity_channels": "x",
            "budget_dollars": 0,
        },
        ["task_memory", "mip", "output", "chunksize", "affinity_channels", "budget_dollars"],
    ),
    ({"output": "@file.txt", "bbox": [0, 0, 0, 5, 5, 5], "ground_truth": "@none"}, ["output", "bbox", "ground_truth"]),
    ({**IMAGE, "model": "@file.txt", "output": "@image/run"}, ["model", "output"]),
]


def make_volumes(found: Path) -> None:
    """Volumes of an image, affinities and labels in a folder, and things that are none."""
    box, random = Box.from_shape((10, 20, 30), SHAPE), np.random.default_rng(0)
    grey = random.integers(60, 200, SHAPE, np.uint8)
    for name, voxels, kind in (
        ("image", grey, {}),
        ("black", np.zeros_like(grey), {}),
        ("affinities", random.integers(0, 256, (*SHAPE, 3), np.uint8), {"channels": 3}),
        ("labels", random.integers(0, 3, SHAPE).astype(np.uint32), {"kind": "segmentation"}),
    ):
        made = create_volume(
            str(found / name),
            box,
            (10, 10, 10),
            dtype=str(voxels.dtype),
            pyramid=False,
            **kind,  # type: ignore[arg-type]
        )
        made.write(box, voxels)
    (found / "file.txt").write_text("no volume, no net, no folder\n")
    (found / "loop").symlink_to(found / "loop")
    np.save(found / "array.npy", grey)
    np.savez(found / "other.npz", grey=grey)


def odd_values(folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """A set in which nothing is wrong but for `changes`."""
    values = {"affinities": "@affinities", "output": "@new", **changes}
    return {
        name: value.replace("@", f"{folder}/") if isinstance(value, str) else value for name, value in values.items()
    }

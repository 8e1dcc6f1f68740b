"""Where a run's folders may lie: neither in a file nor in an input, nor around one."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

from seuron.engine.pipeline import Pipeline
from seuron.params.run_parameters import RunParameters
from seuron.storage import Storage, cloud_path, local_folder


def place_problems(pipeline: Pipeline, params: RunParameters) -> list[str]:
    """A sentence for each folder of a run that cannot be written to, or that shares its place with an input."""
    folders = {"output": params.output} | ({"store": params.store} if params.store is not None else {})
    problems = []
    for name, path in folders.items():
        obstacle = Storage(path).obstacle()
        if obstacle is not None:
            problems.append(f"`{name}`: {cloud_path(path)} cannot be made: {obstacle}; choose another folder")
        problems += [
            f"`{name}`: {cloud_path(path)} {how} `{source}`, {cloud_path(read.path)}; choose a folder beside it"
            for source, read in pipeline.sources(params).items()
            if (how := _relation(path, read.path))
        ]
    if params.store is not None and _place(params.store) == _place(params.output):
        problems.append("`store`: it is the `output` folder itself; leave it out, or give a folder of its own")
    return problems


def _relation(path: str, other: str) -> str:
    """How two paths overlap, in words; empty where they do not."""
    mine, its = _place(path), _place(other)
    if mine == its:
        return "is the folder of"
    if its in mine.parents:
        return "lies in the folder of"
    return "is a folder around" if mine in its.parents else ""


def _place(path: str) -> PurePosixPath:
    """A path, links followed where it is one of this machine."""
    folder = local_folder(path)
    return PurePosixPath(cloud_path(path) if folder is None else os.path.realpath(folder))

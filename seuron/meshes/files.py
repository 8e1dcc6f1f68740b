"""A mesh as a file of other tools: OBJ and PLY, by zmesh."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.errors import ParameterErrors

FORMATS = ("obj", "ply")


def mesh_file(points_nm: NDArray[np.float32], triangles: NDArray[np.uint32], suffix: str) -> bytes:
    """The content of an OBJ or PLY file; points (N, 3) in nm, triangles (M, 3)."""
    import zmesh

    if suffix not in FORMATS:
        raise ParameterErrors([f"a mesh is written as {' or '.join(FORMATS)}, got {suffix!r}"], "the file")
    mesh = zmesh.Mesh(points_nm, triangles, None)
    content: Any = mesh.to_obj() if suffix == "obj" else mesh.to_ply()
    return content.encode() if isinstance(content, str) else bytes(content)

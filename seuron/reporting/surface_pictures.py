"""Pictures of the surfaces of segments in three dimensions, drawn without a display and without a GPU.

VTK draws in a process of its own: on a machine without any OpenGL it may end that process, not this one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seuron.errors import RunError

#: Width and height of a picture.
PIXELS = (720, 560)
#: VTK draws off the screen without asking for a display first.
_WINDOW = {"VTK_DEFAULT_OPENGL_WINDOW": "vtkEGLRenderWindow"}
#: A picture takes a few seconds; a minute on a busy machine.
_SECONDS = 300
_DRAW = "import sys; from seuron.reporting.surface_pictures import draw_file; draw_file(sys.argv[1], sys.argv[2])"


@dataclass(frozen=True)
class ColouredSurface:
    """A surface: vertices (N, 3) XYZ in nm, triangles (M, 3) of their indices, and a colour RGB, 0 to 255."""

    vertices: NDArray[np.float32]
    triangles: NDArray[np.uint32]
    colour: tuple[int, int, int]


def draw_surfaces(surfaces: Sequence[ColouredSurface], size: tuple[int, int] = PIXELS) -> Image.Image:
    """The surfaces as Neuroglancer shows them, a little turned: x to the right, y down, z away from who looks.

    Raises RunError where this machine cannot draw.
    """
    shown = [surface for surface in surfaces if surface.triangles.size]
    if not shown:
        raise RunError("there is no surface to draw: every one is without triangles")
    arrays = {"size": np.array(size), "colours": np.array([surface.colour for surface in shown], np.uint8)}
    for number, surface in enumerate(shown):
        arrays |= {f"vertices {number}": surface.vertices, f"triangles {number}": surface.triangles}
    with TemporaryDirectory() as folder:
        given, drawn = Path(folder, "surfaces.npz"), Path(folder, "picture.png")
        np.savez(given, **arrays)  # type: ignore[arg-type]
        command = [sys.executable, "-c", _DRAW, str(given), str(drawn)]
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=_SECONDS, env={**os.environ, **_WINDOW}
            )
            with Image.open(drawn) as picture:
                return picture.convert("RGB")
        except (subprocess.SubprocessError, OSError) as error:
            said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
            raise RunError(
                f"VTK cannot draw on this machine ({said[-1] if said else error}); install the extra `products` of "
                "seuron, and Mesa's OpenGL (libegl1) where there is none"
            ) from error


def draw_file(given: str, drawn: str) -> None:
    """Draw the surfaces of one file into another: what the process of its own does."""
    import pyvista as pv

    pyvista: Any = pv  # its types are those of wrapped functions
    with np.load(given) as arrays:
        plotter = pyvista.Plotter(off_screen=True, window_size=arrays["size"].tolist())
        plotter.set_background("white")
        for number, colour in enumerate(arrays["colours"].tolist()):
            triangles = arrays[f"triangles {number}"].astype(int)
            mesh = pyvista.PolyData.from_regular_faces(arrays[f"vertices {number}"], triangles)
            plotter.add_mesh(mesh, color=tuple(colour), smooth_shading=True)
    plotter.camera_position = [(0.35, -0.25, -1.0), (0.0, 0.0, 0.0), (0.0, -1.0, 0.0)]
    plotter.reset_camera()
    plotter.screenshot(drawn)
    plotter.close()

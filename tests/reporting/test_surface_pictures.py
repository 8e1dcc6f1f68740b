"""Pictures of surfaces, drawn where there is neither display nor GPU."""

from __future__ import annotations

import numpy as np
import pytest

from seuron.errors import RunError
from seuron.reporting.surface_pictures import ColouredSurface, draw_surfaces

pytest.importorskip("pyvista")

CORNERS = np.array(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), np.float32).reshape(3, 8).T
TRIANGLES = np.array(
    [
        *([0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]),
        *([2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]),
    ],
    np.uint32,
)


def cube(corner: tuple[float, float, float], colour: tuple[int, int, int]) -> ColouredSurface:
    return ColouredSurface((CORNERS + corner).astype(np.float32) * 100, TRIANGLES, colour)


def test_surfaces_are_drawn_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has the higher x is to the right, what has the higher y below; each has its colour, the rest is white."""
    monkeypatch.delenv("DISPLAY", raising=False)
    drawn = np.asarray(draw_surfaces([cube((0, 0, 0), (220, 40, 40)), cube((3, 3, 0), (40, 40, 220))], (300, 300)))
    assert drawn.shape == (300, 300, 3)
    red = (drawn[..., 0].astype(int) - drawn[..., 2] > 40).nonzero()
    blue = (drawn[..., 2].astype(int) - drawn[..., 0] > 40).nonzero()
    assert min(len(red[0]), len(blue[0])) > 300
    assert red[1].max() < blue[1].min()
    assert red[0].max() < blue[0].min()
    assert (drawn == 255).all(axis=-1).mean() > 0.4


def test_nothing_to_draw_is_an_error() -> None:
    """A picture of no triangle would be white, and say that there is nothing."""
    empty = ColouredSurface(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint32), (0, 0, 0))
    with pytest.raises(RunError, match="no surface to draw"):
        draw_surfaces([empty])

"""Section defects along z: what a microtome, a beam or a stage does to single sections.

A defect changes only the image: the labels say where the tissue is once sections are aligned and repaired.
`SyntheticVolume.displacement` holds the shifts that an alignment should find.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.special import expit

from seuron.errors import PermanentError

Image = npt.NDArray[np.uint8]
Section = npt.NDArray[np.float32]

FOLD_GREY, CRACK_GREY = 45.0, 215.0
"""Folded tissue is two sections thick and dark; a crack shows the bare support, bright."""


@dataclass(frozen=True)
class Defects:
    """Which sections (z indices) are damaged, and how much. The default is no damage.

    Attributes:
        shifted: sections moved in x and y by up to `shift_px`, at least 1 px in all.
        shift_px: largest shift along x and y, pixels.
        missing: sections of grey value 0.
        folded: sections with a dark fold across them; the tissue on both sides is pulled towards it.
        fold_px: width of the fold's dark band, pixels.
        cracked: sections with a bright crack that runs across them.
        crack_px: width of the crack, pixels.
        recontrasted: sections whose grey values become `mean + contrast * (v - mean) + brightness`.
        contrast: factor; 1 is none.
        brightness: grey values added.
    """

    shifted: tuple[int, ...] = ()
    shift_px: int = 8
    missing: tuple[int, ...] = ()
    folded: tuple[int, ...] = ()
    fold_px: float = 6.0
    cracked: tuple[int, ...] = ()
    crack_px: float = 4.0
    recontrasted: tuple[int, ...] = ()
    contrast: float = 0.6
    brightness: float = 25.0

    def check(self, depth: int) -> None:
        """Raise PermanentError unless every section is in `0..depth - 1` and every size is positive."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and any(not 0 <= z < depth for z in value):
                raise PermanentError(
                    f"defects.{field.name}: got sections {value}; the volume has sections 0..{depth - 1}"
                )
        for name in ("shift_px", "fold_px", "crack_px", "contrast"):
            if not getattr(self, name) > 0:
                raise PermanentError(f"defects.{name}: got {getattr(self, name)}; it must be positive")


def apply_defects(image: Image, defects: Defects, seed: int) -> tuple[Image, npt.NDArray[np.int32]]:
    """The damaged image and each section's displacement.

    Args:
        image: uint8 `(X, Y, Z)`.
        defects: what to do.
        seed: with the section's index it fixes each defect, whatever the other sections have.

    Returns:
        The image, a copy if anything changes, and the displacement, int32 `(Z, 2)`: what is at `(x, y)` of the
        undamaged section is at `(x, y) + displacement`.
    """
    defects.check(image.shape[2])
    displacement = np.zeros((image.shape[2], 2), np.int32)
    hurt = {*defects.shifted, *defects.missing, *defects.folded, *defects.cracked, *defects.recontrasted}
    if hurt:
        image = image.copy(order="F")
    for z in sorted(hurt):
        rng = np.random.default_rng([seed, z])
        section = image[..., z].astype(np.float32)
        mean = float(section.mean())
        if z in defects.recontrasted:
            section = mean + defects.contrast * (section - mean) + defects.brightness
        if z in defects.shifted:
            displacement[z] = _draw_shift(defects.shift_px, rng)
            section = ndimage.shift(section, displacement[z], order=0, mode="reflect")
        if z in defects.folded:
            section = _fold(section, defects.fold_px, rng)
        if z in defects.cracked:
            section = _crack(section, defects.crack_px, rng)
        if z in defects.missing:
            section = np.zeros_like(section)
        image[..., z] = np.clip(np.rint(section), 0, 255).astype(np.uint8)
    return image, displacement


def _draw_shift(limit: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    shift = rng.integers(-limit, limit + 1, 2)
    while not shift.any():
        shift = rng.integers(-limit, limit + 1, 2)
    return np.asarray(shift, np.int64)


def _line_distance(shape: tuple[int, ...], rng: np.random.Generator) -> Section:
    """Signed distance, px, from a wavy line through the middle half of a section `(X, Y)`."""
    angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
    centre = [n * rng.uniform(0.25, 0.75) for n in shape]
    x, y = np.meshgrid(*(np.arange(n) - c for n, c in zip(shape, centre, strict=True)), indexing="ij")
    along = x * np.cos(angle) + y * np.sin(angle)
    across = -x * np.sin(angle) + y * np.cos(angle)
    wave = 0.04 * min(shape) * np.sin(along * 2 * np.pi / (0.6 * max(shape)) + phase)
    distance: Section = (across + wave).astype(np.float32)
    return distance


def _fold(section: Section, width: float, rng: np.random.Generator) -> Section:
    """Tissue slides towards the fold, by its width at the fold and less further away."""
    distance = _line_distance(section.shape, rng)
    gradient = np.stack([np.gradient(distance, axis=axis) for axis in range(2)])
    pull = width * np.sign(distance) * np.exp(-np.abs(distance) / (8 * width))
    where = np.stack(np.meshgrid(*map(np.arange, section.shape), indexing="ij")) + gradient * pull
    moved: Section = ndimage.map_coordinates(section, where, order=1, mode="reflect")
    band = expit((width / 2 - np.abs(distance)) / 0.7)
    folded: Section = (moved + (np.minimum(FOLD_GREY, moved) - moved) * band).astype(np.float32)
    return folded


def _crack(section: Section, width: float, rng: np.random.Generator) -> Section:
    """A bright gap whose edges are ragged."""
    ragged = ndimage.gaussian_filter(rng.standard_normal(section.shape), 3.0)
    ragged *= 0.5 * width / (ragged.std() + 1e-12)
    distance = np.abs(_line_distance(section.shape, rng)) + np.maximum(ragged, -width / 2)
    gap = expit((width / 2 - distance) / 0.6)
    cracked: Section = (section + (CRACK_GREY - section) * gap).astype(np.float32)
    return cracked

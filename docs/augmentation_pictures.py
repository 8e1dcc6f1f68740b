"""Makes docs/images/augmentations.png: `PYTHONPATH=. python docs/augmentation_pictures.py`.

Each row is one augmentation of synthetic tissue in 8x8x40 nm voxels: three neighbouring sections, and a cut along z on
the right. Bodies are outlined where the labels are after it, so that what moves together is seen to.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from seuron.box import Box, Triple, triple
from seuron.nets.normalisation import measure_normalisation
from seuron.synth import SyntheticVolume, synthesize
from seuron.training.augmentations import LabelledPatch, PatchChange
from seuron.training.augmentations.grey import recontrast_plane, vary_grey
from seuron.training.augmentations.lost_sections import LostSections
from seuron.training.augmentations.misalignment import MisalignedMissing, Misalignment
from seuron.training.augmentations.orientation import Orientation
from seuron.training.augmentations.sections import BLACK, BlankSections, BlurredSections
from seuron.training.augmentations.warp import Warp
from seuron.training.targets import grow_boundaries

PICTURE = Path(__file__).parent / "images" / "augmentations.png"
RESOLUTION = (8.0, 8.0, 40.0)
SIZE: Triple = (112, 112, 12)
#: The section in the middle of a row, and pixels that a section is high in the cut along z.
MIDDLE, THICK = 6, 9
#: Where the patch begins.
CORNER = (40, 40, 4)
CAPTION = 14
#: A seed with which the plane of another contrast is the middle section.
IN_THE_MIDDLE = 39

_ALL, _HALF = slice(0, SIZE[0]), slice(0, SIZE[0] // 2)


def families() -> dict[str, PatchChange | None]:
    """One change of each family of the paper, with numbers that show; None where grey values change alone."""
    step = Misalignment(MIDDLE, SIZE[2], (22, -14), labels_move=True)
    blank = BlankSections(((MIDDLE, (_ALL, _ALL)),), (BLACK,))
    areas = ((MIDDLE, (_ALL, _ALL)), (MIDDLE + 1, (_HALF, _ALL)))
    return {
        "none": BlankSections((), ()),
        "flip and rotation": Orientation(np.random.default_rng(4), RESOLUTION, SIZE),
        "brightness and contrast": None,
        "warping": Warp((56, 56, 0), 0.6, 0.2, (0.1, -0.05), (0.15, -0.1), (0.1, 0.05)),
        "misalignment: a step": step,
        "slip interpolation: the image slips, the labels stay": Misalignment(MIDDLE, MIDDLE + 1, (16, 12), False),
        "missing sections": BlankSections(areas, (BLACK, 1.0)),
        "out-of-focus sections": BlurredSections(areas, (3.0, 3.0)),
        "misalignment and missing section": MisalignedMissing(step, blank),
        "lost sections": LostSections((MIDDLE, MIDDLE + 1)),
        "lost and missing sections": LostSections((MIDDLE, MIDDLE + 2), (MIDDLE,), BLACK),
        "a plane of another contrast": None,
    }


def changed(tissue: SyntheticVolume, name: str, change: PatchChange | None) -> LabelledPatch:
    """The patch with one change."""
    extra = change.extra if change is not None else (0, 0, 0)
    cut = Box.from_shape(CORNER, triple([a + b for a, b in zip(SIZE, extra, strict=True)])).slices
    image = measure_normalisation(tissue.image).apply(tissue.image)[cut]
    patch = LabelledPatch(image, tissue.labels[cut], np.ones(image.shape, bool))
    if change is not None:
        return change.apply(patch)
    brightness = name.startswith("brightness")
    rng = np.random.default_rng(6 if brightness else IN_THE_MIDDLE)
    varied = vary_grey(image, rng) if brightness else recontrast_plane(image, rng)
    return LabelledPatch(varied, patch.labels, patch.known)


def row(patch: LabelledPatch) -> npt.NDArray[np.uint8]:
    """Three sections and a cut along z side by side, `(height, width, 3)`."""
    grey = np.clip(patch.image * 42 + 128, 0, 255).astype(np.uint8)
    # Labels that nobody knows, and boundaries, are drawn over: each side of a boundary in the plane is a pixel wide.
    border = grow_boundaries(np.where(patch.known, patch.labels, 0), 1, (0, 1)) == 0
    coloured = np.repeat(grey[..., None], 3, axis=3)
    coloured[border] = (0.45 * coloured[border] + 0.55 * np.array([255, 140, 0])).astype(np.uint8)
    sections = [coloured[:, :, z].transpose(1, 0, 2) for z in (MIDDLE - 1, MIDDLE, MIDDLE + 1)]
    along_z = np.repeat(coloured[:, SIZE[1] // 2].transpose(1, 0, 2), THICK, axis=0)
    padded = np.zeros_like(sections[0])
    padded[: len(along_z)] = along_z
    gap = np.full((SIZE[1], 4, 3), 255, np.uint8)
    return np.hstack([part for one in (*sections, padded) for part in (one, gap)])


def main() -> None:
    """Draw all of them."""
    tissue = synthesize((260, 260, 24), 3, resolution=RESOLUTION)
    rows = []
    for name, change in families().items():
        caption = Image.new("RGB", (4 * (SIZE[0] + 4), CAPTION), "white")
        ImageDraw.Draw(caption).text((2, 1), name, fill="black")
        rows += [np.asarray(caption), row(changed(tissue, name, change))]
    left, right = np.vstack(rows[: len(rows) // 2]), np.vstack(rows[len(rows) // 2 :])
    Image.fromarray(np.hstack([left, right])).quantize(96).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()

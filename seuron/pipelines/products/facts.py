"""What a products run needs to know of its input, and the type of its runs."""

from __future__ import annotations

from dataclasses import dataclass

from seuron.engine.pipeline import Facts
from seuron.engine.run import Run
from seuron.pipelines.products.params import ProductsParams


@dataclass(frozen=True)
class ProductsFacts(Facts):
    """The box, the voxel size, and the type of the labels and of the affinities, empty where none are given."""

    label_dtype: str
    affinity_dtype: str = ""


ProductsRun = Run[ProductsParams, ProductsFacts]

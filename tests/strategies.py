"""Hypothesis strategies for affinity maps, region graphs and the parameters of a segmentation."""

from __future__ import annotations

import os
from typing import Any

import constraint_examples
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from abiss_py import Constraint, Contacts, CustomRule, SemanticRule, SizeRule, TwigRule

Triple = tuple[int, int, int]
#: Whether kernels run as plain Python, to see which lines are run; predicates of own rules must be compiled.
WITHOUT_JIT = os.environ.get("NUMBA_DISABLE_JIT") == "1"


def shapes(largest: int = 9) -> st.SearchStrategy[Triple]:
    """Small volumes, one-voxel dimensions included."""
    return st.tuples(*(st.integers(1, largest) for _ in range(3)))


@st.composite
def affinity_maps(draw: st.DrawFn, largest: int = 9) -> NDArray[Any]:
    """Affinities (X, Y, Z, 3), float32 or uint8: smooth or full of ties, with and without masked voxels."""
    shape = draw(shapes(largest))
    seed = draw(st.integers(0, 2**32 - 1))
    levels = draw(st.sampled_from([1, 2, 3, 4, 10, 255, 2**24]))
    masked = draw(st.sampled_from([0.0, 0.0, 0.2, 0.6, 1.0]))
    dtype = draw(st.sampled_from([np.float32, np.uint8]))
    random = np.random.default_rng(seed)
    values = random.integers(0, levels + 1, (*shape, 3)) / levels
    values[random.random(shape) < masked] = 0
    values = np.round(values * 255) if dtype == np.uint8 else values
    return np.asfortranarray(values.astype(dtype))


@st.composite
def settings_of_segmentation(draw: st.DrawFn) -> dict[str, Any]:
    """The keyword arguments of `abiss_py.segment`, thresholds that tie with the maps' values among them."""
    low = draw(st.sampled_from([0.0, 0.1, 0.3, 1 / 3]))
    return {
        "high": draw(st.sampled_from([0.5, 0.6, 0.9, 1.0])),
        "low": low,
        "size": draw(st.integers(0, 40)),
        "dust": draw(st.integers(0, 15)),
        "threshold": draw(st.sampled_from([0.0, 0.1, 0.3, 0.5, 2 / 3, 1.0])),
    }


#: Classes 1, 2, ... of the tests' semantic labels.
CLASS_NAMES = ("axon", "dendrite", "soma", "glia")


def semantic_labels(shape: Triple, seed: int) -> NDArray[np.uint8]:
    """Class numbers (X, Y, Z), 0 for none, in blocks of three voxels so that clusters show a class."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, len(CLASS_NAMES) + 1, [-(-n // 3) for n in shape])
    fine = coarse.repeat(3, 0).repeat(3, 1).repeat(3, 2)[tuple(slice(n) for n in shape)]
    return np.asfortranarray(fine.astype(np.uint8))


def ranges() -> st.SearchStrategy[dict[str, float | None]]:
    """Bounds of a rule's means, open ones and ones that tie with the maps' values among them."""
    bound = st.sampled_from([None, None, 0.3, 0.5, 2 / 3, 1.0])
    return st.fixed_dictionaries({"below": bound, "above": st.sampled_from([None, None, 0.0, 0.3, 0.5])})


@st.composite
def constraint_lists(draw: st.DrawFn) -> list[Constraint]:
    """One to three rules of any kind, with numbers that small volumes reach."""
    few = st.integers(0, 30)
    rules: list[Constraint] = []
    for number in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["size", "semantic", "twig", *([] if WITHOUT_JIT else ["custom"])]))
        common = {"name": f"{kind} {number}", **draw(ranges())}
        if kind == "size":
            measure = draw(st.sampled_from(["voxels", "supervoxels"]))
            limits = {name: draw(few) for name in ("smaller_over", "larger_over", "sum_over")}
            limits = limits if measure == "voxels" else {name: value // 10 for name, value in limits.items()}
            rules.append(SizeRule(measure=measure, **limits, **common))
        elif kind == "semantic":
            pairs = (("neuron", "glia"), ("axon", "dendrite"))
            forbidden = draw(st.sampled_from(["different", pairs]))
            groups = {"neuron": ("axon", "dendrite", "soma")}
            dominance = draw(st.sampled_from([0.51, 0.6, 0.75, 1.0]))
            evidence = draw(st.integers(0, 10))
            rules.append(
                SemanticRule(evidence=evidence, dominance=dominance, forbidden=forbidden, groups=groups, **common)
            )
        elif kind == "twig":
            delta = draw(st.sampled_from([-0.5, -0.1, 0.0, 0.1]))
            rules.append(TwigRule(voxels=draw(few), edges=draw(st.integers(0, 6)), delta=delta, **common))
        else:
            predicate = draw(st.sampled_from([constraint_examples.tiny, constraint_examples.many_edges]))
            rules.append(CustomRule(predicate=predicate, **common))
    return rules


@st.composite
def region_graphs(draw: st.DrawFn) -> Contacts:
    """Contacts of up to 12 supervoxels, means of bytes, full of ties."""
    pairs = [(a, b) for a in range(1, 13) for b in range(a + 1, 13)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=30))
    counts = draw(st.lists(st.integers(1, 6), min_size=len(chosen), max_size=len(chosen)))
    levels = draw(st.sampled_from([1, 2, 5, 255]))
    totals = [count * draw(st.integers(0, levels)) * (255 // levels) for count in counts]
    firsts = draw(st.permutations(range(len(chosen))))
    a, b = ([pair[side] for pair in chosen] for side in (0, 1))
    return Contacts(*(np.array(column, np.int64) for column in (a, b, totals, counts, firsts)))

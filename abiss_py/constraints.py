"""Constraints: rules that forbid joins, as data.

The contact that comes up first is joined unless a rule vetoes it; a vetoed contact is gone for good.
A rule looks at the contact (mean, number of voxel edges) and at the two clusters' own rows
(`abiss_py.clusters`) at that moment, and at nothing else: that is what keeps the result the same for
every chunking. docs/constraints.md shows each rule, and how to add one's own.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from fractions import Fraction
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from abiss_py import predicates
from abiss_py.dtypes import SMALLEST_THRESHOLD, exact_threshold
from abiss_py.errors import ArgumentError
from abiss_py.kernels import constraints as kernels

#: How a predicate is named in data.
PREDICATE_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")
MEASURES = ("voxels", "supervoxels")
#: A share of one class is a decimal of at most this many digits, so that it is compared as the fraction it means.
DOMINANCE_DIGITS = 9


def _is_number(value: Any) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return abs(value) < 2**62 if isinstance(value, int) else math.isfinite(value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """What all rules have: a name, and the mean affinities between which they are active.

    A rule is active where the mean is above `above` and below `below`; None leaves that side open.
    """

    name: str
    below: float | None = None
    above: float | None = None

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        if problems := self.problems():
            raise ArgumentError(f"the {self.kind} rule {self.name!r}: " + "; ".join(problems))

    def problems(self) -> list[str]:
        """What is wrong with the rule's values, a phrase for each."""
        found = [] if _is_name(self.name) else [f"name is {self.name!r}; expected a text"]
        for key in ("below", "above"):
            value = getattr(self, key)
            if value is not None and not (_is_number(value) and (value == 0 or SMALLEST_THRESHOLD <= value <= 1)):
                found.append(f"{key} is {value!r}; allowed are 0 and 2^-30 to 1, or null for no bound")
        return found

    def range(self, threshold: float) -> tuple[float | None, float | None]:
        """The bounds `below` and `above` in an agglomeration with this threshold."""
        return self.below, self.above

    @property
    def depends_on_threshold(self) -> bool:
        """Whether the same contact may be vetoed in an agglomeration with one threshold, and joined with another."""
        return False

    def _counts(self, *names: str) -> list[str]:
        """A phrase for each of these that is no whole number from 0 up."""
        values = {name: getattr(self, name) for name in names}
        return [f"{name} is {v!r}; allowed are whole numbers from 0" for name, v in values.items() if not _is_count(v)]


@dataclass(frozen=True, kw_only=True)
class SizeRule(_Rule):
    """Forbids to join two clusters that are both large: the "dumbbell".

    Vetoes when the smaller one is over `smaller_over`, the larger over `larger_over` and their sum over
    `sum_over`, counted in `measure`.
    """

    measure: Literal["voxels", "supervoxels"] = "voxels"
    smaller_over: int = 0
    larger_over: int = 0
    sum_over: int = 0

    kind = "size"

    def problems(self) -> list[str]:
        found = super().problems() + self._counts("smaller_over", "larger_over", "sum_over")
        if self.measure not in MEASURES:
            found.append(f"measure is {self.measure!r}; allowed are {' and '.join(MEASURES)}")
        return found


@dataclass(frozen=True, kw_only=True)
class SemanticRule(_Rule):
    """Forbids to join two clusters of different semantic classes.

    A cluster shows a class, or a group of classes, when at least `evidence` of its voxels are labelled
    and at least the share `dominance` of these are of it; without labelled voxels it shows none.
    `forbidden` is "different" (any two classes) or pairs of names; `groups` are further names, for
    several classes together. Without classes the rule has nothing to look at and vetoes nothing.
    """

    evidence: int
    dominance: float
    forbidden: Literal["different"] | tuple[tuple[str, str], ...] = "different"
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    kind = "semantic"

    def problems(self) -> list[str]:
        found = super().problems() + self._counts("evidence")
        if not (_is_number(self.dominance) and 0.5 < self.dominance <= 1):
            found.append(f"dominance is {self.dominance!r}; allowed are shares above 0.5, to 1")
        elif self.share.denominator > 10**DOMINANCE_DIGITS:
            found.append(f"dominance is {self.dominance!r}; allowed are at most {DOMINANCE_DIGITS} decimals")
        if self.forbidden != "different" and not (
            isinstance(self.forbidden, tuple)
            and self.forbidden
            and all(isinstance(pair, tuple) and len(pair) == 2 and all(map(_is_name, pair)) for pair in self.forbidden)
        ):
            found.append(f'forbidden is {self.forbidden!r}; allowed are "different" and a list of pairs of names')
        if not isinstance(self.groups, Mapping) or not all(
            _is_name(group) and isinstance(names, tuple) and names and all(map(_is_name, names))
            for group, names in self.groups.items()
        ):
            found.append(f"groups is {self.groups!r}; expected names, each with a list of class names")
        return found

    @property
    def share(self) -> Fraction:
        """`dominance` as the decimal that was written: 0.6 is 3/5."""
        return Fraction(str(self.dominance))

    def masks(self, class_names: Sequence[str]) -> NDArray[np.bool_]:
        """The forbidden pairs as sets of classes, (pairs, 2, classes); raises ArgumentError for unknown names."""
        if self.forbidden == "different" or not class_names:
            return np.zeros((0, 2, len(class_names)), np.bool_)
        pairs = [[self.groups.get(name, (name,)) for name in pair] for pair in self.forbidden]
        wanted = {name for pair in pairs for names in pair for name in names}
        if unknown := sorted(wanted - set(class_names)):
            raise ArgumentError(
                f"the semantic rule {self.name!r} speaks of {', '.join(unknown)}; the classes are "
                f"{', '.join(class_names)}. Name the classes so, or give the rule other names"
            )
        return np.array([[[name in names for name in class_names] for names in pair] for pair in pairs])


@dataclass(frozen=True, kw_only=True)
class TwigRule(_Rule):
    """Forbids to join a small cluster by a thin contact of a low mean.

    Vetoes when the smaller cluster has at most `voxels` voxels and the contact at most `edges` voxel
    edges, where the mean is below the agglomeration's threshold minus `delta`, too. No contact that low
    is ever joined unless `delta` is negative: with -0.1 the rule reaches 0.1 above the threshold.
    """

    voxels: int
    edges: int
    delta: float = 0.0

    kind = "twig"

    def problems(self) -> list[str]:
        found = super().problems() + self._counts("voxels", "edges")
        if not (_is_number(self.delta) and -1 <= self.delta <= 1):
            found.append(f"delta is {self.delta!r}; allowed are affinities from -1 to 1")
        return found

    def range(self, threshold: float) -> tuple[float | None, float | None]:
        below = threshold - self.delta
        below = below if below >= SMALLEST_THRESHOLD else 0.0
        return below if self.below is None else min(below, self.below), self.above

    @property
    def depends_on_threshold(self) -> bool:
        return self.delta < 0  # others never veto a contact above the threshold, whichever it is


@dataclass(frozen=True, kw_only=True)
class CustomRule(_Rule):
    """A rule of one's own: `predicate(total, count, a, b)` says whether a join is forbidden.

    `total` and `count` are the contact's sum (in steps of the affinities' type) and number of voxel
    edges; `a` and `b` int64 rows of both clusters, that with the smaller id first: voxels, supervoxels,
    voxels of class 1, 2, ... The function is compiled by numba: it may use numbers, loops and numpy,
    must not raise, and must depend on nothing but its arguments. As data it is "module:function",
    which `import_predicates` turns into the function.
    """

    predicate: Callable[..., bool] | str

    kind = "custom"

    def problems(self) -> list[str]:
        """What is wrong with the rule as it is written. Nothing is imported: a rule may be read by whoever shows it."""
        found = super().problems()
        if isinstance(self.predicate, str):
            if not PREDICATE_NAME.fullmatch(self.predicate):
                found.append(f'predicate is {self.predicate!r}; expected a function or "module:function"')
        elif reason := predicates.refusal(self.predicate):
            found.append(reason)
        return found

    def function(self) -> Callable[..., bool]:
        """The predicate; raises ArgumentError where it is only named (`import_predicates` gives the function)."""
        if isinstance(self.predicate, str):
            raise ArgumentError(
                f"the custom rule {self.name!r} names its predicate, {self.predicate!r}; "
                "give the rules to `import_predicates` first, with the modules that may be imported"
            )
        return self.predicate


Constraint = SizeRule | SemanticRule | TwigRule | CustomRule
KINDS: dict[str, type[Constraint]] = {rule.kind: rule for rule in (SizeRule, SemanticRule, TwigRule, CustomRule)}

#: Rule lists by name: those of the paper (arXiv 2106.10795 and the petascale reconstruction made with
#: it) and those of the C++ reference implementation, which differ.
PRESETS: dict[str, tuple[Constraint, ...]] = {
    "macrina2021": (
        SemanticRule(
            name="semantic",
            below=0.5,
            evidence=170_000,
            dominance=0.6,
            forbidden=(("neuron", "glia"), ("axon", "dendrite"), ("axon", "soma")),
            groups={"neuron": ("axon", "dendrite", "soma")},
        ),
        SizeRule(name="size", below=0.5, measure="supervoxels", smaller_over=1000, larger_over=10_000),
    ),
    "abiss2026": (
        SemanticRule(name="semantic", below=0.5, evidence=100_000, dominance=0.6),
        SizeRule(name="size", below=0.35, smaller_over=1_000_000, sum_over=10_000_000),
        TwigRule(name="twig", voxels=100_000, edges=50),
    ),
}


def parse_constraints(data: str | Sequence[Mapping[str, Any]]) -> tuple[Constraint, ...]:
    """The rules that a preset's name or a list of dictionaries stands for.

    A dictionary has `rule` (size, semantic, twig or custom) and the fields of that rule. Raises
    ArgumentError that tells everything that is wrong, a line for each.
    """
    if isinstance(data, str):
        if data not in PRESETS:
            raise ArgumentError(
                f"no preset is called {data!r}; known are {', '.join(PRESETS)}, or give a list of rules"
            )
        return PRESETS[data]
    if not isinstance(data, Sequence):
        raise ArgumentError(f"constraints are {data!r}; expected a preset's name or a list of rules")
    rules, problems = [], []
    for number, item in enumerate(data):
        try:
            rules.append(_parse(item))
        except ArgumentError as error:
            problems.append(f"constraint {number}: {error}")
    names = [rule.name for rule in rules]
    problems += [f"two constraints are called {name!r}; give each its own name" for name in _repeated(names)]
    if problems:
        raise ArgumentError("\n".join(problems))
    return tuple(rules)


def dump_constraints(constraints: Sequence[Constraint]) -> list[dict[str, Any]]:
    """Rules as plain data that `parse_constraints` reads back; raises ArgumentError for unnamed functions."""
    return [_dump(rule) for rule in constraints]


def import_predicates(constraints: Sequence[Constraint], modules: Collection[str]) -> tuple[Constraint, ...]:
    """The rules, with the functions that custom rules name; only these modules are imported.

    Raises ArgumentError, a line for each rule, for other modules, for what cannot be imported and for what is no
    plain function.
    """
    found, problems = list[Constraint](), list[str]()
    for rule in constraints:
        try:
            if isinstance(rule, CustomRule) and isinstance(rule.predicate, str):
                rule = replace(rule, predicate=predicates.imported(rule.predicate, modules))
        except ArgumentError as error:
            problems.append(f"the custom rule {rule.name!r}: {error}")
        found.append(rule)
    if problems:
        raise ArgumentError("\n".join(problems))
    return tuple(found)


@dataclass(frozen=True)
class CompiledConstraints:
    """Rules as `kernels.constraints` takes them."""

    rows: NDArray[np.int64]
    masks: NDArray[np.bool_]
    predicate: Any


def compile_constraints(
    constraints: Sequence[Constraint], class_names: Sequence[str], threshold: float, scale: int
) -> CompiledConstraints:
    """Rules as integers, their bounds exact in the steps of the affinities' type."""
    rows = np.zeros((len(constraints), kernels.COLUMNS), np.int64)
    masks = [np.zeros((0, 2, len(class_names)), np.bool_)]
    functions: dict[str, Callable[..., bool]] = {}
    for row, rule in zip(rows, constraints, strict=True):
        row[[kernels.BELOW_SHIFT, kernels.ABOVE_SHIFT]] = -1
        bounds = rule.range(threshold)
        for column, bound in zip((kernels.BELOW, kernels.ABOVE), bounds, strict=True):
            if bound is not None:
                row[[column, column + 1]] = exact_threshold(bound, scale)
        if isinstance(rule, SizeRule):
            numbers = [MEASURES.index(rule.measure), rule.smaller_over, rule.larger_over, rule.sum_over]
            row[kernels.KIND] = kernels.SIZE
        elif isinstance(rule, SemanticRule):
            first = sum(map(len, masks))
            masks.append(rule.masks(class_names))
            share = rule.share
            evidence = max(1, rule.evidence)  # of no voxels at all, every class would have its share
            numbers = [evidence, share.numerator, share.denominator, first, first + len(masks[-1])]
            row[kernels.KIND] = kernels.SEMANTIC
        elif isinstance(rule, TwigRule):
            numbers = [rule.voxels, rule.edges]
            row[kernels.KIND] = kernels.TWIG
        else:
            numbers = [len(functions)]
            functions[rule.name] = rule.function()
            row[kernels.KIND] = kernels.CUSTOM
        row[kernels.NUMBERS : kernels.NUMBERS + len(numbers)] = numbers
    return CompiledConstraints(rows, np.concatenate(masks), predicates.compiled(functions))


def _parse(item: Any) -> Constraint:
    if not isinstance(item, Mapping):
        raise ArgumentError(f"it is {item!r}; expected a dictionary with `rule`, `name` and the rule's numbers")
    values = {str(name): _as_tuples(value) for name, value in item.items()}
    kind = values.pop("rule", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ArgumentError(f"rule is {kind!r}; allowed are {', '.join(KINDS)}")
    known = {entry.name: entry for entry in fields(KINDS[kind])}
    problems = []
    for name in values.keys() - known.keys():
        near = get_close_matches(str(name), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        problems.append(f"{name!r} is no field of a {kind} rule; {hint}")
    for name, entry in known.items():
        if name not in values and entry.default is MISSING and entry.default_factory is MISSING:
            problems.append(f"{name!r} is missing from this {kind} rule")
    if problems:
        raise ArgumentError("; ".join(sorted(problems)))
    return KINDS[kind](**values)


def _as_tuples(value: Any) -> Any:
    """Lists, as JSON has them, as the tuples that frozen rules hold."""
    if isinstance(value, Mapping):
        return {name: _as_tuples(inner) for name, inner in value.items()}
    return tuple(_as_tuples(inner) for inner in value) if isinstance(value, (list, tuple)) else value


def _dump(rule: Constraint) -> dict[str, Any]:
    values = {name: value for name, value in asdict(rule).items() if value is not None}
    if isinstance(rule, SemanticRule):
        values["groups"] = {name: list(names) for name, names in rule.groups.items()}
        if rule.forbidden != "different":
            values["forbidden"] = [list(pair) for pair in rule.forbidden]
    if isinstance(rule, CustomRule) and not isinstance(rule.predicate, str):
        name = f"{rule.predicate.__module__}:{rule.predicate.__qualname__}"
        if getattr(sys.modules.get(rule.predicate.__module__), rule.predicate.__qualname__, None) is not rule.predicate:
            raise ArgumentError(f"the predicate of {rule.name!r} is not {name}; give it as module:function to dump it")
        values["predicate"] = name
    return {"rule": rule.kind, **values}


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})

"""Rules by name, as a sweep takes them: a run's own, none, a preset, or those of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from abiss_py import PRESETS, ArgumentError, Constraint, SemanticRule, affinity_type, parse_constraints
from abiss_py.constraints import compile_constraints
from seuron.errors import ParameterErrors
from seuron.pipelines.segmentation.facts import SegmentationRun, affinity_dtype
from seuron.pipelines.segmentation.predicates import with_predicates

Rules = tuple[Constraint, ...]

#: What a run's own rules are called.
OWN_RULES = "run"
#: What agglomeration without rules is called.
NO_RULES = "none"


def rules_by_name(run: SegmentationRun, words: Sequence[str]) -> dict[str, Rules]:
    """The rules that words stand for: `run`, `none`, a preset's name, or the path of a JSON list of rules.

    A file is called by its name without the ending. Raises ParameterErrors that tell all that is wrong.
    """
    found: dict[str, Rules] = {}
    problems = []
    for word in words:
        name = Path(word).stem if word.endswith(".json") else word
        try:
            rules = _rules(run, word)
        except (ArgumentError, OSError, ValueError) as error:
            problems.append(f"rules: {word}: {error}")
            continue
        if name in found:
            problems.append(f"rules: {word}: {name!r} is there already; give every rule list once, under its own name")
        found[name] = rules
    if problems:
        raise ParameterErrors(problems)
    return found


def check_rules(run: SegmentationRun, rules: Mapping[str, Rules]) -> None:
    """Raise ParameterErrors where a run's tables do not hold what other rules than its own look at."""
    classes, threshold = run.params.class_names, run.params.agglomeration_threshold
    scale, problems = affinity_type(affinity_dtype(run.params, run.facts)).scale, []
    for name, others in rules.items():
        if others == run.params.rules:
            continue
        semantic = [rule.name for rule in others if isinstance(rule, SemanticRule)]
        if semantic and not classes:
            problems.append(
                f"rules: {name}: {', '.join(map(repr, semantic))} looks at semantic classes, and this run counted "
                "none; leave such rules out, or start a run with `semantic` and `semantic_classes`"
            )
            continue
        try:
            compile_constraints(with_predicates(others), classes, threshold, scale)
        except ParameterErrors as error:
            problems += [f"rules: {name}: {problem}" for problem in error.problems]
        except ArgumentError as error:
            problems.append(f"rules: {name}: {error}")
    if problems:
        raise ParameterErrors(problems)


def _rules(run: SegmentationRun, word: str) -> Rules:
    if word == OWN_RULES:
        return run.params.rules
    if word == NO_RULES:
        return ()
    if word.endswith(".json"):
        return parse_constraints(json.loads(Path(word).read_text()))
    if word not in PRESETS:
        known = ", ".join((OWN_RULES, NO_RULES, *PRESETS))
        raise ArgumentError(f"nothing is called so; allowed are {known}, and a JSON file with a list of rules")
    return PRESETS[word]

"""# Inference

Runs a net over an electron-microscope image; each of its outputs becomes a layer.

| stage | does | needs |
|---|---|---|
| prepare | checks parameters, net and image, chooses patches and the grey scale, writes the plan | manager |
| predict | runs the net on the patches of each chunk, once each; then adds up what lies between chunks | gpu (or cpu) |
| pyramid | makes the coarser scales of every layer | cpu |
| report | writes `report.html` | manager |

Give `output`, `image` and `model`; everything else has a default.
Starting a run again with the same parameters goes on where the last one ended.
Chunk sizes, workers, retries and crashes do not change a byte of the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seuron.engine.pipeline import Pipeline
from seuron.engine.registry import BUILT_IN
from seuron.pipelines.inference.facts import InferenceFacts, InferenceRun
from seuron.pipelines.inference.layers import layers, stored_bytes
from seuron.pipelines.inference.params import InferenceParams
from seuron.pipelines.inference.presets import PRESETS
from seuron.pipelines.stages.predict import predict_stage
from seuron.pipelines.stages.predict.params import sources_of
from seuron.pipelines.stages.pyramid import pyramid_stage
from seuron.pipelines.stages.report import report_stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seuron.engine.sections import Section

__all__ = ["PIPELINE"]

_ENTRY = BUILT_IN["inference"]


def _check(
    params: InferenceParams, before: InferenceRun | None, workers: int
) -> tuple[InferenceFacts | None, list[str]]:
    from seuron.pipelines.inference.checks import check  # opens volumes, loads the net

    return check(params, before, workers)


def _replacements(before: InferenceRun, run: InferenceRun) -> list[str]:
    from seuron.pipelines.inference.checks import replacement_problems

    return replacement_problems(before, run)


def _report(run: InferenceRun) -> Sequence[Section]:
    from seuron.pipelines.stages.predict.report import prediction_sections

    return list(prediction_sections(run, "predict"))


PIPELINE: Pipeline[InferenceParams, InferenceFacts] = Pipeline(
    name=_ENTRY.name,
    help=_ENTRY.help,
    description=__doc__,
    params=InferenceParams,
    facts=InferenceFacts,
    check=_check,
    replacements=_replacements,
    sources=sources_of,
    layers=layers,
    stored_bytes=stored_bytes,
    report=_report,
    paths=("image", "image_mask", "output_mask", "output", "store"),
    presets=PRESETS,
    aliases=_ENTRY.aliases,
    stages=(
        predict_stage(parameters=("output_dtype", "myelin_threshold")),
        pyramid_stage(layers, parameters=("block_size",)),
        report_stage(),
    ),
)

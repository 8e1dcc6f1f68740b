"""Commands about nets: which there are, what is known of one, whether it runs here, and getting and packing them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from seuron.commands.answers import FAILED, Answer, Session
from seuron.commands.argument_types import absolute_path
from seuron.commands.registry import Argument, command
from seuron.errors import SeuronError
from seuron.storage.allowed_paths import check_path

if TYPE_CHECKING:
    from seuron.nets.models import ChosenThresholds, ModelDescription

GROUP = "Data"
MODEL = Argument("a net: its name, or the path of a file or package", metavar="MODEL")


@command("models list", aliases=("models", "list models"), permission="look", group=GROUP)
def models_list(session: Session) -> Answer:
    """List the nets that runs may name, and the public ones that can be fetched."""
    from seuron.nets.models import describe, shipped_models
    from seuron.nets.models.known import known_models
    from seuron.nets.models.model_file import kept_models

    rows: list[dict[str, Any]] = []
    kept = {path.stem: path for path in kept_models()}
    for name in [*shipped_models(), *kept]:
        try:
            found = describe(name)
            rows.append({"name": name, "where": "here", **_summary(found)})
        except SeuronError as error:
            rows.append({"name": name, "where": "here", "problem": str(error)})
    for name, known in known_models().items():
        if name not in kept:
            summary = _summary(known.description) if known.description else {}
            rows.append({"name": name, "where": "public", "card": known.card, **summary})
    lines = [f"{row['name']}  {row['where']}  {row.get('problem') or row.get('summary', '')}" for row in rows]
    hint = "\n`models show NAME` says more; `models get NAME` fetches a public one"
    return Answer("\n".join(lines) + hint, rows)


@command("models show", aliases=("show model",), permission="look", group=GROUP)
def models_show(session: Session, model: Annotated[str, MODEL]) -> Answer:
    """Show what is known of a net: inputs, outputs, voxels, patches, licence; nothing is run."""
    from seuron.nets.models.known import known_models
    from seuron.nets.models.model_file import model_path, open_model

    known = known_models().get(model)
    if known is not None and known.description is not None and model_path(model) is None:
        data = known.description.model_dump(mode="json") | {"address": known.address, "card": known.card}
        return Answer(_text(known.description) + f"\nnot here: `models get {model}` fetches it", data)
    found = open_model(_given(session, model))
    data = found.description.model_dump(mode="json") | {"path": str(found.path), "format": found.format}
    return Answer(f"{_text(found.description)}\nfile: {found.path} ({found.format})", data)


@command("models check", aliases=("check model",), permission="run", group=GROUP)
def models_check(session: Session, model: Annotated[str, MODEL]) -> Answer:
    """Run a net on a small patch of noise with each engine that can: shapes, finite numbers, speed, agreement."""
    from importlib.util import find_spec

    from seuron.nets.engines import ENGINES
    from seuron.nets.models import describe

    given = _given(session, model)
    description = describe(given)
    results: list[dict[str, Any]] = []
    for engine in ENGINES:
        library = {"onnx": "onnxruntime"}.get(engine, engine)
        if find_spec(library) is None:
            results.append({"engine": engine, "problem": f"{library} is not installed"})
            continue
        session.progress(Answer(f"running {description.name} with {engine}"))
        results.append(_checked(given, engine))
    ran = [result for result in results if "problem" not in result]
    values = [result.pop("values") for result in ran]
    for result, value in zip(ran, values, strict=True):
        result["difference"] = float(abs(value - values[0]).max())
    lines = [f"{result['engine']}: {_result_text(result)}" for result in results]
    bad = not ran or any(not result["finite"] for result in ran)
    text = f"{description.name}: " + ("no engine runs it" if not ran else "it runs" if not bad else "NaN or infinity")
    return Answer("\n".join([text, *lines]), {"model": description.name, "engines": results}, code=FAILED if bad else 0)


@command("models get", aliases=("get model",), permission="admin", group=GROUP)
def models_get(
    session: Session,
    name: Annotated[str, Argument("a public net; `models list` shows them")],
    *,
    from_: Annotated[str, Argument("its authors' file, where it is here already", "FILE", local_only=True)] = "",
) -> Answer:
    """Fetch a public net into the models folder, or take it from a file; its SHA-256 is checked first."""
    from seuron.nets.fetch import get_model
    from seuron.nets.models import describe

    path = get_model(name, Path(absolute_path(session, from_, "--from")) if from_ else None)
    found = describe(path)
    text = f"{name} is in {path}; licence: {found.licence or 'not stated'}; give it to runs as model={name}"
    return Answer(text, {"name": name, "path": str(path), "sha256": found.sha256})


@command("models export", aliases=("export model",), permission="admin", group=GROUP)
def models_export(
    session: Session,
    model: Annotated[str, MODEL],
    folder: Annotated[str, Argument("a new folder", metavar="FOLDER")],
    *,
    author: Annotated[str, Argument("who makes the package", "NAME")] = "",
) -> Answer:
    """Write a net as a package of the BioImage Model Zoo, which other tools run."""
    from seuron.nets.package_export import export_package

    target = absolute_path(session, folder, "folder")
    check_path(target, "output", "folder")
    path = export_package(_given(session, model), Path(target), author or session.who)
    return Answer(f"wrote {path}", {"path": str(path)})


def _given(session: Session, model: str) -> str:
    """The name, or the absolute path of a net; raises PathNotAllowedError for one that may not be read."""
    from seuron.nets.models import shipped_models
    from seuron.nets.models.model_file import kept_models

    if model in shipped_models() or any(model in (path.stem, path.name) for path in kept_models()):
        return model
    if "/" not in model and not Path(model).exists():
        return model  # a name that is not known, which is for `open_model` to say
    path = absolute_path(session, model, "model")
    check_path(path, "input", "model")
    return path


def _summary(found: ModelDescription) -> dict[str, Any]:
    layers = ", ".join(layer.name for layer in found.outputs)
    voxels = " or ".join(_voxel(size) for size in found.resolutions_nm) or "any voxels"
    return {"summary": f"{layers} at {voxels}; {found.licence or 'licence not stated'}"}


def _voxel(size: tuple[float, float, float]) -> str:
    return " x ".join(f"{side:g}" for side in size) + " nm"


def _text(found: ModelDescription) -> str:
    patch = found.patch
    outputs = [
        f"  {layer.name}: {', '.join(_channel(c.name, c.offset) for c in layer.channels)}; {layer.activation}"
        for layer in found.outputs
    ]
    scale = found.scale
    numbers = {"fixed": f" ({scale.mean:g}, {scale.std:g})", "percentiles": f" ({scale.low:g}, {scale.high:g})"}
    grey = f"{scale.kind}{numbers.get(scale.kind, '')}"
    lines = [
        f"{found.name}: {found.description or 'no description'}",
        f"licence: {found.licence or 'not stated'}",
        *(f"cite: {text}" for text in found.cite),
        f"inputs: {', '.join(found.inputs)}; axes {found.axes}; grey values by {grey}",
        f"voxels: {' or '.join(_voxel(size) for size in found.resolutions_nm) or 'not stated'}",
        f"patch: {patch.default}, from {patch.minimum} in steps of {patch.granularity}; margin {found.margin}",
        "outputs:",
        *outputs,
        *_thresholds(found.thresholds),
    ]
    return "\n".join([*lines, *([f"SHA-256: {found.sha256}"] if found.sha256 else [])])


def _thresholds(chosen: ChosenThresholds | None) -> list[str]:
    """What a segmentation takes of the net, and how good it was; nothing where none were chosen."""
    if chosen is None:
        return []
    return [
        f"thresholds: watershed {chosen.watershed_high:g} and {chosen.watershed_low:g}, sizes {chosen.watershed_size} "
        f"and {chosen.watershed_dust}, agglomeration {chosen.agglomeration_threshold:g}; chosen on "
        f"{'; '.join(chosen.chosen_on)}: VOI {chosen.voi_split:.3f} + {chosen.voi_merge:.3f}, adapted Rand error "
        f"{chosen.adapted_rand_error:.4f}"
    ]


def _channel(name: str, offset: tuple[int, int, int] | None) -> str:
    return name if offset is None else f"{name} {offset}"


def _checked(model: str, engine: Any) -> dict[str, Any]:
    import numpy as np

    from seuron.nets.engines import load_engine
    from seuron.nets.models.description import small_patch

    try:
        loaded = load_engine(model, engine, "fp32", "cpu")
        patch = small_patch(loaded.description, 32)
        batch = np.random.default_rng(0).standard_normal((1, len(loaded.description.inputs), *patch)).astype(np.float32)
        loaded.run(batch)
        begun = time.process_time()
        values = loaded.run(batch)
    except SeuronError as error:
        return {"engine": engine, "problem": str(error)}
    seconds = time.process_time() - begun
    return {
        "engine": engine,
        "patch": list(patch),
        "finite": bool(np.isfinite(values).all()),
        "low": float(values.min()),
        "high": float(values.max()),
        "mvox_per_cpu_second": round(float(np.prod(patch)) / 1e6 / max(seconds, 1e-9), 3),
        "values": values,
    }


def _result_text(result: dict[str, Any]) -> str:
    if "problem" in result:
        return str(result["problem"])
    return (
        f"{result['patch']} voxels, values {result['low']:.3f} to {result['high']:.3f}, "
        f"{result['mvox_per_cpu_second']:g} Mvox per CPU-s, {result['difference']:.1e} from the first"
    )

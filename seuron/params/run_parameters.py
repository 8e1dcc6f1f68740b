"""The parameters that every pipeline's runs have."""

from __future__ import annotations

from pydantic.fields import FieldInfo

from seuron.params.fields import Dollars, Folder, Names, OptionalFolder, parameter
from seuron.params.model import Parameters


class RunParameters(Parameters):
    """Where a run lies, what it may cost, and where it waits for a person. No result depends on these."""

    output: Folder = parameter(
        ...,
        "Output",
        "folder of the run: its layers, tables and report",
        min_length=1,
        examples=["file:///data/runs/first"],
    )
    store: OptionalFolder = parameter(
        None,
        "Output",
        "folder of the tables that tasks hand to each other; runs that share one take over each other's results; "
        "a folder inside `output` when left out",
    )
    budget_dollars: Dollars = parameter(
        None,
        "Cluster",
        "what the machines of a cluster may cost for this run; before it is passed the run gets no more machines and "
        "waits, with all that it has done",
        unit="$",
    )
    inspect_after: Names = parameter(
        (),
        "Inspection",
        "stages after which the run waits until a person has looked: approve, redo with other parameters, or end",
    )


#: Parameters that no result depends on, in any pipeline.
WITHOUT_INFLUENCE = tuple(RunParameters.model_fields)


def fields_by_group(model: type[Parameters]) -> dict[str, dict[str, FieldInfo]]:
    """The fields of a model by group, as forms and pages show them: a pipeline's own before those that all have."""
    own = [name for name in model.model_fields if name not in WITHOUT_INFLUENCE]
    found: dict[str, dict[str, FieldInfo]] = {}
    for name in [*own, *(name for name in model.model_fields if name in WITHOUT_INFLUENCE)]:
        field = model.model_fields[name]
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        found.setdefault(str(extra.get("group", "")), {})[name] = field
    return found

"""Public nets that can be fetched by name: the table `known_models.toml`. Loads no torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from seuron.nets.models.description import ModelDescription
from seuron.params.model import Parameters
from seuron.params.typed_file import parse_typed, read_toml

TABLE = Path(__file__).parent / "known_models.toml"


class KnownModel(Parameters):
    """A net that its authors publish.

    Attributes:
        address: of the file, over https.
        sha256: of that file.
        bytes: its size.
        format: `state-dict`: weights of torch, which are converted; `package`: of the BioImage Model Zoo.
        card: where its authors describe it.
        network: of a state dict: what `seuron.nets.architectures.build` makes the module of.
        description: of a state dict; a package has its own.
    """

    address: Annotated[str, Field(pattern=r"^https://")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(gt=0)]
    format: Literal["state-dict", "package"]
    card: str
    network: dict[str, Any] = Field(default_factory=dict)
    description: ModelDescription | None = None


@cache
def known_models(table: Path = TABLE) -> dict[str, KnownModel]:
    """The table, by name; raises ParameterErrors where it is wrong."""
    what = "the table of known nets"
    rows = read_toml(table, what)
    return {name: parse_typed(KnownModel, row, f"{what}, {name}") for name, row in rows.items()}

"""The typed models of a dataset's file, one for each of its tables."""

from __future__ import annotations

from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from seuron.datasets.names import LONGEST_NAME, NAME
from seuron.params.fields import Folder, Path
from seuron.params.model import Parameters
from seuron.storage import local_folder

#: Minutes of a year.
LONGEST_WATCH = 527_040
#: What Airflow takes as the name of an asset: printable ASCII, so many characters, but for two words of its own.
ASSET, LONGEST_ASSET, NO_ASSETS = r"^[ -~]*[!-~][ -~]*$", 1500, ("self", "context")

Length = Annotated[float, Field(gt=0)]


class ScheduleTable(Parameters):
    """When a dataset is checked: one of `cron`, `watch_minutes`, `asset` and `after`; none means by hand."""

    cron: str | None = Field(None, description="times, as five fields of cron", examples=["0 3 * * *"])
    timezone: str = Field("UTC", description="time zone of `cron`, such as Europe/Zurich")
    watch_minutes: int | None = Field(
        None,
        description="check the input every so many minutes; a change is taken when two checks in a row find the same",
        ge=1,
        le=LONGEST_WATCH,
    )
    asset: str | None = Field(
        None,
        description="name of an Airflow asset whose events announce new data",
        pattern=ASSET,
        max_length=LONGEST_ASSET,
    )
    after: str | None = Field(None, description="name of another dataset: when a version of it is published")

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [name for name in ("cron", "watch_minutes", "asset", "after") if getattr(self, name) is not None]
        problems = [f"give one of {', '.join(f'`{n}`' for n in given)}, got {len(given)}"] if len(given) > 1 else []
        problems += _cron_problems(self.cron) if self.cron is not None else []
        problems += [f"`asset`: Airflow has {self.asset!r} for itself; name another"] if self.asset in NO_ASSETS else []
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            problems.append(f"`timezone`: {self.timezone!r} is not known; give one such as UTC or Europe/Zurich")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def text(self) -> str:
        """The schedule in a few words."""
        if self.cron is not None:
            return f"cron {self.cron} ({self.timezone})"
        if self.watch_minutes is not None:
            return f"watched every {self.watch_minutes} min"
        if self.asset is not None:
            return f"asset {self.asset}"
        return f"after {self.after}" if self.after is not None else "by hand"


class DatasetTable(Parameters):
    """The top of a dataset's file. Relative paths begin at the file's folder."""

    name: str = Field(..., description="the name of the file without .toml", pattern=NAME, max_length=LONGEST_NAME)
    description: str = Field("", description="what it is, for people")
    image: Path = Field(None, description="precomputed image")
    affinities: Path = Field(None, description="precomputed affinities, in place of an image")
    resolution: tuple[Length, Length, Length] = Field(..., description="voxel size in nm (x, y, z) at the scale `mip`")
    publish: Folder = Field(..., description="folder of the versions, which belongs to this dataset alone")
    keep: int = Field(2, description="old versions that are kept beside the current one", ge=1)
    notify: tuple[str, ...] = Field(
        (), description="names of the recipients that are notified of new versions and failures"
    )
    pipeline: str = Field("segmentation", description="the pipeline that makes the versions")
    preset: str | None = Field(None, description="values for a kind of data, below `parameters`")
    parameters: dict[str, Any] = Field(default_factory=dict, description="parameters of the pipeline")
    schedule: dict[str, Any] = Field(default_factory=dict, description="when it is checked")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.image is None) == (self.affinities is None):
            given = "both" if self.image is not None else "neither"
            raise ValueError(f"give one of `image` and `affinities`, got {given}")
        if self.parameters.get("layer_format") == "ome-zarr" and local_folder(self.publish) is None:
            raise ValueError(
                "`publish` is no folder of this machine: readers elsewhere are redirected by the `info` of precomputed "
                "layers, got `layer_format` ome-zarr. Leave it out, or publish into a folder"
            )
        return self


def _cron_problems(text: str) -> list[str]:
    from croniter import croniter

    if len(text.split()) == 5 and croniter.is_valid(text):
        return []
    return [f"`cron`: {text!r} is not five fields of cron (minute hour day month weekday), for example 0 3 * * *"]

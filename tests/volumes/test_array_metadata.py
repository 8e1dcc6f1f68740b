"""Axes, size and place from attributes, as tools of the field write them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.volumes.array_metadata import axis_letters, implausible, nanometres_of, plain_metadata, stated_axes
from seuron.volumes.n5_metadata import n5_metadata
from seuron.volumes.ome_metadata import bioformats2raw, ome_image
from seuron.volumes.sources.source import Stated

ZYX = Stated("zyx", "a test")
VOXEL = (4.0, 4.0, 40.0)


def _ome(
    axes: list[Any], *datasets: list[dict[str, Any]], top: list[dict[str, Any]] | None = None, **more: Any
) -> dict[str, Any]:
    named = [{"path": str(i), "coordinateTransformations": steps} for i, steps in enumerate(datasets)]
    image = {"axes": axes, "datasets": named, "version": "0.4"}
    return {"multiscales": [image | ({"coordinateTransformations": top} if top else {})]} | more


def _space(axes: str, *units: str | None) -> list[dict[str, Any]]:
    given_units = units if len(units) == len(axes) else units * len(axes)
    return [{"name": a, "type": "space"} | ({"unit": u} if u else {}) for a, u in zip(axes, given_units, strict=True)]


def _scale(*values: float) -> dict[str, Any]:
    return {"type": "scale", "scale": list(values)}


def _moved(*values: float) -> dict[str, Any]:
    return {"type": "translation", "translation": list(values)}


@pytest.mark.parametrize(
    ("attributes", "level", "resolution", "corner"),
    [
        (_ome(_space("zyx", "nanometer"), [_scale(40, 4, 4)]), 0, VOXEL, None),
        (_ome(_space("xyz", "micrometer"), [_scale(0.004, 0.004, 0.04)]), 0, VOXEL, None),
        (_ome(_space("zyx", "angstrom"), [_scale(400, 40, 40)]), 0, VOXEL, None),
        (
            _ome(_space("zyx", "micrometer"), [_scale(0.04, 0.004, 0.004), _moved(0.4, 0.08, 0.12)]),
            0,
            VOXEL,
            (120, 80, 400),
        ),
        (_ome(_space("zyx", "micrometer"), [_scale(1, 1, 1)], top=[_scale(0.04, 0.004, 0.004)]), 0, VOXEL, None),
        (
            _ome(
                _space("zyx", "nanometer"),
                [_scale(1, 1, 1), _moved(10, 20, 30)],
                top=[_scale(40, 4, 4), _moved(4, 4, 4)],
            ),
            0,
            VOXEL,
            (124, 84, 404),
        ),
        (
            _ome(_space("zyx", "nanometer"), [_scale(40, 4, 4)], [_scale(40, 8, 8), _moved(0, 2, 2)]),
            1,
            (8, 8, 40),
            (0, 0, 0),
        ),
        (
            _ome(_space("zyx", "nanometer"), [_scale(40, 4, 4), _moved(0, 8, 8)], [_scale(40, 8, 8), _moved(0, 8, 8)]),
            1,
            (8, 8, 40),
            (8, 8, 0),
        ),
        ({"ome": {"version": "0.5", **_ome(_space("zyx", "nanometer"), [_scale(40, 4, 4)])}}, 0, VOXEL, None),
    ],
)
def test_ome_scales_give_size_and_corner(attributes: Any, level: int, resolution: Any, corner: Any) -> None:
    """All transformations count, the image's own too, and units become nanometres; centres become corners."""
    image = ome_image(attributes)
    assert image is not None
    found = image.scales[level].metadata
    assert found.resolution_nm is not None
    assert found.resolution_nm.value == pytest.approx(resolution)
    assert (found.corner_nm and found.corner_nm.value) == (None if corner is None else pytest.approx(corner))


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        (_ome(_space("zyx", None, "micrometer", "micrometer"), [_scale(0.04, 0.004, 0.004)]), "does not give z"),
        (_ome(_space("yx", "micrometer"), [_scale(0.004, 0.004)]), "does not give z"),
        (_ome(_space("zyx", "nanometer"), [_scale(40e-9, 4e-9, 4e-9)]), "implausible"),
        (_ome(_space("zyx", "nanometer"), [_scale(4000, 4, 4)]), "over 100 times another"),
        (_ome(_space("zyx", "nanometer"), [_scale(float("nan"), 4, 4)]), "not finite numbers above 0"),
        (_ome(_space("zyx", "nanometer"), [{"type": "rotation", "rotation": []}]), "transformation 'rotation'"),
        (_ome(_space("zyx", "pixel"), [_scale(1, 1, 1)]), "does not give x and y and z"),
    ],
)
def test_a_size_that_is_not_whole_is_not_taken(attributes: Any, problem: str) -> None:
    """Missing units, implausible numbers and unknown transformations leave the size open, and it is said why."""
    image = ome_image(attributes)
    assert image is not None
    found = image.scales[0].metadata
    assert found.resolution_nm is None
    assert problem in found.size_problem


def test_ome_says_axes_kind_and_layout() -> None:
    """Channels and times go by their type, early versions by convention, and labels are named."""
    axes = [{"name": "probe", "type": "channel"}, *_space("zyx", "nanometer")]
    labels = ome_image(_ome(axes, [_scale(1, 40, 4, 4)], **{"image-label": {}}))
    assert labels is not None
    assert labels.scales[0].metadata.axes == Stated("czyx", "OME axes")
    assert labels.scales[0].metadata.kind == Stated("segmentation", "attribute `image-label`")
    early = ome_image({"multiscales": [{"version": "0.1", "datasets": [{"path": "0"}]}]})
    assert early is not None
    assert early.scales[0].metadata.axes == Stated("tczyx", "convention of OME-Zarr 0.1")
    assert labels.scale("/0/") is labels.scales[0]
    assert bioformats2raw({"bioformats2raw.layout": 3})
    assert ome_image({"multiscales": []}) is None


TAGS = json.dumps(
    {"axes": [{"key": "x", "resolution": 4}, {"key": "y", "resolution": 4}, {"key": "z", "resolution": 40}]}
)


@pytest.mark.parametrize(
    ("attributes", "axes"),
    [
        ({"axes": "xyz"}, "xyz"),
        ({"axes": b"ZYX"}, "zyx"),
        ({"axes": np.array(["z", "y", "x"])}, "zyx"),
        ({"_ARRAY_DIMENSIONS": ["x", "y", "z"]}, "xyz"),
        ({"axistags": TAGS}, "xyz"),
        ({"DIMENSION_LABELS": np.array([b"z", b"y", b"x"])}, "zyx"),
        ({"axis_names": ["depth", "height", "width"]}, "zyx"),
        ({}, None),
        ({"axes": ["a", "b", "c"]}, None),
        ({"axes": "zzy"}, None),
    ],
)
def test_axes_are_read_from_what_tools_write(attributes: Any, axes: str | None) -> None:
    """Words, letters, bytes and vigra's tags name axes; what is not understood is noted, not followed."""
    found, notes = stated_axes(attributes, 3)
    assert (found and found.value) == axes
    assert bool(notes) == (axes is None and bool(attributes))


def test_axes_that_contradict_are_noted() -> None:
    """Where two attributes name other axes, the first is followed and both are said."""
    found, notes = stated_axes({"axes": "zyx", "axistags": TAGS}, 3)
    assert found == Stated("zyx", "attribute `axes`")
    assert notes == ("attribute `axes` says zyx and is followed; attribute `axistags` says xyz",)


@pytest.mark.parametrize(
    ("attributes", "axes", "resolution", "corner"),
    [
        ({"resolution": (40.0, 4.0, 4.0), "offset": (200.0, 20.0, 20.0)}, "zyx", VOXEL, (20, 20, 200)),
        ({"resolution": (0.04, 0.004, 0.004), "units": "um"}, "zyx", VOXEL, None),
        ({"resolution": np.array([40e-9, 4e-9, 4e-9]), "units": "m"}, "zyx", VOXEL, None),
        ({"element_size_um": np.array([0.04, 0.004, 0.004])}, "zyx", VOXEL, None),
        ({"voxel_size": [40, 4, 4], "units": ["nm"] * 3, "offset": [80, 0, 0]}, "zyx", VOXEL, (0, 0, 80)),
        ({"resolution": [4, 4, 40]}, "xyz", VOXEL, None),
        ({"resolution": [1, 40, 4, 4]}, "czyx", VOXEL, None),
        ({"resolution": 8}, "zyx", (8, 8, 8), None),
        ({"axistags": TAGS, "axis_units": '{"x": "nm", "y": "nm", "z": "nm"}'}, "xyz", VOXEL, None),
    ],
)
def test_sizes_without_a_standard(attributes: Any, axes: str, resolution: Any, corner: Any) -> None:
    """Numbers follow the array's axes and units; without a unit `resolution` is in nm."""
    found = plain_metadata(attributes, Stated(axes, "a test"))
    assert found.resolution_nm is not None
    assert found.resolution_nm.value == pytest.approx(resolution)
    assert (found.corner_nm and found.corner_nm.value) == corner


def test_sizes_that_nobody_can_mean_are_left_open() -> None:
    """Metres without a unit, tags without a unit and pixels are not nanometres."""
    assert "implausible" in plain_metadata({"resolution": (40e-9, 4e-9, 4e-9)}, ZYX).size_problem
    assert "in a unit of length" in plain_metadata({"axistags": TAGS}, Stated("xyz", "a test")).size_problem
    assert "pixel" in plain_metadata({"resolution": (1, 1, 1), "unit": "pixel"}, ZYX).size_problem
    assert plain_metadata({}, ZYX).size_problem == ""


@pytest.mark.parametrize(
    ("own", "group", "resolution", "corner"),
    [
        ({"resolution": [4, 4, 40], "offset": [8, 4, 40]}, {}, VOXEL, (8, 4, 40)),
        ({"pixelResolution": {"dimensions": [0.004, 0.004, 0.04], "unit": "um"}}, {}, VOXEL, None),
        (
            {"downsamplingFactors": [2, 2, 1]},
            {"pixelResolution": {"dimensions": [4, 4, 40], "unit": "nm"}},
            (8, 8, 40),
            None,
        ),
        ({"downsamplingFactors": [2, 2, 1]}, {"resolution": [4, 4, 40]}, (8, 8, 40), None),
        (
            {"transform": {"axes": ["z", "y", "x"], "scale": [40, 4, 4], "translate": [80, 8, 4], "units": ["nm"] * 3}},
            {},
            VOXEL,
            (4, 8, 80),
        ),
        ({"axes": ["z", "y", "x"], "resolution": [40, 4, 4]}, {}, VOXEL, None),
    ],
)
def test_n5_attributes(own: Any, group: Any, resolution: Any, corner: Any) -> None:
    """N5's numbers begin with x; a group's size is multiplied by what this scale's voxels are larger."""
    found = n5_metadata(own, group, 3)
    assert found.resolution_nm is not None
    assert found.resolution_nm.value == pytest.approx(resolution)
    assert (found.corner_nm and found.corner_nm.value) == corner


def test_n5_sizes_that_are_ambiguous_are_left_open() -> None:
    """A size beside factors of the same array may or may not contain them; pixels have no length."""
    assert "leaves open" in n5_metadata({"resolution": [4, 4, 4], "downsamplingFactors": [2, 2, 2]}, {}, 3).size_problem
    assert "without a unit" in n5_metadata({"pixelResolution": [4, 4, 4]}, {}, 3).size_problem


@given(st.permutations(["x", "y", "z", "channel", "time"]))
def test_axis_names_keep_their_order(names: list[str]) -> None:
    """Each name becomes its letter at its place; a doubled name is refused."""
    assert axis_letters(names) == "".join(name[0] for name in names)
    assert axis_letters([*names, names[0]]) is None


def test_units_and_plausible_sizes() -> None:
    """Units go by all their spellings; sizes are plausible from 0.1 nm to 100 µm and to a ratio of 100."""
    units = ("nm", "Nanometers", "µm", "\\u00B5m", b"micron", "Å", "m", "inch", "pixel", "")
    assert [nanometres_of(unit) for unit in units] == [1, 1, 1e3, 1e3, 1e3, 0.1, 1e9, 2.54e7, None, None]
    assert implausible((0.1, 1, 10)) == ""
    assert "implausible" in implausible((0.09, 1, 1))
    assert "implausible" in implausible((1, 1, 101))
    assert "implausible" in implausible((100_001, 1e5, 1e5))
    assert "not finite" in implausible((float("inf"), 1, 1))

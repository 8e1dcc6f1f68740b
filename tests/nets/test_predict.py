"""From image to affinities with a real net: the chunk law to the bit, edges, masks, precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import scaled

from seuron.box import Box, Triple, triple
from seuron.errors import PermanentError
from seuron.nets.network import BoundaryNet, NetworkConfig
from seuron.nets.predict import (
    Precision,
    Predictor,
    choose_precision,
    hardware_bf16,
    predict_box,
    to_uint8,
)

MINIMUM, SHAPE = (5, -3, 11), (37, 30, 26)
IMAGE_BOX = Box.from_shape(MINIMUM, SHAPE)
PATCH, OVERLAP = (16, 16, 12), (6, 4, 4)


def make_image() -> npt.NDArray[np.uint8]:
    image = np.random.default_rng(1).integers(1, 255, SHAPE).astype(np.uint8)
    image[20:] = 0  # Masked: whole patches of it are even.
    return image


IMAGE = make_image()


def read(minimum: Triple, maximum: Triple) -> npt.NDArray[np.uint8]:
    """Refuses what a stored volume would refuse: voxels outside the image."""
    box = Box(minimum, maximum)
    assert IMAGE_BOX.contains(box)
    return IMAGE[box.within(IMAGE_BOX)]


def make_predictor(precision: Precision) -> Predictor:
    torch.manual_seed(1)
    net = BoundaryNet(NetworkConfig(widths=(16, 16)))
    net(torch.randn(2, 1, 16, 16, 16))
    return Predictor(net.eval(), precision=precision, device="cpu")


def predict(box: Box, predictor: Predictor) -> npt.NDArray[np.float32]:
    corners = (IMAGE_BOX.minimum, IMAGE_BOX.maximum, box.minimum, box.maximum)
    return predict_box(read, *corners, predictor, PATCH, OVERLAP)


PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
PREDICTORS = {name: make_predictor(name) for name in PRECISIONS}
WHOLE = {name: predict(IMAGE_BOX, predictor) for name, predictor in PREDICTORS.items()}


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    low = [draw(st.integers(a, b - 1)) for a, b in zip(IMAGE_BOX.minimum, IMAGE_BOX.maximum, strict=True)]
    high = [draw(st.integers(a + 1, b)) for a, b in zip(low, IMAGE_BOX.maximum, strict=True)]
    return Box(triple(low), triple(high))


@settings(max_examples=scaled(12))
@given(box=boxes(), precision=st.sampled_from(PRECISIONS))
def test_a_chunk_has_the_bits_of_the_whole(box: Box, precision: Precision) -> None:
    """Two tasks that write neighbouring chunks must agree, or watershed sees a wall between them."""
    np.testing.assert_array_equal(predict(box, PREDICTORS[precision]), WHOLE[precision][box.within(IMAGE_BOX)])


def test_another_process_order_gives_the_same_bits() -> None:
    """A predictor that has seen other patches (and remembered even ones) answers as a fresh one."""
    fresh = make_predictor("fp32")
    box = Box.from_shape((27, -3, 11), (15, 30, 26))
    np.testing.assert_array_equal(predict(box, fresh), WHOLE["fp32"][box.within(IMAGE_BOX)])


def test_affinities_are_in_range_and_fortran_ordered() -> None:
    whole = WHOLE["fp32"]
    assert whole.shape == (*SHAPE, 3)
    assert whole.dtype == np.float32
    assert whole.flags.f_contiguous
    assert whole.min() >= 0
    assert whole.max() <= 1 + 1e-6


def test_bf16_is_close_to_fp32() -> None:
    assert np.abs(WHOLE["bf16"] - WHOLE["fp32"]).mean() < 0.01


def test_an_even_patch_is_what_the_net_says_of_it() -> None:
    """Remembering the answer for masked patches may change the time, never the result."""
    predictor = PREDICTORS["fp32"]
    for value in (0, 200, 0):
        even = np.full(PATCH, value, np.uint8)
        np.testing.assert_array_equal(predictor.patch(even), make_predictor("fp32").patch(even))


def test_the_margin_of_the_targets_is_undone() -> None:
    """A sure net says 0.9; watershed thresholds speak of 1."""
    net = BoundaryNet(NetworkConfig(widths=(4,))).eval()
    assert net.last.bias is not None
    net.last.weight.data.zero_()
    net.last.bias.data[:] = torch.logit(torch.tensor([0.9, 0.5, 0.1] * 3))
    affinities = Predictor(net, precision="fp32", device="cpu").patch(np.full((4, 4, 4), 9, np.uint8))
    np.testing.assert_allclose(affinities[0, 0, 0], [1.0, 0.5, 0.0], atol=1e-6)


def test_the_predictor_leaves_the_net_it_was_given() -> None:
    net = BoundaryNet(NetworkConfig(widths=(4,))).eval()
    Predictor(net, precision="bf16", device="cpu")
    assert net.last.out_channels == 9
    assert next(net.parameters()).dtype == torch.float32


def test_auto_precision_follows_the_hardware(tmp_path: Path) -> None:
    """Emulated bf16 is several times slower than fp32."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("processor : 0\nflags : fpu avx2 avx512f\n")
    new.write_text("processor : 0\nflags : fpu avx512f avx512_bf16\n")
    assert hardware_bf16(new)
    assert not hardware_bf16(old)
    assert not hardware_bf16(tmp_path / "none")
    assert choose_precision("auto", "cpu") == (torch.bfloat16 if hardware_bf16() else torch.float32)
    with pytest.raises(PermanentError, match="precision"):
        choose_precision("fp8", "cpu")  # type: ignore[arg-type]


def test_uint8_is_the_rounded_product() -> None:
    np.testing.assert_array_equal(to_uint8(np.array([0, 0.5 / 255 - 1e-6, 0.7, 1.0])), [0, 0, 178, 255])


@pytest.mark.parametrize(
    ("box", "patch", "words"),
    [
        (Box((0, 0, 0), (9, 9, 9)), PATCH, "leaves the image"),
        (IMAGE_BOX, (15, 16, 12), "multiple of 2"),
        (IMAGE_BOX, (4, 16, 12), "overlap"),
    ],
)
def test_what_does_not_fit_is_refused(box: Box, patch: Triple, words: str) -> None:
    corners = (IMAGE_BOX.minimum, IMAGE_BOX.maximum, box.minimum, box.maximum)
    with pytest.raises(PermanentError, match=words):
        predict_box(read, *corners, PREDICTORS["fp32"], patch, OVERLAP)


def test_an_image_of_the_wrong_kind_is_refused() -> None:
    """A 16-bit image would be read on a scale 256 times too bright, without a word."""
    corners = (IMAGE_BOX.minimum, IMAGE_BOX.maximum) * 2
    with pytest.raises(PermanentError, match="uint8"):
        predict_box(lambda a, b: read(a, b).astype(np.uint16), *corners, PREDICTORS["fp32"], PATCH, OVERLAP)

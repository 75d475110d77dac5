"""A change made on a small image reaches the full one with the full one's own detail."""

import numpy as np
import pytest
from PIL import Image

from service.media.image_reduce import reduce_strips
from service.work import detail_transfer
from service.work.detail_transfer import DetailTransfer, transfer_detail
from tests.support.media import make_photo

FULL_SIZE, SMALL_SIDE = (640, 480), 160


def reduce_image(pixels: np.ndarray, longest_side: int) -> np.ndarray:
    return reduce_strips([pixels], pixels.shape[1::-1], longest_side)


@pytest.fixture(scope="module")
def full() -> np.ndarray:
    return make_photo(*FULL_SIZE)


@pytest.fixture(scope="module")
def small(full: np.ndarray) -> np.ndarray:
    return reduce_image(full, SMALL_SIDE).astype(np.float32) / 255


def plainly(full: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The plain way: enlarge the change and add it."""
    planes = [
        np.asarray(Image.fromarray(change[:, :, c]).resize(FULL_SIZE, Image.Resampling.BICUBIC)) for c in range(3)
    ]
    return np.clip(full / 255 + np.stack(planes, axis=-1), 0, 1) * 255


def mean_error(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def test_a_reduced_picture_keeps_its_proportions(full: np.ndarray) -> None:
    assert reduce_image(full, SMALL_SIDE).shape == (120, 160, 3)
    assert reduce_image(np.zeros((1, 1000, 3), np.uint8), 100).shape == (1, 100, 3)


def test_no_change_gives_the_full_picture_exactly(full: np.ndarray, small: np.ndarray) -> None:
    np.testing.assert_array_equal(transfer_detail(full, small, small, 1.0), full)


def test_an_even_change_is_added_evenly(full: np.ndarray, small: np.ndarray) -> None:
    result = transfer_detail(full, small, small - np.float32(20 / 255), 1.0)
    expected = np.clip(full.astype(int) - 20, 0, 255)
    assert np.abs(result.astype(int) - expected).max() <= 1


def test_less_contrast_flattens_detail_that_the_small_picture_does_not_hold(
    full: np.ndarray, small: np.ndarray
) -> None:
    flattened = 0.6 + 0.3 * (small - 0.6)
    expected = 255 * 0.6 + 0.3 * (full - 255 * 0.6)
    ours = transfer_detail(full, small, flattened, 1.0)
    assert mean_error(ours, expected) < 0.6 * mean_error(plainly(full, flattened - small), expected)


def test_a_change_of_the_bright_side_of_an_edge_leaves_no_halo() -> None:
    full = np.full((480, 640, 3), 40, np.uint8)
    full[:, 321:] = 220
    expected = np.where(full > 128, full - 80, full)
    small, darker = (reduce_image(one, SMALL_SIDE).astype(np.float32) / 255 for one in (full, expected))
    near = (slice(None), slice(301, 341))
    ours = mean_error(transfer_detail(full, small, darker, 1.0)[near], expected[near])
    assert ours < 0.5 * mean_error(plainly(full, darker - small)[near], expected[near])


def test_texture_that_the_model_draws_arrives(full: np.ndarray, small: np.ndarray) -> None:
    streaks = np.zeros_like(small)
    streaks[:, ::16] = 0.2
    result = transfer_detail(full, small, np.clip(small + streaks, 0, 1), 1.0).astype(int) - full
    columns = result[:240].mean(axis=(0, 2))
    assert columns[2] > 30
    assert abs(columns[32]) < 6


def test_half_the_strength_is_half_the_change(full: np.ndarray, small: np.ndarray) -> None:
    darker = np.float32(0.5) * (small + np.float32(0.4))
    whole = transfer_detail(full, small, darker, 1.0).astype(int) - full
    half = transfer_detail(full, small, darker, 0.5).astype(int) - full
    assert np.abs(half - whole / 2).max() <= 1.5


def test_strips_meet_without_a_seam(full: np.ndarray, small: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    stylized = np.clip(small[:, ::-1], 0, 1)
    at_once = transfer_detail(full, small, stylized, 1.0)
    monkeypatch.setattr(detail_transfer, "_STRIP_PIXELS", 37 * FULL_SIZE[0])
    assert np.abs(transfer_detail(full, small, stylized, 1.0).astype(int) - at_once).max() <= 1


def test_an_image_reduced_in_strips_is_the_one_reduced_at_once(full: np.ndarray) -> None:
    strips = [full[top : top + 56] for top in range(0, len(full), 56)]
    for side in (160, 100, 40):
        whole = np.asarray(
            Image.fromarray(full).resize((side, side * 3 // 4), Image.Resampling.LANCZOS, reducing_gap=3)
        )
        reduced = reduce_strips(strips, (640, 480), side)
        assert np.abs(reduced[: len(whole)].astype(int) - whole[: len(reduced)]).max() <= 1


def test_sixteen_bits_are_changed_as_finely_as_they_are_stored(full: np.ndarray, small: np.ndarray) -> None:
    deep = full.astype(np.uint16) * 257 + 100
    transfer = DetailTransfer(small, small * np.float32(0.5), 1.0, full_scale=65_535)
    halved = transfer.apply(deep[:240], 0, (480, 640))
    assert halved.dtype == np.uint16
    assert np.unique(halved).size > 256
    assert mean_error(halved, deep[:240] / 2) < 400
    same = DetailTransfer(small, small, 1.0, full_scale=65_535)
    np.testing.assert_array_equal(same.apply(deep[:240], 0, (480, 640)), deep[:240])


def test_an_image_wider_than_opencv_warps_is_done_in_tiles() -> None:
    wide = np.tile(make_photo(700, 20), (1, 100, 1))  # 70,000 pixels
    small = reduce_image(wide, 768).astype(np.float32) / 255
    result = transfer_detail(wide, small, small - np.float32(20 / 255), 1.0)
    assert np.abs(result.astype(int) - np.clip(wide.astype(int) - 20, 0, 255)).max() <= 1
    top_half = DetailTransfer(small, small - np.float32(20 / 255), 1.0).apply(wide[:10], 0, (20, 70_000))
    assert np.abs(top_half.astype(int) - result[:10]).max() <= 1

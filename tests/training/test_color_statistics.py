"""Statistics of colors and gradients."""

import numpy as np
import torch

from training.evaluation.color_statistics import color_statistics

PLAIN_GRAY = torch.zeros(1, 3, 32, 32)


def test_a_plain_gray_image_is_all_in_the_middle_bins_and_without_chroma() -> None:
    found = color_statistics(PLAIN_GRAY)[0]
    upper, gradients = found[:31], found[62:69]
    assert found.shape == (104,)
    assert upper[:2].tolist() == [0.5, 0.0]
    assert upper[2:10].tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    assert upper[30] == 0
    np.testing.assert_allclose(gradients, [np.log(1e-4), np.log(1e-4), 1, 0, 0, 0, 0], rtol=1e-5)


def test_colors_of_the_upper_half_are_its_own() -> None:
    blue_above = PLAIN_GRAY.clone()
    blue_above[:, 2, :16] = 1
    plain, blue = color_statistics(PLAIN_GRAY)[0], color_statistics(blue_above)[0]
    assert blue[20] == -0.5  # yellow - blue
    assert np.array_equal(plain[31:62], blue[31:62])


def test_stripes_have_gradients_across_alone() -> None:
    stripes = PLAIN_GRAY.clone()
    stripes[..., ::2] = 1
    found = color_statistics(stripes)[0]
    across, down = found[62:69], found[69:76]
    np.testing.assert_allclose(across[0], np.log(0.5 + 1e-4), rtol=1e-5)
    np.testing.assert_allclose(down[0], np.log(1e-4), rtol=1e-5)

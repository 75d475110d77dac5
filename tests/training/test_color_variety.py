"""How varied the colors of like cells are."""

import pytest
import torch
from torch import Tensor

from training.losses.variety import color_variety, excess_variety

GREEN, BLUE = (-0.6, 0.2, -0.6), (-0.6, -0.2, 0.6)  # as light as each other


def stripes(first: tuple[float, ...], second: tuple[float, ...], width: int = 4) -> Tensor:
    """[1, 3, 64, 64]: columns of both colors in turn."""
    is_first = (torch.arange(64) // width % 2 == 0)[None, :, None, None]
    columns = torch.where(is_first, torch.tensor(first)[:, None].T[:, None], torch.tensor(second)[:, None].T[:, None])
    return columns.reshape(1, 64, 3).permute(0, 2, 1)[:, :, None].expand(1, 3, 64, 64)


def halves() -> Tensor:
    """[1, 3, 64, 64]: green on the left, blue on the right."""
    return stripes(GREEN, BLUE, width=32)


def same_everywhere() -> Tensor:
    return torch.zeros(1, 2, 4, 4)


def other_kind_on_the_right() -> Tensor:
    descriptors = torch.zeros(1, 2, 4, 4)
    descriptors[..., 2:] = 20.0
    return descriptors


def test_flecks_are_varied_and_one_color_is_not() -> None:
    assert color_variety(stripes(GREEN, GREEN), same_everywhere()).max() < 0.02
    assert color_variety(stripes(GREEN, BLUE), same_everywhere()).min() > 0.3


def test_cells_of_one_kind_in_two_colors_are_varied_and_two_kinds_are_not() -> None:
    assert color_variety(halves(), same_everywhere()).min() > 0.3
    assert color_variety(halves(), other_kind_on_the_right()).max() < 0.02


def test_light_and_shade_are_one_color() -> None:
    lit = torch.tensor(GREEN) / 2 + 0.5
    shaded = (0.6 * lit - 0.5) * 2
    assert color_variety(stripes(GREEN, tuple(shaded.tolist())), same_everywhere()).max() < 0.02


@pytest.mark.parametrize(("source", "photographs", "excess"), [(0.1, 0.2, 0.3), (0.2, 0.1, 0.3), (0.6, 0.1, 0.0)])
def test_what_the_source_or_the_photographs_have_is_allowed(source: float, photographs: float, excess: float) -> None:
    cells = torch.ones(5)
    assert excess_variety(0.5 * cells, source * cells, photographs * cells).item() == pytest.approx(excess)


def test_the_gradient_draws_flecks_towards_one_color() -> None:
    made = stripes(GREEN, BLUE).clone().requires_grad_()
    color_variety(made, same_everywhere()).mean().backward()  # type: ignore[no-untyped-call]
    assert made.grad is not None
    first, second = made.grad[0, :, 20, 1], made.grad[0, :, 20, 5]
    assert first[2] < 0 < second[2]  # green columns become bluer, blue ones less blue

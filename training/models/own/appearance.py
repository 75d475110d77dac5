"""The look of a sound: a grade of the whole picture, and how much of paint, veil and streaks each pixel takes of it.

Every colour is said once for the picture: how strong its own colours are, what is painted over them, what snow or mist
looks like. A network that may choose colours pixel by pixel wins by vivid blots. What differs from place to place is
lightness, within bounds, and shares between 0 and 1: where snow lies, how dense mist is, what turns green.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANGE_CHANNELS = 5  # lightness; the mask's threshold; streaks; the veil; the paint
GRADE_SIZES = (1, 1, 1, 2, 1, 1, 2, 1)  # colourfulness, exposure; the veil's lightness, tint, density; streaks; the
GRADE_VALUES = sum(GRADE_SIZES)  # paint's colour, and its density

BRIGHTEN_BOUND, DARKEN_BOUND = 1.5, 0.4  # of a pixel's shift in lightness, in the logit domain
FADE_MOST, DEEPEN_MOST = 0.9, 0.6  # the picture's colours become 0.1 to 1.6 times as strong
EXPOSURE_BOUND = 1.0  # of the picture's shift in lightness, in the logit domain
VEIL_LIGHTNESS = (-0.3, 0.92)  # of the veil's colour in [-1, 1]
VEIL_TINT = 0.05  # how far red and blue of the veil may lie from grey
VEIL_MOST = 0.92  # of a pixel that the veil may hide: what lies beneath shows through snow, too
PAINT_COLOUR = 0.3  # how far red and blue of the paint may lie from grey, where the picture is neither white nor black
PAINT_MOST = 0.6  # of a pixel's own colour that paint may replace; its lightness stays
SHARE_START = -2.0  # logit of both shares when training begins: 12 %
LIMIT = 0.97  # nothing is drawn lighter or darker, so that every tone has a logit


class GradeHead(nn.Module):
    """What is said once for the picture: [B, C, H, W] features, [B, E] style and the source -> [B, GRADE_VALUES]."""

    def __init__(self, channels: int, embedding_dim: int, hidden: int = 64) -> None:
        super().__init__()
        first, last = nn.Linear(channels + embedding_dim + 6, hidden), nn.Linear(hidden, GRADE_VALUES)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.mlp = nn.Sequential(first, nn.ReLU(), last)

    def forward(self, features: Tensor, style: Tensor, source: Tensor) -> Tensor:
        mean = source.mean(dim=(2, 3))
        spread = (source - mean[:, :, None, None]).square().mean(dim=(2, 3)).add(1e-6).sqrt()
        seen = torch.cat([features.mean(dim=(2, 3)).float(), style.float(), mean, spread], dim=1)
        grade: Tensor = self.mlp(seen).float()
        return grade


def draw_look(change: Tensor, grade: Tensor, source: Tensor) -> Tensor:
    """The source [B, 3, H, W] in [-1, 1] as the decoder would have it where its mask is open, still without streaks.

    change: [B, CHANGE_CHANNELS, H, W]; grade: [B, GRADE_VALUES].
    """
    bounded = torch.tanh(grade)[:, :, None, None].split(GRADE_SIZES, dim=1)
    saturation, exposure, veil_lightness, veil_tint, veil_density, _, paint_colour, paint_density = bounded
    shift = _bounded_shift(change[:, :1], source) + EXPOSURE_BOUND * exposure
    look = torch.tanh(_logit(source.clamp(-LIMIT, LIMIT)) + shift)

    grey = look.mean(dim=1, keepdim=True)
    own = (1 + torch.where(saturation < 0, FADE_MOST, DEEPEN_MOST) * saturation) * (look - grey)
    paint = PAINT_COLOUR * _off_grey(paint_colour) * (1 - grey.square())  # white and black take none: clouds stay white
    look = grey + own + PAINT_MOST * _share(change[:, 4:5], paint_density) * (paint - own)

    low, high = VEIL_LIGHTNESS
    veil = (low + high) / 2 + (high - low) / 2 * veil_lightness + VEIL_TINT * _off_grey(veil_tint)
    look = look + VEIL_MOST * _share(change[:, 3:4], veil_density) * (veil - look)
    return look.clamp(-LIMIT, LIMIT)


def streak_strength(change: Tensor, grade: Tensor) -> Tensor:
    """How much light a full streak adds at each pixel, in the logit domain: [B, 1, H, W]."""
    falls = torch.sigmoid(2 + 5 * torch.tanh(grade[:, 6:7]))[:, :, None, None]  # no rain in a summer's picture
    return 3 * falls * torch.sigmoid(change[:, 2:3] - 3)


def with_streaks(look: Tensor, falling: Tensor) -> Tensor:
    """The look in (-1, 1) with light [B, 1, H, W] added in the logit domain, so that it never burns out."""
    light = torch.tanh(falling)
    return (look + light) / (1 + look * light)  # tanh(logit + falling): with no logarithm, an fp16 graph can hold it


def _logit(tone: Tensor) -> Tensor:
    return 0.5 * torch.log((1 + tone) / (1 - tone))


def _share(change: Tensor, density: Tensor) -> Tensor:
    """What a pixel takes, 0 to 1: by its place [B, 1, H, W], and as dense as the grade has it all over the picture."""
    return torch.sigmoid(change + SHARE_START + 3 * density)


def _off_grey(red_and_blue: Tensor) -> Tensor:
    """Red and blue [B, 2, 1, 1] -> [B, 3, 1, 1], green such that the three add up to no lightness."""
    red, blue = red_and_blue.chunk(2, dim=1)
    return torch.cat([red, -(red + blue), blue], dim=1)


def _bounded_shift(change: Tensor, source: Tensor) -> Tensor:
    """The shift of lightness [B, 1, H, W] that is kept of the one that the head wants.

    Snow may cover the dark, and nothing falls into black holes. A bright place of the source brightens less and a dark
    one darkens less: a sky would else burst into a white blob, and a thicket fall into a black one.
    """
    own = source.mean(dim=1, keepdim=True)
    ceiling = BRIGHTEN_BOUND * (1 - own.clamp(0.0, 0.9)) ** 2
    floor = DARKEN_BOUND * (1 + own.clamp(-0.9, 0.0)) ** 2
    return ceiling * torch.tanh(change.clamp(min=0) / ceiling) + floor * torch.tanh(change.clamp(max=0) / floor)

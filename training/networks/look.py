"""The look of a sound: a bounded change of the source's own tone, and streaks that fall over it."""

from __future__ import annotations

import torch
from torch import Tensor

COLOUR_GAIN = 0.2  # of a pixel in [-1, 1] up to middle grey; none for white and black: clouds must not turn pink
HUE_BOUND = 0.5  # of a colour's shift against the others', in the logit domain
BRIGHTEN_BOUND, DARKEN_BOUND = 3.0, 0.2  # of a pixel's shift in lightness, in the logit domain


def draw_look(change: Tensor, source: Tensor, streaks: Tensor) -> Tensor:
    """The source [B, 3, H, W] in [-1, 1] as the decoder's head would have it where its mask is open.

    change: [B, 5, H, W]: shifts of red, green and blue, the mask's, and how much of `streaks` [B, 1, H, W] falls.
    """
    tone = source.clamp(-0.97, 0.97)
    falling = 3 * torch.sigmoid(change[:, 4:] - 3) * streaks
    # Snow may cover the dark; hue and darkening are bounded: networks would else draw vivid blots and black holes.
    grey = change[:, :3].mean(dim=1, keepdim=True)
    # A bright place of the source brightens less and a dark one darkens less: a sky would else burst into a white
    # blob, and a thicket fall into a black one.
    own = source.mean(dim=1, keepdim=True)
    ceiling = BRIGHTEN_BOUND * (1 - own.clamp(0.0, 0.9)) ** 2
    floor = DARKEN_BOUND * (1 + own.clamp(-0.9, 0.0)) ** 2
    brighter = ceiling * torch.tanh(grey.clamp(min=0) / ceiling)
    lightness = brighter + floor * torch.tanh(grey.clamp(max=0) / floor)
    hue = change[:, :3] - grey
    shift = lightness + HUE_BOUND * torch.tanh(hue / HUE_BOUND)
    look = torch.tanh(0.5 * torch.log((1 + tone) / (1 - tone)) + shift + falling)
    return natural_colour(look, source)


def natural_colour(look: Tensor, source: Tensor) -> Tensor:
    """`look` with each pixel's colour faded along the source's own hue, and turned from it only a little.

    Colour is what is left of a pixel without its grey. Along the source's hue it may not grow; what
    is not along it, or is of the opposite hue, is kept up to COLOUR_GAIN: blue may fade to grey, and not become pink.
    The further a pixel of the source is from middle grey the less it may gain: white and black gain nothing. Lightness
    stays.
    """
    grey, source_grey = look.mean(dim=1, keepdim=True), source.mean(dim=1, keepdim=True)
    colour, own = look - grey, source - source_grey
    saturation = own.square().sum(dim=1, keepdim=True).add(1e-6).sqrt()
    hue = own / saturation
    gain = COLOUR_GAIN * (1 - source_grey.abs().clamp(max=1))
    along = (colour * hue).sum(dim=1, keepdim=True)
    along = torch.minimum(along.clamp(min=0), saturation)
    across = colour - along * hue
    length = across.square().sum(dim=1, keepdim=True).add(1e-6).sqrt()
    return grey + along * hue + across * (gain / length).clamp(max=1.0)

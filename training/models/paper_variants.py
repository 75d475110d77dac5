"""What the paper's ablations and baselines put in the place of one of its networks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import PaperDiscriminatorConfig, PaperGeneratorConfig
from training.models.blocks import upsampled
from training.models.paper import ContentEncoder, Decoder, Generator, init_weights

EPSILON = 1e-5


class LateFusionDiscriminator(nn.Module):
    """[B, 3, H, W] images and their spectrograms -> [B, 1, about H/8, about W/8] scores (Table 3, late fusion).

    Each has an encoder of its own (the layers of the PatchGAN); the audio features are pooled, stand beside the image's
    at every place, and a two-layer classifier scores the pair.
    """

    def __init__(self, config: PaperDiscriminatorConfig) -> None:
        super().__init__()
        channels = config.width * 8
        self.image_features = _patch_layers(3, config.width)
        self.audio_features = _patch_layers(1, config.width)
        # No norm after the audio has joined: it would subtract what is the same at every place.
        self.classifier = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1), nn.LeakyReLU(0.2), nn.Conv2d(channels, 1, 4, 1, 1)
        )
        init_weights(self.classifier)

    def forward(self, image: Tensor, spectrogram: Tensor) -> Tensor:
        """spectrogram: [B, 3, H, W], three times the same."""
        of_image = self.image_features(image)
        of_audio = self.audio_features(spectrogram[:, :1]).mean(dim=(2, 3), keepdim=True)
        scores: Tensor = self.classifier(torch.cat([of_image, of_audio.expand(-1, -1, *of_image.shape[2:])], dim=1))
        return scores


def _patch_layers(inputs: int, width: int) -> nn.Sequential:
    """Without norms: they would subtract the audio's level and the image's color, which are pooled afterwards."""
    layers: list[nn.Module] = []
    for outputs, stride in ((width, 2), (width * 2, 2), (width * 4, 2), (width * 8, 1)):
        conv = nn.Conv2d(inputs, outputs, 4, stride, 1)
        nn.init.kaiming_normal_(conv.weight, a=0.2)
        layers += [conv, nn.LeakyReLU(0.2)]
        inputs = outputs
    return nn.Sequential(*layers)


class AdaINDecoder(Decoder):
    """Gdec whose content takes over the mean and deviation of the style image's, channel by channel (Eq. 8 of Huang &
    Belongie 2017), in the place of the concatenation."""

    def __init__(self, config: PaperGeneratorConfig) -> None:
        super().__init__(config, 0)

    def forward(self, content: Tensor, embedding: Tensor) -> Tensor:
        """embedding: [B, 2C], the style's means and deviations."""
        mean, deviation = embedding[:, :, None, None].to(content.dtype).chunk(2, dim=1)
        own_deviation, own_mean = torch.std_mean(content, dim=(2, 3), keepdim=True)
        x = deviation * (content - own_mean) / (own_deviation + EPSILON) + mean
        # The norms of the paper's decoder would undo this; AdaIN's own decoder has none.
        x = F.relu(self.up1(upsampled(x)))
        x = F.relu(self.up2(upsampled(x)))
        return torch.tanh(self.head(x))


class AdaINGenerator(Generator):
    """The paper's generator with AdaIN for the concatenation."""

    def __init__(self, config: PaperGeneratorConfig) -> None:
        nn.Module.__init__(self)
        self.encoder = ContentEncoder(config)
        self.decoder = AdaINDecoder(config)
        init_weights(self.encoder)  # without norms after it, the decoder needs weights of PyTorch's usual size

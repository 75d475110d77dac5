"""The paper's training step written down plainly, from the paper and CUT's description: the yardstick of speed.

Full precision, every term computed for itself: the generator runs on source and target together, and each NCE term
encodes its image and its result anew. Nothing of `training/` is used but the shape of its batches.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

WIDTH = 64
PATCHES = 256
TEMPERATURE = 0.07


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv(channels, channels, 3, padding=1), nn.ReLU(), *conv(channels, channels, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class BlurDown(nn.Module):
    """[1, 2, 1] low-pass, every second pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("kernel", (torch.outer(taps, taps) / 16).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.kernel, stride=2, groups=x.shape[1])


def conv(inputs: int, outputs: int, size: int, padding: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, size, stride, padding, padding_mode="reflect"),
        nn.InstanceNorm2d(outputs),
    ]


class PlainNetworks(nn.Module):
    """Audio ResNet18, Genc (nine blocks), Gdec, early-fusion 70x70 PatchGAN, projection MLPs."""

    def __init__(self) -> None:
        super().__init__()
        self.audio = resnet18(num_classes=256)
        self.audio.conv1 = nn.Conv2d(1, 64, 7, 2, 1, bias=False)
        w = WIDTH
        self.encoder = nn.ModuleList(
            [
                nn.Sequential(*conv(3, w, 7, 3), nn.ReLU()),
                nn.Sequential(*conv(w, 2 * w, 3, 1), nn.ReLU(), BlurDown(2 * w)),
                nn.Sequential(*conv(2 * w, 4 * w, 3, 1), nn.ReLU(), BlurDown(4 * w)),
                *(Residual(4 * w) for _ in range(9)),
            ]
        )
        up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.decoder = nn.Sequential(
            up, *conv(4 * w + 256, 4 * w, 3, 1), nn.ReLU(), up, *conv(4 * w, 2 * w, 3, 1), nn.ReLU(),
            nn.Conv2d(2 * w, 3, 7, padding=3, padding_mode="reflect"), nn.Tanh(),
        )  # fmt: skip
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((6, w, 2), (w, 2 * w, 2), (2 * w, 4 * w, 2), (4 * w, 8 * w, 1)):
            layers += [nn.Conv2d(inputs, outputs, 4, stride, 1), nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.2)]
        self.judge = nn.Sequential(*layers, nn.Conv2d(8 * w, 1, 4, 1, 1))
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(c, 256), nn.ReLU(), nn.Linear(256, 256)) for c in (3, 2 * w, 4 * w, 4 * w, 4 * w)
        )

    def features(self, image: Tensor) -> list[Tensor]:
        """The five maps that NCE compares: pixels, both reductions, the first and the fifth block."""
        maps, x = [image], image
        for number, layer in enumerate(self.encoder):
            x = layer(x)
            if number in (1, 2, 3, 7):
                maps.append(x)
            if number == 7:
                break
        return maps

    def generate(self, image: Tensor, embedding: Tensor) -> Tensor:
        for layer in self.encoder:
            image = layer(image)
        tiled = embedding[:, :, None, None].expand(-1, -1, *image.shape[2:])
        return self.decoder(torch.cat([image, tiled], dim=1))

    def nce(self, output: Tensor, origin: Tensor) -> Tensor:
        losses = []
        for query, key, head in zip(self.features(output), self.features(origin), self.heads, strict=True):
            places = torch.randperm(query.shape[2] * query.shape[3])[:PATCHES]
            q, k = (F.normalize(head(x.flatten(2).transpose(1, 2)[:, places]), dim=-1) for x in (query, key))
            logits = q @ k.detach().transpose(1, 2) / TEMPERATURE
            losses.append(F.cross_entropy(logits.transpose(1, 2), torch.arange(len(places)).expand(len(q), -1)))
        return torch.stack(losses).mean()


class PlainTrainer:
    """One step of Eqs. 1 to 4 with LSGAN, lambda = mu = 0.5."""

    def __init__(self) -> None:
        self.networks = PlainNetworks()
        n = self.networks
        learned = itertools.chain(
            n.audio.parameters(), n.encoder.parameters(), n.decoder.parameters(), n.heads.parameters()
        )
        self.generator_adam = torch.optim.Adam(learned, 2e-4, (0.5, 0.999))
        self.judge_adam = torch.optim.Adam(n.judge.parameters(), 2e-4, (0.5, 0.999))

    def step(self, source: Tensor, target: Tensor, waveform: Tensor) -> tuple[float, float]:
        """source, target: [B, 3, H, W] in [-1, 1]; waveform: [B, N]. The losses of the judge and of the generator."""
        n, window = self.networks, torch.hann_window(400)
        heard = torch.stft(waveform, 512, 160, 400, window, return_complex=True).abs()[:, None]  # [B, 1, 257, T]
        shown = F.interpolate(heard, source.shape[2:]).expand(-1, 3, -1, -1)
        embedding = n.audio(heard)
        both = n.generate(torch.cat([source, target]), embedding.repeat(2, 1))
        fake, same = both.chunk(2)

        n.judge.requires_grad_(True)
        wrong = n.judge(torch.cat([fake.detach(), shown], 1)).square().mean()
        right = (n.judge(torch.cat([target, shown], 1)) - 1).square().mean()
        judged = (wrong + right) / 2
        self.judge_adam.zero_grad()
        judged.backward()
        self.judge_adam.step()

        n.judge.requires_grad_(False)
        fooled = (n.judge(torch.cat([fake, shown], 1)) - 1).square().mean()
        loss = fooled + 0.5 * n.nce(fake, source) + 0.5 * n.nce(same, target)
        self.generator_adam.zero_grad()
        loss.backward()
        self.generator_adam.step()
        return judged.item(), loss.item()

"""Draw the example photographs' stand-ins: two landscapes, by noise, ridges and trees. No photograph is involved."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Plane = NDArray[np.float32]
Pixels = NDArray[np.uint8]

WIDTH: Final = 1200
HEIGHT: Final = 800
_SEED: Final = 3

Color = tuple[float, float, float]


def noise(rng: np.random.Generator, cell: float, stretch: float = 1.0, octaves: int = 5) -> Plane:
    """[HEIGHT, WIDTH] in about 0..1: smooth random patches of `cell` pixels, and finer ones on them.

    stretch: how much wider than high they are.
    """
    total, weight, sum_of_weights = np.zeros((HEIGHT, WIDTH), np.float32), 1.0, 0.0
    for _ in range(octaves):
        size = (max(2, round(WIDTH / cell / stretch)), max(2, round(HEIGHT / cell)))
        grid = Image.fromarray(rng.random(size[::-1], np.float32))
        total += np.float32(weight) * np.asarray(grid.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.float32)
        sum_of_weights += weight
        weight, cell = weight * 0.55, max(1.5, cell / 2)
    return np.asarray(total / np.float32(sum_of_weights), np.float32)


def ridge(rng: np.random.Generator, level: float, roughness: float, cell: float) -> Plane:
    """[WIDTH]: the height in pixels from the top of a line of mountains around `level` * HEIGHT."""
    line, weight = np.zeros(WIDTH), 1.0
    for _ in range(7):
        points = max(3, round(WIDTH / cell))
        line += weight * np.interp(np.linspace(0, points - 1, WIDTH), np.arange(points), rng.uniform(-1, 1, points))
        weight, cell = weight * 0.5, cell / 2
    return np.asarray(HEIGHT * (level + roughness * line), np.float32)


def mix(first: Plane | Color, second: Plane | Color, share: Plane) -> Plane:
    """[HEIGHT, WIDTH, 3]: from one color to another, share [HEIGHT, WIDTH] in 0..1."""
    one, other = (np.asarray(color, np.float32) for color in (first, second))
    return np.asarray(one + (other - one) * np.clip(share, 0, 1)[..., None], np.float32)


def below(line: Plane, softness: float = 1.5) -> Plane:
    """[HEIGHT, WIDTH]: 1 below a line [WIDTH], 0 above."""
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None]
    return np.asarray(np.clip((rows - line[None]) / np.float32(softness) + 0.5, 0, 1), np.float32)


def sky(rng: np.random.Generator, top: Color, horizon: Color, clouds: float) -> Plane:
    """A gradient with clouds."""
    rows = np.linspace(0, 1.6, HEIGHT, dtype=np.float32)[:, None].repeat(WIDTH, 1)
    plain = mix(top, horizon, rows)
    cover = np.clip((noise(rng, 260, 2.2, 6) - 0.5) * 5 + clouds, 0, 1)
    shade = mix((0.80, 0.82, 0.86), (0.97, 0.97, 0.96), noise(rng, 120, 2.0) * 1.6 - 0.3)
    return mix(plain, shade, cover * 0.85)


def slope_light(rng: np.random.Generator, cell: float) -> Plane:
    """[HEIGHT, WIDTH]: how the sun, from the left, lights rough ground; around 1."""
    ground = noise(rng, cell, 1.0, 7)
    return np.asarray(1 + 30 * np.gradient(ground, axis=1), np.float32)


def conifer(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, foot: float, height: float) -> None:
    """One tree, darker below and to the right."""
    tone = rng.uniform(0.75, 1.2)
    draw.line([(x, foot), (x, foot - height * 0.2)], fill=(58, 44, 32), width=max(1, round(height / 28)))
    for tier in range(9):
        share = tier / 8
        half = height * 0.24 * (1 - share) * rng.uniform(0.85, 1.15) + 1
        base = foot - height * (0.1 + 0.82 * share)
        tip = base - height * 0.2
        light = tone * (0.75 + 0.5 * share)
        colors = [tuple(round(c * light * side) for c in (38, 66, 40)) for side in (1.15, 0.8)]
        draw.polygon([(x - half, base), (x, tip), (x, base + half * 0.12)], fill=colors[0])
        draw.polygon([(x + half, base), (x, tip), (x, base + half * 0.12)], fill=colors[1])


def leafy_tree(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, foot: float, height: float) -> None:
    """A trunk with branches, and a crown of many small clumps of leaves, lit from the left above."""
    width = max(2, round(height / 22))
    draw.line([(x, foot), (x, foot - height * 0.55)], fill=(74, 58, 44), width=width)
    for _ in range(7):
        start, reach = rng.uniform(0.3, 0.55), rng.uniform(-0.26, 0.26)
        end = (x + height * reach, foot - height * (start + rng.uniform(0.15, 0.3)))
        draw.line([(x, foot - height * start), end], fill=(66, 52, 40), width=max(1, width // 3))
    for _ in range(16):
        angle, radius = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random()) * 0.72
        centre = np.array([np.cos(angle) * radius * 1.1, np.sin(angle) * radius])
        for _ in range(230):
            across, down = centre + rng.normal(0, 0.19, 2)
            size = height * rng.uniform(0.003, 0.011)
            place = (x + across * height * 0.36, foot - height * (0.68 - 0.3 * down))
            light = 0.82 - 0.24 * across - 0.38 * down + rng.normal(0, 0.16)
            fill = tuple(int(np.clip(c * light, 0, 255)) for c in (92, 124, 58))
            draw.ellipse([place[0] - size, place[1] - size, place[0] + size, place[1] + size], fill=fill)


def finish(canvas: Image.Image, rng: np.random.Generator) -> Pixels:
    """[HEIGHT, WIDTH, 3]: a little softer, and with the grain of a sensor."""
    soft = np.asarray(canvas.filter(ImageFilter.GaussianBlur(0.7)), np.float32)
    grain = rng.normal(0, 2.2, (HEIGHT, WIDTH, 1))
    return np.asarray(np.clip(soft + grain, 0, 255), np.uint8)


def as_image(planes: Plane) -> Image.Image:
    """[HEIGHT, WIDTH, 3] in 0..1."""
    return Image.fromarray(np.asarray(np.clip(planes, 0, 1) * 255, np.uint8))


def lake(rng: np.random.Generator) -> Pixels:
    """Mountains behind a lake that mirrors them, with firs on its shore."""
    planes = sky(rng, (0.34, 0.52, 0.76), (0.83, 0.87, 0.90), 0.1)
    shore = round(HEIGHT * 0.64)
    layers: list[tuple[float, float, float, Color]] = [
        (0.29, 0.11, 520, (0.55, 0.61, 0.70)),
        (0.42, 0.06, 300, (0.44, 0.49, 0.52)),
        (0.53, 0.035, 260, (0.27, 0.36, 0.28)),
    ]
    for level, roughness, cell, color in layers:
        line = ridge(rng, level, roughness, cell)
        light = slope_light(rng, 90)[..., None] * (0.9 + 0.25 * noise(rng, 40)[..., None])
        rows = np.arange(HEIGHT, dtype=np.float32)[:, None]
        ground = mix(np.asarray(color, np.float32) * light, (0.72, 0.77, 0.82), (rows - line[None]) / (0.9 * HEIGHT))
        if level < 0.4:  # old snow on the highest
            patches = np.clip((noise(rng, 50) - 0.42) * 8, 0, 1) * np.clip(1 - (rows - line[None]) / 110, 0, 1)
            ground = mix(ground, np.asarray((0.93, 0.94, 0.96), np.float32) * np.clip(light, 0.75, 1.1), patches)
        planes = mix(planes, ground, below(line))
    canvas = as_image(planes)
    draw = ImageDraw.Draw(canvas)
    for x in np.sort(rng.uniform(-20, WIDTH + 20, 150)):
        conifer(draw, rng, x, shore + rng.uniform(-8, 5), rng.uniform(40, 95))
    planes = np.asarray(np.asarray(canvas, np.float32) / 255, np.float32)
    depth = np.arange(HEIGHT - shore)
    mirrored = planes[np.clip(shore - 1 - depth, 0, None)]
    ripples = noise(rng, 6, 9.0, 4)[shore:] - 0.5
    shifts = np.rint(ripples * depth[:, None] * 0.10).astype(int)
    columns = np.clip(np.arange(WIDTH)[None] + 2 * shifts, 0, WIDTH - 1)
    water = mirrored[np.clip(depth[:, None] + shifts, 0, len(depth) - 1), columns]
    dim = np.linspace(0.15, 0.5, len(depth), dtype=np.float32)[:, None, None]
    planes = planes.copy()
    planes[shore:] = water * (1 - dim) + np.asarray((0.16, 0.25, 0.32), np.float32) * dim + ripples[..., None] * 0.10
    bank = ridge(rng, 0.955, 0.03, 300)
    grass = mix((0.20, 0.26, 0.12), (0.46, 0.49, 0.24), noise(rng, 5, 0.4) * 1.5 - 0.2)
    return finish(as_image(mix(planes, grass * slope_light(rng, 30)[..., None], below(bank, 6))), rng)


def meadow(rng: np.random.Generator) -> Pixels:
    """A path through a meadow towards hills and woods, with trees at its side."""
    planes = sky(rng, (0.38, 0.58, 0.83), (0.86, 0.90, 0.92), 0.0)
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None]
    for level, roughness, cell, color in (
        (0.45, 0.04, 500, (0.50, 0.58, 0.64)),
        (0.51, 0.025, 380, (0.34, 0.44, 0.36)),
    ):
        line = ridge(rng, level, roughness, cell)
        woods = np.asarray(color, np.float32) * (0.75 + 0.5 * noise(rng, 14, 1.0, 4)[..., None])
        planes = mix(planes, woods, below(line, 3))
    horizon = ridge(rng, 0.56, 0.012, 500)
    near = np.clip((rows - horizon[None]) / (HEIGHT - horizon[None]), 0, 1)
    blades = noise(rng, 4, 0.35, 3) * near + noise(rng, 18, 3.0) * (1 - near)
    grass = mix((0.25, 0.35, 0.13), (0.60, 0.66, 0.31), blades * 1.5 - 0.25 + 0.25 * (noise(rng, 160, 2.5) - 0.5))
    columns = np.arange(WIDTH, dtype=np.float32)[None]
    centre = WIDTH * (0.52 + 0.10 * np.sin(3.2 * near + 0.6)) + 60 * near
    width = 10 + 190 * near**1.5
    path = np.clip(1.6 - np.abs(columns - centre) / width + 0.5 * (noise(rng, 22, 2.0) - 0.5), 0, 1)
    earth = mix((0.46, 0.38, 0.28), (0.70, 0.62, 0.50), noise(rng, 8, 2.0) * 1.4 - 0.2)
    planes = mix(planes, mix(grass, earth, path), below(horizon, 4))
    canvas = as_image(planes)
    draw = ImageDraw.Draw(canvas)
    places = [(0.05, 0.60, 110.0), (0.30, 0.585, 70.0), (0.70, 0.60, 120.0), (0.93, 0.59, 90.0), (0.16, 0.70, 330.0)]
    for x, foot, height in [*places, (0.88, 0.76, 470.0)]:
        shadow = [x * WIDTH - height * 0.1, foot * HEIGHT - height * 0.03, x * WIDTH + height * 0.5, foot * HEIGHT + 5]
        draw.ellipse(shadow, fill=(62, 76, 34))
        leafy_tree(draw, rng, x * WIDTH, foot * HEIGHT, height)
    return finish(canvas, rng)


@dataclass(frozen=True)
class Scenery:
    """title: for people. draw: makes it, [HEIGHT, WIDTH, 3]."""

    title: str
    draw: Callable[[np.random.Generator], Pixels]

    def pixels(self) -> Pixels:
        """[HEIGHT, WIDTH, 3], the same at every call."""
        return self.draw(np.random.default_rng(_SEED))


IMAGES: Final = {"lake": Scenery("A mountain lake", lake), "meadow": Scenery("A path through a meadow", meadow)}

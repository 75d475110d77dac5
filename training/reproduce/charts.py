"""Line charts as SVG text: a line with its 95 % band for each method."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from training.reproduce.sweeps import Curve

WIDTH, HEIGHT = 440, 270
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 44
COLOURS = ("#2463c9", "#c2571a", "#2a8a4a", "#8a3fb0", "#7a7a7a", "#b02a4a", "#1a8a9a")
TICKS = 4


def chart(curves: Sequence[Curve], across: str, up: str, top: float | None = None) -> str:
    """`across` and `up` name the axes; the vertical one goes from 0 to `top` (None: what the highest band needs)."""
    places = sorted({place for curve in curves for place in curve.places})
    first, last = places[0], places[-1]
    highest = top or max(figure.high for curve in curves for figure in curve.figures) * 1.05 or 1.0

    def x(place: float) -> float:
        return LEFT + (place - first) / ((last - first) or 1) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - min(value, highest) / highest * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(up)} by {escape(across)}">']
    for k in range(TICKS + 1):
        value = highest * k / TICKS
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    for place in places:
        parts.append(f'<text x="{x(place):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{place:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(across)}</text>')
    upright = (HEIGHT - BOTTOM + TOP) / 2
    parts.append(f'<text transform="translate(12 {upright}) rotate(-90)" text-anchor="middle">{escape(up)}</text>')
    for curve, colour in zip(curves, _colours(len(curves)), strict=True):
        seen = list(zip(curve.places, curve.figures, strict=True))
        if all(figure.has_interval for _, figure in seen):
            edge = [f"{x(p):.1f},{y(f.high):.1f}" for p, f in seen]
            edge += [f"{x(p):.1f},{y(f.low):.1f}" for p, f in reversed(seen)]
            parts.append(f'<polygon points="{" ".join(edge)}" fill="{colour}" opacity="0.18"/>')
        line = " ".join(f"{x(p):.1f},{y(f.mean):.1f}" for p, f in seen)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
    parts.append("</svg>")
    keys = "".join(
        f'<span><i style="background:{colour}"></i>{escape(curve.name)}</span>'
        for curve, colour in zip(curves, _colours(len(curves)), strict=True)
    )
    return "".join(parts) + f'<p class="keys">{keys}</p>'


def _colours(count: int) -> list[str]:
    return [COLOURS[k % len(COLOURS)] for k in range(count)]

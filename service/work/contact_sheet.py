"""One image of several, each with its caption."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]

_TILE_SIDE: Final = 480
_MARGIN: Final = 8
_CAPTION_ROWS: Final = 26
_COLUMNS: Final = 3


def contact_sheet(images: Sequence[Pixels], captions: Sequence[str]) -> Pixels:
    """[rows, columns, 3]: images of one size [H, W, 3], reduced to 480 pixels, in rows of three."""
    tiles = [Image.fromarray(image) for image in images]
    for tile in tiles:
        tile.thumbnail((_TILE_SIDE, _TILE_SIDE), Image.Resampling.LANCZOS)
    width, height = tiles[0].width + _MARGIN, tiles[0].height + _MARGIN + _CAPTION_ROWS
    rows = -(-len(tiles) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * width + _MARGIN, rows * height + _MARGIN), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for number, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        left, top = _MARGIN + number % _COLUMNS * width, _MARGIN + number // _COLUMNS * height
        sheet.paste(tile, (left, top))
        draw.text((left, top + tile.height + 3), caption, fill="black", font=font)
    return np.asarray(sheet)

"""Word vectors of a few words, in the formats of word2vec."""

from __future__ import annotations

from pathlib import Path

import numpy as np

WORDS = {
    "snow": (1.0, 0.0, 0.0, 0.25),
    "rain": (0.0, 1.0, 0.0, 0.25),
    "summer": (0.0, 0.0, 1.0, 0.25),
    "Bird": (0.5, -0.5, 0.5, 0.0),
    "bird_song": (0.0, -1.0, 0.0, 0.5),
}


def write_words(path: Path) -> Path:
    """The text format."""
    rows = "".join(f"{word} {' '.join(f'{number:g}' for number in vector)}\n" for word, vector in WORDS.items())
    path.write_text(f"{len(WORDS)} 4\n{rows}")
    return path


def write_binary_words(path: Path, end: bytes = b"\n") -> Path:
    """The binary format; `end` follows each vector: a line's end from the original program, nothing from others."""
    rows = (word.encode() + b" " + np.array(vector, "<f4").tobytes() + end for word, vector in WORDS.items())
    path.write_bytes(f"{len(WORDS)} 4\n".encode() + b"".join(rows))
    return path

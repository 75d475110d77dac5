"""An image of any size comes back at that size, restyled as its sounds, gains and strength say."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.model.audio import Window
from service.model.bundle import load_bundle
from service.model.engine import Engine
from service.schemas.requests import ImageRequest
from service.work.image_source import HeldSource
from service.work.image_stylization import Stylization, encode_content, stylize_image, warm_up
from tests.support.media import make_noise, make_photo, make_tone
from tests.support.tiny_bundle import write_tiny_bundle
from tests.support.windows import pick_window


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny")))


def no_progress(done: int, total: int) -> None:
    assert 0 <= done <= total


def stylize(
    engine: Engine,
    pixels: np.ndarray,
    waveforms: Sequence[np.ndarray],
    request: ImageRequest | None = None,
    max_inference_side: int = 1024,
) -> list[Stylization]:
    request = request or ImageRequest()
    seen = encode_content(engine, HeldSource(pixels), request.strength, max_inference_side)
    windows = windows_of(engine, waveforms, request.start_seconds)
    return list(stylize_image(engine, seen, windows, request, no_progress))


def windows_of(engine: Engine, waveforms: Sequence[np.ndarray], start_seconds: float | None = None) -> list[Window]:
    manifest = engine.manifest
    return [
        pick_window(waveform, manifest.clip_samples, manifest.sample_rate_hz, start_seconds) for waveform in waveforms
    ]


def shift(result: Stylization, pixels: np.ndarray) -> np.ndarray:
    """[3]: the mean change of each color, in 0..255."""
    change: np.ndarray = (result.pixels.astype(float) - pixels).mean(axis=(0, 1))
    return change


@settings(max_examples=60, deadline=None)
@given(width=st.integers(1, 90), height=st.integers(1, 90))
def test_every_size_comes_back_exactly(engine: Engine, width: int, height: int) -> None:
    """Silence leaves the tiny model's image as it is, so any slip of padding or cropping would show."""
    photo = make_photo(width, height)
    (result,) = stylize(engine, photo, [np.zeros(48_000, np.float32)])
    assert result.pixels.dtype == np.uint8
    np.testing.assert_array_equal(result.pixels, photo)


@settings(max_examples=15, deadline=None)
@given(width=st.integers(1, 300), height=st.integers(1, 300))
def test_large_pictures_come_back_exactly_too(engine: Engine, width: int, height: int) -> None:
    photo = make_photo(width, height)
    (result,) = stylize(engine, photo, [np.zeros(48_000, np.float32)], max_inference_side=64)
    np.testing.assert_array_equal(result.pixels, photo)


def test_the_sound_decides_the_change(engine: Engine) -> None:
    photo = make_photo(64, 48)
    (warm,) = stylize(engine, photo, [make_tone(3)])
    (cool,) = stylize(engine, photo, [make_noise(3)])
    assert shift(warm, photo)[0] > 20 > -20 > shift(warm, photo)[2]
    assert shift(cool, photo)[2] > 20 > 0 > shift(cool, photo)[0]


def test_strength_zero_is_the_input_bit_for_bit(engine: Engine) -> None:
    photo = make_photo(65, 43)
    for side in (1024, 64):
        request = ImageRequest(strength=0.0, gains_db=(-6, 0))
        results = stylize(engine, photo, [make_tone(3)], request, max_inference_side=side)
        assert [result.receipt.method for result in results] == ["unchanged", "unchanged"]
        for result in results:
            np.testing.assert_array_equal(result.pixels, photo)
        assert results[0].pixels is not photo


@pytest.mark.parametrize("max_inference_side", [1024, 64])
def test_strength_grows_the_change_in_proportion(engine: Engine, max_inference_side: int) -> None:
    photo = np.full((96, 128, 3), 128, np.uint8)
    changes = [
        shift(stylize(engine, photo, [make_tone(3)], ImageRequest(strength=s), max_inference_side)[0], photo)[0]
        for s in (0.25, 0.5, 1.0)
    ]
    np.testing.assert_allclose(changes, np.array([0.25, 0.5, 1.0]) * changes[2], atol=1)


def test_each_gain_gives_one_result_in_order_and_louder_means_more(engine: Engine) -> None:
    photo = make_photo(64, 48)
    gains = (-40.0, -20.0, -10.0, 0.0)
    results = stylize(engine, photo, [make_tone(3)], ImageRequest(gains_db=gains))
    assert tuple(result.gain_db for result in results) == gains
    changes = [float(np.abs(shift(result, photo)).sum()) for result in results]
    assert changes == sorted(changes)
    loudness = [result.heard().loudness_dbfs for result in results]
    np.testing.assert_allclose(np.diff(loudness), np.diff(gains), atol=0.02)


def test_a_gain_gives_the_same_alone_and_in_a_list(engine: Engine) -> None:
    photo = make_photo(64, 48)
    alone = stylize(engine, photo, [make_tone(3)], ImageRequest(gain_db=-10))[0]
    listed = stylize(engine, photo, [make_tone(3)], ImageRequest(gains_db=(0, -10)))[1]
    np.testing.assert_array_equal(alone.pixels, listed.pixels)


def test_an_image_is_encoded_once_and_its_gains_are_decoded_together(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []
    for name in ("embed", "encode", "decode"):
        real = getattr(engine, name)
        monkeypatch.setattr(engine, name, lambda *given, name=name, real=real: (runs.append(name), real(*given))[1])
    stylize(engine, make_photo(64, 48), [make_tone(3)], ImageRequest(gains_db=(-20, -10, 0)))
    assert runs == ["encode", "embed", "decode"]


def test_gains_of_a_large_image_are_decoded_one_at_a_time(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of them would hold the activations of all."""
    batches: list[int] = []
    real = engine.decode
    monkeypatch.setattr(engine, "decode", lambda content, given: (batches.append(len(given)), real(content, given))[1])
    results = stylize(engine, make_photo(400, 400), [make_tone(3)], ImageRequest(gains_db=(-20, -10, 0)))
    assert batches == [1, 1, 1]
    assert len({result.pixels.tobytes() for result in results}) == 3


def test_weights_move_the_mix_from_one_sound_to_the_other(engine: Engine) -> None:
    photo = make_photo(64, 48)
    sounds = [make_tone(5), make_noise(4)]
    reds = [
        shift(stylize(engine, photo, sounds, ImageRequest(weights=weights))[0], photo)[0]
        for weights in ((1, 0), (3, 1), (1, 3), (0, 1))
    ]
    assert reds[0] > reds[1] > reds[2] > reds[3]
    assert (reds[1] - reds[2]) / (reds[0] - reds[3]) == pytest.approx(0.5, abs=0.15)  # evenly
    for number, weights in enumerate(((1, 0), (0, 1))):
        alone = stylize(engine, photo, sounds[number : number + 1])[0]
        mixed = stylize(engine, photo, sounds, ImageRequest(weights=weights))[0]
        np.testing.assert_array_equal(mixed.pixels, alone.pixels)


def test_every_gain_of_a_mix_is_of_all_its_sounds(engine: Engine) -> None:
    photo, sounds, gains = make_photo(64, 48), [make_tone(5), make_noise(4)], (-20.0, 0.0)
    together = stylize(engine, photo, sounds, ImageRequest(gains_db=gains, weights=(1, 2)))
    for gain, result in zip(gains, together, strict=True):
        (alone,) = stylize(engine, photo, sounds, ImageRequest(gain_db=gain, weights=(1, 2)))
        np.testing.assert_array_equal(result.pixels, alone.pixels)


def test_each_sound_of_a_mix_is_taken_where_it_is_loudest(engine: Engine) -> None:
    early, late = np.zeros(160_000, np.float32), np.zeros(160_000, np.float32)
    early[:48_000], late[-48_000:] = make_tone(3), make_tone(3, hertz=300)
    (result,) = stylize(engine, make_photo(32, 32), [early, late])
    assert [window.start_seconds for window in result.heard().windows] == pytest.approx([0, 7], abs=0.02)


def test_start_seconds_chooses_the_window(engine: Engine) -> None:
    waveform = np.concatenate([make_tone(5), make_noise(5)])
    photo = make_photo(32, 32)
    (warm,) = stylize(engine, photo, [waveform], ImageRequest(start_seconds=1))
    (cool,) = stylize(engine, photo, [waveform], ImageRequest(start_seconds=6))
    assert shift(warm, photo)[0] > 0 > shift(cool, photo)[0]
    assert cool.receipt.start_seconds == (6.0,)


def test_wrong_counts_are_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="weights"):
        stylize(engine, make_photo(32, 32), [make_tone(3)], ImageRequest(weights=(1, 1)))


def test_progress_counts_results_and_may_stop_the_work(engine: Engine) -> None:
    told: list[tuple[int, int]] = []
    request, seen = ImageRequest(gains_db=(-20, -10, 0)), encode_content(engine, HeldSource(make_photo(32, 32)), 1.0)
    results = stylize_image(engine, seen, windows_of(engine, [make_tone(3)]), request, lambda *at: told.append(at))
    assert len(list(results)) == 3
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]

    class Cancelled(Exception):
        pass

    def cancel(done: int, total: int) -> None:
        if done == 1:
            raise Cancelled

    made = []
    with pytest.raises(Cancelled):
        made.extend(stylize_image(engine, seen, windows_of(engine, [make_tone(3)]), request, cancel))


def test_the_receipt_says_how_the_result_was_made(engine: Engine) -> None:
    (result,) = stylize(engine, make_photo(200, 100), [make_tone(4)], ImageRequest(gain_db=-3, strength=0.5), 128)
    receipt = result.receipt
    assert (receipt.model, receipt.model_version, receipt.model_sha256) == ("tiny", "1.0.0", engine.bundle.sha256)
    assert (receipt.provider, receipt.runtime) == (engine.provider, engine.runtime)
    assert (receipt.gain_db, receipt.strength, receipt.method) == (-3, 0.5, "detail")
    assert (receipt.working_width, receipt.working_height) == (128, 64)


def test_what_was_heard_comes_with_each_result(engine: Engine) -> None:
    quiet, loud = stylize(engine, make_photo(32, 32), [make_tone(3)], ImageRequest(gains_db=(-60, 0)))
    assert [warning.code for warning in quiet.heard().warnings] == ["silence"]
    assert loud.heard().nearest[0].name == "tone"
    assert loud.heard().warnings == ()


def test_the_same_request_gives_the_same_bytes(engine: Engine) -> None:
    photo = make_photo(150, 100)
    for side in (1024, 64):
        one, other = (stylize(engine, photo, [make_noise(3)], max_inference_side=side)[0] for _ in range(2))
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_warm_up_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    warm_up(engine)

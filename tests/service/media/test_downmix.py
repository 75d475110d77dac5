"""What many channels become in mono: nothing cancels, nothing is lost, and 5.1 is as loud as its stereo version."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from service.media.downmix import MonoStream, downmix, downmix_matrix, mono_blocks, to_mono
from tests.support.media import make_noise, make_tone

RATE_HZ = 48_000
FIVE_ONE = ("FL", "FR", "FC", "LFE", "BL", "BR")
_SURROUNDS = ("BL", "BR", "SL", "SR")

Samples = NDArray[np.float32]


def noises(count: int, seconds: float = 3.0) -> Samples:
    """[count, n]: independent noise of equal power."""
    return np.stack([make_noise(seconds, seed=seed, sample_rate_hz=RATE_HZ) for seed in range(count)])


def decibels(samples: Samples) -> float:
    return 10 * float(np.log10(np.mean(np.square(samples, dtype=np.float64))))


def loudness(channels: Samples, names: tuple[str, ...]) -> float:
    """ITU-R BS.1770-4, without gating: K-weighted, surrounds 1.5 dB up, no low-frequency effects."""
    shelf = ([1.53512485958697, -2.69169618940638, 1.19839281085285], [1, -1.69065929318241, 0.73248077421585])
    high_pass = ([1.0, -2.0, 1.0], [1, -1.99004745483398, 0.99007225036621])
    weighted = signal.lfilter(*high_pass, signal.lfilter(*shelf, channels))
    gains = [0 if name == "LFE" else 1.41 if name in _SURROUNDS else 1.0 for name in names]
    return -0.691 + 10 * float(np.log10(np.dot(gains, np.square(weighted).mean(axis=1))))


def mono_of(channels: Samples, names: tuple[str, ...]) -> Samples:
    return to_mono(downmix(channels, downmix_matrix(names)), RATE_HZ)


def test_mono_stays_as_it_is() -> None:
    noise = noises(1)
    np.testing.assert_array_equal(mono_of(noise, ("FC",)), noise[0])


def test_equal_channels_give_that_channel() -> None:
    noise = noises(1)
    np.testing.assert_array_equal(mono_of(np.repeat(noise, 2, axis=0), ("FL", "FR")), noise[0])


def test_opposite_channels_do_not_cancel() -> None:
    noise = noises(1)[0]
    np.testing.assert_allclose(mono_of(np.stack([noise, -noise]), ("FL", "FR")), noise, atol=1e-6)


def test_a_band_of_opposite_polarity_does_not_cancel() -> None:
    low, high = make_tone(3, 200, sample_rate_hz=RATE_HZ), make_tone(3, 3000, sample_rate_hz=RATE_HZ)
    mono = mono_of(np.stack([low + high, low - high]), ("FL", "FR"))
    spectrum = np.abs(np.fft.rfft(mono * np.hanning(len(mono))))
    assert spectrum[3 * 3000] == pytest.approx(spectrum[3 * 200], rel=0.02)
    assert decibels(mono) == pytest.approx(decibels(low + high), abs=0.05)


@pytest.mark.parametrize("dead", [0.0, 1e-3])
def test_a_dead_channel_takes_nothing_away(dead: float) -> None:
    one, other = noises(2)
    np.testing.assert_array_equal(mono_of(np.stack([dead * other, one]), ("FL", "FR")), one)


def test_independent_channels_keep_their_power() -> None:
    channels = noises(2)
    assert decibels(mono_of(channels, ("FL", "FR"))) == pytest.approx(decibels(channels), abs=0.01)


def test_a_delay_between_the_microphones_cancels_no_frequency() -> None:
    noise = noises(1)[0]
    mono = mono_of(np.stack([noise, np.roll(noise, 24)]), ("FL", "FR"))  # a mean has notches at 1, 3, 5, ... kHz
    _, before = signal.welch(noise, RATE_HZ, nperseg=4096)
    _, after = signal.welch(mono, RATE_HZ, nperseg=4096)
    notch = slice(1000 * 4096 // RATE_HZ - 2, 1000 * 4096 // RATE_HZ + 3)
    assert 10 * np.log10(after[notch].mean() / before[notch].mean()) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("rate_hz", [4_000, 8_000, 16_000, 44_100, 384_000])
def test_every_rate_keeps_the_power(rate_hz: int) -> None:
    channels = np.stack([make_noise(1, seed=seed, sample_rate_hz=rate_hz) for seed in range(2)])
    mono = to_mono(channels, rate_hz)
    assert mono.shape == (rate_hz,)
    assert decibels(mono) == pytest.approx(decibels(channels), abs=0.01)


@pytest.mark.parametrize("active", [("FL", "FR"), ("FC",), ("FL", "FR", "FC"), ("FL", "FR", "FC", "BL", "BR")])
def test_five_one_is_as_loud_as_its_stereo_version(active: tuple[str, ...]) -> None:
    surround = noises(6) * 0.3
    surround[[name not in active for name in FIVE_ONE]] = 0
    surround[4:] *= 0.5
    half = 0.5**0.5
    fronts, centre, backs = surround[:2], surround[2], surround[4:]
    stereo = fronts + half * centre + half * backs
    assert loudness(mono_of(surround, FIVE_ONE)[None], ("FC",)) == pytest.approx(
        loudness(mono_of(stereo, ("FL", "FR"))[None], ("FC",)), abs=0.1
    )
    # and by the standard's own meter: a pair of loudspeakers is 3 dB louder than one of them
    meant = loudness(surround, FIVE_ONE) - 10 * np.log10(2)
    assert loudness(mono_of(surround, FIVE_ONE)[None], ("FC",)) == pytest.approx(meant, abs=1.5)


def test_a_sound_in_the_centre_is_3_db_below_one_in_both_fronts() -> None:
    channels = np.zeros((6, 3 * RATE_HZ), np.float32)
    channels[2] = noises(1)
    assert decibels(mono_of(channels, FIVE_ONE)) == pytest.approx(decibels(noises(1)) - 3.01, abs=0.01)


def test_low_frequency_effects_are_dropped() -> None:
    channels = noises(6)
    without = channels.copy()
    without[3] = 0
    np.testing.assert_array_equal(mono_of(channels, FIVE_ONE), mono_of(without, FIVE_ONE))


def test_low_frequency_effects_alone_are_the_sound() -> None:
    noise = noises(1)
    np.testing.assert_array_equal(mono_of(noise, ("LFE",)), noise[0])


def test_mono_with_a_woofer_is_mono() -> None:
    channels = noises(2)
    np.testing.assert_array_equal(mono_of(channels, ("FC", "LFE")), channels[0])


@pytest.mark.parametrize("names", [("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"), ("FL", "FR", "FC", "BC")])
def test_every_place_of_other_layouts_is_heard(names: tuple[str, ...]) -> None:
    for index, name in enumerate(names):
        channels = np.zeros((len(names), RATE_HZ), np.float32)
        channels[index] = noises(1, 1.0)
        lost = decibels(noises(1, 1.0)) - decibels(mono_of(channels, names) + np.float32(1e-9))
        assert lost > 100 if name == "LFE" else -0.01 < lost < 6.1


def test_six_channels_without_names_are_taken_for_five_one() -> None:
    np.testing.assert_array_equal(downmix_matrix(("NONE",) * 6), downmix_matrix(("FL", "FR", "FC", "LFE", "SL", "SR")))


@pytest.mark.parametrize("count", [3, 4, 16, 32])
def test_channels_of_unknown_places_count_alike_and_silent_ones_not(count: int) -> None:
    channels = np.zeros((count, RATE_HZ), np.float32)
    channels[1] = noises(1, 1.0)
    np.testing.assert_array_equal(mono_of(channels, ("NONE",) * count), channels[1])
    loud = noises(count, 1.0)
    assert decibels(mono_of(loud, ("NONE",) * count)) == pytest.approx(decibels(loud), abs=0.01)


def test_of_ambisonics_the_omnidirectional_component_is_heard() -> None:
    channels = noises(4)
    np.testing.assert_array_equal(mono_of(channels, ("AMBI0", "AMBI1", "AMBI2", "AMBI3")), channels[0])


def test_silence_stays_silence() -> None:
    assert not mono_of(np.zeros((2, 1000), np.float32), ("FL", "FR")).any()


@pytest.mark.parametrize("polarity", [1, -1])
def test_a_stream_gives_what_came_in_without_seams(polarity: int) -> None:
    tone = make_tone(11, 330, sample_rate_hz=RATE_HZ)
    channels = np.stack([tone, polarity * tone])
    blocks = (channels[:, start : start + 7_777] for start in range(0, channels.shape[1], 7_777))
    mono = np.concatenate(list(mono_blocks(blocks, ("FL", "FR"), RATE_HZ)))
    np.testing.assert_allclose(mono, tone, atol=1e-5)


def test_a_stream_of_independent_channels_keeps_power_and_length() -> None:
    channels = noises(2, 10.0)
    stream = MonoStream(RATE_HZ)
    mono = np.concatenate([stream.push(channels), stream.finish()])
    assert mono.shape == (10 * RATE_HZ,)
    assert decibels(mono) == pytest.approx(decibels(channels), abs=0.05)


def test_a_stream_of_nothing_is_empty() -> None:
    assert len(MonoStream(RATE_HZ).finish()) == 0

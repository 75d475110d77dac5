"""Prepare the driving sound (level, mix, window) and report what was heard in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.heard import Heard, HeardWindow, NearSound, SoundWarning
from service.model.bundle import KnownSound

Waveform = NDArray[np.float32]

SILENCE_DBFS: Final = -60.0
FLOOR_DBFS: Final = -120.0  # what digital silence is reported as
_CLIPPED_SHARE: Final = 1e-3
_CLIPPED_LEVEL: Final = 0.999
_SPEECH_SHARE: Final = 0.3
_FAMILIAR_COSINE: Final = 0.85  # of the nearest scene, where a bundle names no strangers; known scenes score 0.95
# Where it names them: an embedding that is half a scene and half a stranger has this cosine with the stranger, which
# counts for 0.3 of a scene (`training.models.scene_audio_encoder.STRANGER_WEIGHT`).
_STRANGE_COSINE: Final = 0.287
_AUDIBLE_LENGTH: Final = 0.004  # an embedding shorter than this points nowhere; a stranger's is 0.04 of its strength
_NEAREST_SOUNDS: Final = 3


@dataclass(frozen=True)
class Window:
    """waveform: [N], as long as the model's clip. length_seconds: of the sound in it, less if it had to be repeated.

    clipped_share: of the recording's samples, 0..1; None has it measured in the waveform. warnings: about the file.
    """

    waveform: Waveform
    start_seconds: float
    length_seconds: float
    clipped_share: float | None = None
    warnings: tuple[SoundWarning, ...] = ()


def loudness_dbfs(waveform: Waveform) -> float:
    """RMS level in dB relative to full scale (a square wave of amplitude 1 is 0), never below -120."""
    if len(waveform) == 0:
        return FLOOR_DBFS
    power = float(np.mean(np.square(waveform, dtype=np.float64)))
    return max(FLOOR_DBFS, 10 * float(np.log10(power))) if power > 0 else FLOOR_DBFS


def apply_gain_db(waveform: Waveform, gain_db: float) -> Waveform:
    """[N], louder by `gain_db`; not clipped at full scale."""
    return waveform * np.float32(10 ** (gain_db / 20))


def mix(waveforms: Sequence[Waveform], weights: Sequence[float] | None = None) -> Waveform:
    """The convex combination of equally long [N]; weights are divided by their sum, None weighs equally.

    Raises ValueError if lengths or counts differ, or no weight is above 0.
    """
    shares = _shares(len(waveforms), weights)
    if len({len(waveform) for waveform in waveforms}) != 1:
        raise ValueError("only sounds of equal length can be mixed")
    # Not by BLAS: its threads would wait, spinning, on the cores that the graphs need next.
    mixed: Waveform = np.sum(shares[:, None] * np.stack(waveforms), axis=0)
    return mixed


def mix_embeddings(embeddings: NDArray[np.float32], weights: Sequence[float] | None = None) -> NDArray[np.float32]:
    """What a mix of sounds asks for: their embeddings' [S, E] convex combination, as long as these are on average.

    Where the sounds are known one by one, this turns evenly from one look to another. What an encoder makes of their
    sum depends on which of them masks the other: crickets at a quarter of the amplitude are heard as night alone.
    Raises ValueError as `mix` does.
    """
    shares = _shares(len(embeddings), weights)
    blend: NDArray[np.float32] = np.sum(shares[:, None] * embeddings, axis=0)
    length = float(np.linalg.norm(blend))
    wanted = float(np.sum(shares * np.linalg.norm(embeddings, axis=1)))
    if length > 0:
        blend *= np.float32(wanted / length)
    return blend


def turn_to_parts(
    embeddings: NDArray[np.float32], parts: NDArray[np.float32], parts_dbfs: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Embeddings [K, E] of sums whose parts are known: as long as they are, in the direction of the parts' mean.

    parts: [S, K, E]. parts_dbfs: [S, K]; a part counts by its amplitude. See `mix_embeddings` for the reason.
    """
    amplitudes = 10 ** (parts_dbfs / 20)
    blend = (amplitudes[:, :, None] * parts).sum(axis=0)  # [K, E]
    length = np.linalg.norm(blend, axis=1, keepdims=True)
    wanted = np.linalg.norm(embeddings, axis=1, keepdims=True)
    turned = np.where(length > 0, blend * (wanted / np.where(length > 0, length, 1)), embeddings)
    return np.asarray(turned, np.float32)


def _shares(count: int, weights: Sequence[float] | None) -> NDArray[np.float32]:
    shares = np.asarray(weights if weights is not None else [1.0] * count, np.float64)
    if len(shares) != count:
        raise ValueError(f"{count} sounds need {count} weights, not {len(shares)}")
    if (shares < 0).any() or not shares.sum() > 0:
        raise ValueError("weights must not be negative, and at least one must be above 0")
    unit: NDArray[np.float32] = (shares / shares.sum()).astype(np.float32)
    return unit


def heard(
    windows: Sequence[Window],
    gained: Waveform,
    embedding: NDArray[np.float32],
    known_sounds: Sequence[KnownSound],
    speech: float | None,
) -> Heard:
    """Report on the driving sound as the model got it.

    windows: one of each sound. gained: [N], their mix after the gain. embedding: [E], what f made of it.
    speech: share of speech in the mix, None if nobody measured it.
    """
    loudness = loudness_dbfs(gained)
    effect = float(np.linalg.norm(embedding))
    scored = _nearest(embedding / effect, known_sounds) if effect > _AUDIBLE_LENGTH else ()
    return Heard(
        windows=tuple(
            HeardWindow(start_seconds=round(one.start_seconds, 3), length_seconds=round(one.length_seconds, 3))
            for one in windows
        ),
        loudness_dbfs=round(loudness, 2),
        peak=round(float(np.abs(gained).max(initial=0.0)), 4),
        effect=round(effect, 4),
        nearest=scored[:_NEAREST_SOUNDS],
        speech_share=None if speech is None else round(speech, 3),
        warnings=tuple(_warnings(windows, loudness, scored, speech)),
    )


def _nearest(direction: NDArray[np.float32], known_sounds: Sequence[KnownSound]) -> tuple[NearSound, ...]:
    scored = []
    for sound in known_sounds:
        mean = np.asarray(sound.embedding, np.float32)
        length = float(np.linalg.norm(mean))
        if length > 0:
            score = round(float(direction @ mean) / length, 4)
            scored.append(NearSound(name=sound.name, score=score, known=sound.known))
    return tuple(sorted(scored, key=lambda near: -near.score))


def _warnings(
    windows: Sequence[Window], loudness: float, scored: Sequence[NearSound], speech: float | None
) -> list[SoundWarning]:
    found = [warning for window in windows for warning in window.warnings]
    if loudness < SILENCE_DBFS:
        detail = f"the sound is nearly silent ({loudness:.0f} dBFS), so the image hardly changes; raise gain_db"
        found.append(SoundWarning(code="silence", detail=detail))
    clipped = max(_clipped_share(window) for window in windows)
    if clipped > _CLIPPED_SHARE:
        detail = f"{clipped:.1%} of the recording is clipped; a recording at a lower level is heard better"
        found.append(SoundWarning(code="clipping", detail=detail))
    if speech is not None and speech > _SPEECH_SHARE:
        detail = f"somebody speaks in {speech:.0%} of the window; choose a start_seconds without speech"
        found.append(SoundWarning(code="speech", detail=detail))
    if detail := _unfamiliar(scored):
        found.append(SoundWarning(code="unfamiliar", detail=detail))
    return found


def _unfamiliar(scored: Sequence[NearSound]) -> str:
    """What to say of a sound that fits no scene, nearest first; nothing where it fits one."""
    scenes = [near for near in scored if near.known]
    strangers = [near for near in scored if not near.known]
    if not scenes:
        return ""
    if strangers:
        if strangers[0].score < _STRANGE_COSINE:
            return ""
        return (
            f"this sounds like {strangers[0].name}, which fits none of the model's scenes, so the image changes little"
        )
    if scenes[0].score >= _FAMILIAR_COSINE:
        return ""
    return f"the sound is unlike any that the model knows; the nearest is {scenes[0].name}"


def _clipped_share(window: Window) -> float:
    if window.clipped_share is not None:
        return window.clipped_share
    return float(np.mean(np.abs(window.waveform) >= _CLIPPED_LEVEL))

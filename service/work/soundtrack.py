"""Edit a video's soundtrack, hear what comes of it, and store it for the result."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from service.errors import MediaError
from service.media.audio_writer import AudioWriter
from service.media.decoder_pool import DecoderPool
from service.media.mux import can_copy
from service.media.soundtrack import (
    Block,
    GainCurve,
    Limiter,
    PeakMeter,
    TrackForm,
    mixed_in,
    silent_blocks,
)
from service.media.video_file import Container
from service.model.engine import Engine
from service.work.audio_track import AudioTrack, AudioTrackEncoder

_NEW_TRACK_RATE_HZ = 48_000  # of a video that had none


@dataclass(frozen=True)
class EditedSoundtrack:
    """track: what drives the images. path: the file whose sound track goes into the result. report: for the receipt.

    report: `copied` (the packets are the original's), `gain_applied_db` (of the energy in all; None in silence),
    `limited_db` (what the limiter took of it), `true_peak_dbtp`, rate and channels.
    """

    track: AudioTrack
    path: Path
    report: dict[str, Any]


def edit_soundtrack(
    engine: Engine,
    decoder_pool: DecoderPool,
    source: Path,
    second: Path | None,
    curve: GainCurve,
    second_gain_db: float,
    target: Path,
    container: Container,
    has_sound: bool,
    seconds: float,
) -> EditedSoundtrack:
    """Write the edited soundtrack of `source` to `target`, unless the original's packets can stay as they are.

    second: a sound to be mixed in, repeated as often as needed. seconds: when the images end.
    Raises MediaError if there is neither a soundtrack nor a second sound.
    """
    if not has_sound and second is None:
        raise MediaError(
            "the video has no soundtrack, so nothing can drive its look; send a sound as `audio`", field="video"
        )
    with ExitStack() as stack:
        if has_sound:
            form, blocks = stack.enter_context(decoder_pool.read_soundtrack(source))
        else:
            form = TrackForm(_NEW_TRACK_RATE_HZ, 1, 0.0, "", 0)
            blocks = silent_blocks(form, seconds)
        edit = _Edit(engine, form, curve)
        if has_sound and second is None and curve.is_neutral and can_copy(form.codec, container):
            return EditedSoundtrack(edit.hear(blocks), source, edit.report(copied=True))
        edited = edit.gained(blocks)
        if second is not None:
            edited = mixed_in(edited, decoder_pool.decode_audio(second, form.sample_rate_hz), second_gain_db)
        edited = edit.measured(edited)
        if second is not None or curve.boosts:
            edited = Limiter(form).blocks(edited)
        writer = AudioWriter(target, container, form)
        try:
            track = edit.hear(_written(edited, writer))
            writer.close()
        except BaseException:
            writer.abandon()
            raise
        return EditedSoundtrack(track, target, edit.report(copied=False) | {"sample_rate_hz": writer.sample_rate_hz})


class _Edit:
    """One pass over a soundtrack, and the energies that are met on the way."""

    def __init__(self, engine: Engine, form: TrackForm, curve: GainCurve) -> None:
        self._form, self._curve = form, curve
        self._listener = AudioTrackEncoder(engine, form)
        self._meter = PeakMeter(form)
        self._given = self._wanted = self._kept = 0.0

    def gained(self, blocks: Iterator[Block]) -> Iterator[Block]:
        position = 0
        for block in blocks:
            self._given += _energy(block)
            at = self._form.start_seconds + position / self._form.sample_rate_hz
            position += block.shape[1]
            yield self._curve.apply(block, at, self._form.sample_rate_hz)

    def measured(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Before the limiter."""
        for block in blocks:
            self._wanted += _energy(block)
            yield block

    def hear(self, blocks: Iterator[Block]) -> AudioTrack:
        """What a listener gets."""
        for block in blocks:
            self._kept += _energy(block)
            self._meter.push(block)
            self._listener.push(block)
        return self._listener.finish()

    def report(self, copied: bool) -> dict[str, Any]:
        return {
            "copied": copied,
            "gain_applied_db": 0.0 if copied else _decibels(self._kept, self._given),
            "limited_db": 0.0 if copied else _decibels(self._wanted, self._kept),
            "true_peak_dbtp": _decibels(self._meter.peak**2, 1.0),
            "sample_rate_hz": self._form.sample_rate_hz,
            "channels": self._form.channels,
        }


def _written(blocks: Iterator[Block], writer: AudioWriter) -> Iterator[Block]:
    for block in blocks:
        writer.write(block)
        yield block


def _energy(block: Block) -> float:
    return float(np.square(block, dtype=np.float64).sum())


def _decibels(energy: float, reference: float) -> float | None:
    """None where one of them is silence."""
    return round(10 * float(np.log10(energy / reference)), 2) if energy > 0 and reference > 0 else None

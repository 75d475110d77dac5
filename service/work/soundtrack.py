"""Edit a video's soundtrack, hear what comes of it, and store it for the result."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from service.errors import MediaError, StylizationError
from service.media.audio_writer import AudioWriter
from service.media.decoder_pool import DecoderPool
from service.media.mux import AudioFile
from service.media.soundtrack import GainCurve, Limiter, PeakMeter, with_second
from service.media.soundtrack_reader import Block, TrackForm, silent_blocks
from service.media.track_copy import AudioSpan
from service.media.video_file import Container
from service.media.video_manifest import VideoManifest
from service.model.engine import Engine
from service.work.audio_input import endless_audio
from service.work.audio_track import AudioTrack, AudioTrackEncoder

_NEW_TRACK_RATE_HZ: Final = 48_000  # of a video that had none


@dataclass(frozen=True)
class EditedSoundtrack:
    """track: what drives the frames. file: goes into the result. span: of the original, None if there was none.

    priming_seconds: of silence that the encoder puts before the first sample.

    report: `copied` (the packets are the original's), `gain_applied_db` (of the energy in all; None in silence),
    `limited_db` (what the limiter took of it), `true_peak_dbtp`, rate and channels.
    """

    track: AudioTrack
    file: AudioFile
    span: AudioSpan | None
    priming_seconds: float
    report: dict[str, Any]


def edit_soundtrack(
    engine: Engine,
    decoder_pool: DecoderPool,
    source: Path,
    manifest: VideoManifest,
    second: Path | None,
    curve: GainCurve,
    second_gain_db: float,
    target: Path,
) -> EditedSoundtrack:
    """Write the edited soundtrack of `source` to `target`; without an edit, with the packets that it has.

    second: a sound to be mixed in, repeated as often as needed.
    Raises MediaError if there is neither a soundtrack nor a second sound.
    """
    index, container = manifest.soundtrack, manifest.container
    if index is None and second is None:
        raise MediaError(
            "the video has no soundtrack, so nothing can drive its look; send a sound as `audio`", field="video"
        )
    file = AudioFile(target, index)
    with ExitStack() as stack:
        if index is not None:
            form, blocks = stack.enter_context(decoder_pool.read_soundtrack(source, index, manifest.clock))
        else:
            form = TrackForm(_NEW_TRACK_RATE_HZ, 1, 0.0, "", 0)
            blocks = silent_blocks(form, manifest.timeline.end_seconds)
        edit = _Edit(engine, form, curve)
        if index is not None and second is None and curve.is_neutral:
            track = edit.hear(edit.counted(blocks))
        else:
            edited = edit.gained(edit.counted(blocks))
            if second is not None:
                endless = endless_audio(decoder_pool, second, form.sample_rate_hz)
                edited = edit.mixed(with_second(edited, endless, second_gain_db))
            edited = edit.measured(edited)
            if second is not None or curve.boosts:
                edited = Limiter(form).blocks(edited)
            with AudioWriter(target, container, form) as writer:
                track = edit.hear(_written(edited, writer))
            report = edit.report(copied=False) | {"sample_rate_hz": writer.sample_rate_hz}
            span = edit.span if index is not None else None
            return EditedSoundtrack(track, file, span, writer.priming_seconds, report)
    priming = copy_or_encode(decoder_pool, source, manifest, index, edit.span, target)
    return EditedSoundtrack(track, file, edit.span, priming or 0.0, edit.report(copied=priming is None))


def copy_or_encode(
    decoder_pool: DecoderPool, source: Path, manifest: VideoManifest, index: int, span: AudioSpan, target: Path
) -> float | None:
    """Store an audio track as it is: None with its own packets; the encoder's priming where it is encoded again."""
    container: Container = manifest.container
    if decoder_pool.copy_track(source, index, manifest.clock, target, container, span):
        return None
    with (
        decoder_pool.read_soundtrack(source, index, manifest.clock) as (form, blocks),
        AudioWriter(target, container, form) as writer,
    ):
        for block in blocks:
            writer.write(block)
    return writer.priming_seconds


def keep_further_tracks(
    decoder_pool: DecoderPool, source: Path, manifest: VideoManifest, directory: Path
) -> tuple[list[AudioFile], list[str]]:
    """Store the audio tracks beside the soundtrack, unedited, in `directory`; and say which could not be read."""
    files, left_out = [], []
    for track in manifest.audio[1:]:
        target = directory / f"track{track.index}.{manifest.container}"
        try:
            span = decoder_pool.read_span(source, track.index, manifest.clock)
            copy_or_encode(decoder_pool, source, manifest, track.index, span, target)
        except StylizationError as problem:
            left_out.append(f"audio track {track.index}: {problem.detail}")
        else:
            files.append(AudioFile(target, track.index))
    return files, left_out


class _Edit:
    """One pass over a soundtrack, and the energies that are met on the way."""

    def __init__(self, engine: Engine, form: TrackForm, curve: GainCurve) -> None:
        self._engine, self._form, self._curve = engine, form, curve
        self._listener = AudioTrackEncoder(engine, form)
        self._part_listeners: list[AudioTrackEncoder] = []
        self._meter = PeakMeter(form)
        self._given = self._wanted = self._kept = 0.0
        self._samples = 0

    @property
    def span(self) -> AudioSpan:
        """Of what was counted."""
        start = self._form.start_seconds
        return AudioSpan(start, start + self._samples / self._form.sample_rate_hz)

    def counted(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """As given."""
        for block in blocks:
            self._given += _energy(block)
            self._samples += block.shape[1]
            yield block

    def gained(self, blocks: Iterator[Block]) -> Iterator[Block]:
        position = 0
        for block in blocks:
            at = self._form.start_seconds + position / self._form.sample_rate_hz
            position += block.shape[1]
            yield self._curve.apply(block, at, self._form.sample_rate_hz)

    def mixed(self, parts: Iterator[tuple[Block, Block]]) -> Iterator[Block]:
        """Their sums; each part is heard for itself as well."""
        self._part_listeners = [AudioTrackEncoder(self._engine, self._form) for _ in range(2)]
        for both in parts:
            for listener, part in zip(self._part_listeners, both, strict=True):
                listener.push(part)
            yield both[0] + both[1]

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
        return self._listener.finish(self._part_listeners)

    def report(self, copied: bool) -> dict[str, Any]:
        return {
            "copied": copied,
            "gain_applied_db": 0.0 if copied else _decibels(self._kept, self._given),
            "limited_db": 0.0 if copied else _decibels(self._wanted or self._kept, self._kept),
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

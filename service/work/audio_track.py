"""What drives a video's look: the embedding of the edited soundtrack around every moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.heard import Heard
from service.media.downmix import MonoStream, downmix, downmix_matrix
from service.media.resampler import MonoResampler
from service.media.soundtrack_reader import Block, TrackForm
from service.model.audio import Waveform, Window, heard, loudness_dbfs, turn_to_parts
from service.model.engine import Engine
from service.model.speech import speech_share

FloatArray = NDArray[np.float32]

HOP_SECONDS: Final = 0.5
_WINDOWS_AT_ONCE: Final = 8
_SMOOTHING_POINTS: Final = 9


@dataclass(frozen=True)
class AudioTrack:
    """Embeddings [K, E] and loudness [K] in dBFS of the windows centred at `seconds` [K]; what was heard loudest."""

    seconds: NDArray[np.float64]
    embeddings: FloatArray
    loudness_dbfs: NDArray[np.float64]
    heard: Heard

    def embedding_at(self, seconds: NDArray[np.float64], smoothing_seconds: float) -> FloatArray:
        """[n] seconds -> [n, E]: linear between the windows, the mean over `smoothing_seconds` around each moment."""
        around = np.linspace(-0.5, 0.5, _SMOOTHING_POINTS) * smoothing_seconds if smoothing_seconds else np.zeros(1)
        total = sum(self._between(seconds + offset) for offset in around)
        return np.asarray(total / len(around), np.float32)

    def loudness_at(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """[n] seconds -> [n] dBFS."""
        return np.interp(seconds, self.seconds, self.loudness_dbfs)

    def _between(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        place = np.interp(seconds, self.seconds, np.arange(len(self.seconds)))
        low = np.minimum(place.astype(int), len(self.seconds) - 1)
        high = np.minimum(low + 1, len(self.seconds) - 1)
        share = (place - low)[:, None]
        between: NDArray[np.float64] = (1 - share) * self.embeddings[low] + share * self.embeddings[high]
        return between


def write_track(path: Path, track: AudioTrack) -> None:
    """Keep a track for other workers; a reader sees all of it or nothing."""
    partial = path.with_name(f".{path.name}")
    with partial.open("wb") as file:
        np.savez(
            file,
            seconds=track.seconds,
            embeddings=track.embeddings,
            loudness_dbfs=track.loudness_dbfs,
            heard=np.array(track.heard.model_dump_json()),
        )
    partial.replace(path)


def read_track(path: Path) -> AudioTrack:
    """What `write_track` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return AudioTrack(
            seconds=arrays["seconds"],
            embeddings=arrays["embeddings"],
            loudness_dbfs=arrays["loudness_dbfs"],
            heard=Heard.model_validate_json(str(arrays["heard"])),
        )


class AudioTrackEncoder:
    """Hears a soundtrack as it passes, in bounded memory, and embeds the window around every HOP_SECONDS of it.

    Beyond its ends the sound is mirrored, so that the look follows the loudness there as well.
    """

    def __init__(self, engine: Engine, form: TrackForm) -> None:
        self._engine, self._form = engine, form
        self._rate = engine.manifest.sample_rate_hz
        self._clip = engine.manifest.clip_samples
        self._hop = round(HOP_SECONDS * self._rate)
        self._matrix, self._mono = downmix_matrix(form.names), MonoStream(form.sample_rate_hz)
        self._resampler = MonoResampler(form.sample_rate_hz, self._rate)
        self._kept = np.zeros(0, np.float32)  # what later windows need
        self._dropped = 0  # samples before `_kept`, counted from the beginning of the mirrored sound
        self._mirrored = False
        self._windows: list[Waveform] = []
        self._embeddings: list[FloatArray] = []
        self._loudness: list[float] = []
        self._loudest = (-np.inf, 0.0, np.zeros(self._clip, np.float32))

    def push(self, block: Block) -> None:
        """Hear [channels, n]."""
        self._keep(self._resampler.push(self._mono.push(downmix(block, self._matrix))))
        half = self._clip // 2
        if not self._mirrored and len(self._kept) > half:
            self._kept = np.concatenate([self._kept[half:0:-1], self._kept])
            self._mirrored = True
        if self._mirrored:
            self._take_whole_windows()

    def finish(self, parts: Sequence["AudioTrackEncoder"] = ()) -> AudioTrack:
        """The whole track; the sound has ended. parts: those that heard what it is the sum of, at their end as well."""
        embeddings, loudness = self._end()
        if parts:
            ended = [part._end() for part in parts]
            embeddings = turn_to_parts(
                embeddings, np.stack([each for each, _ in ended]), np.stack([levels for _, levels in ended])
            )
        _, centre, waveform = self._loudest
        half_seconds = self._clip / 2 / self._rate
        window = Window(waveform, max(0.0, centre - half_seconds), 2 * half_seconds)
        return AudioTrack(
            seconds=self._form.start_seconds + HOP_SECONDS * np.arange(len(embeddings), dtype=np.float64),
            embeddings=embeddings,
            loudness_dbfs=loudness,
            heard=heard(
                [window],
                waveform,
                embeddings[int(np.argmax(loudness))],
                self._engine.manifest.sounds,
                speech_share(waveform, self._rate),
            ),
        )

    def _end(self) -> tuple[FloatArray, NDArray[np.float64]]:
        """Embeddings [K, E] and loudness [K] of all windows."""
        self._keep(self._resampler.push(self._mono.finish()))
        self._keep(self._resampler.finish())
        before, after = (0 if self._mirrored else self._clip // 2), self._clip - self._clip // 2
        self._kept = np.pad(self._kept if len(self._kept) else np.zeros(1, np.float32), (before, after), mode="reflect")
        self._take_whole_windows()
        self._embed()
        return np.concatenate(self._embeddings), np.array(self._loudness)

    def _keep(self, samples: Waveform) -> None:
        self._kept = np.concatenate([self._kept, samples])

    def _take_whole_windows(self) -> None:
        begin = self._hop * len(self._loudness) - self._dropped
        while begin + self._clip <= len(self._kept):
            self._take(self._kept[begin : begin + self._clip].copy())
            begin += self._hop
        drop = max(0, min(begin, len(self._kept) - self._clip))  # the last clip's length is there to be mirrored
        self._kept, self._dropped = self._kept[drop:], self._dropped + drop

    def _take(self, window: Waveform) -> None:
        level = loudness_dbfs(window)
        if level > self._loudest[0]:
            self._loudest = (level, HOP_SECONDS * len(self._loudness), window)
        self._loudness.append(level)
        self._windows.append(window)
        if len(self._windows) == _WINDOWS_AT_ONCE:
            self._embed()

    def _embed(self) -> None:
        if self._windows:
            self._embeddings.append(self._engine.embed(np.stack(self._windows)))
            self._windows = []

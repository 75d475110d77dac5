"""Read a video's audio track in blocks of about a second, float32 [channels, n], each sample at its time.

A decoder takes the priming and padding of lossy codecs away, and what an edit list hides. Gaps are filled with silence
and overlaps are cut, so that sample n is heard at start_seconds + n / sample_rate_hz. Timestamps that only jitter, as
telephones write them, change nothing.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

from service.errors import MediaError, StylizationError, TooLarge, UnsupportedMedia
from service.media.audio_file import check_level
from service.media.audio_formats import AUDIO_DECODERS
from service.media.channel_places import LAYOUTS, names_of, places_for
from service.media.libav import readable_packets
from service.media.limits import MediaLimits
from service.media.timeline import FROM_ZERO, Clock
from service.media.video_file import open_container

Block = NDArray[np.float32]

SOUNDTRACK_DECODERS: Final = AUDIO_DECODERS | {"aac_latm", "dca", "pcm_bluray", "wmav2"}
_PADDING_SAMPLES: Final = 4096  # a lossy codec fills its last packet up; what is announced ends before
_GAP_SECONDS: Final = 0.05  # a difference between a timestamp and the samples so far that is put right at once
_STEP_SECONDS: Final = 0.0015  # one that is put right if it stays the same for `_LOOK_AHEAD` frames
_LOOK_AHEAD: Final = 8
_JUMP_SECONDS: Final = 1.0  # back in time: recordings that were joined
_RATES_HZ: Final = (4_000, 384_000)


@dataclass(frozen=True)
class TrackForm:
    """Of an audio track. start_seconds: when its first sample is heard, by the video's timeline. bit_rate: 0: unknown.

    layout_name: libav's for the channels, if it is not the usual one of as many.
    """

    sample_rate_hz: int
    channels: int
    start_seconds: float
    codec: str
    bit_rate: int
    layout_name: str = ""

    @property
    def layout(self) -> str:
        """libav's name for the channels."""
        return self.layout_name or LAYOUTS[self.channels]

    @property
    def names(self) -> tuple[str, ...]:
        """The channels' places, as FFmpeg calls them."""
        return names_of(self.layout)


def make_frame(block: Block, form: TrackForm) -> av.AudioFrame:
    """The block as libav takes it. Its samples are interleaved: PyAV's planes end at the eighth channel."""
    interleaved = np.ascontiguousarray(block.T, np.float32).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=form.layout)
    frame.sample_rate, frame.time_base = form.sample_rate_hz, Fraction(1, form.sample_rate_hz)
    return frame


def read_frame(frame: Any, channels: int) -> Block:
    """[channels, n] of a frame of interleaved float samples."""
    return np.ascontiguousarray(frame.to_ndarray().reshape(-1, channels).T, np.float32)


class SoundtrackReader:
    """The blocks of one audio track. A context manager; `form` is known inside.

    Entering raises MediaError or UnsupportedMedia if it cannot be read, always of the field `video`.
    """

    form: TrackForm

    def __init__(self, path: Path, limits: MediaLimits, track: int | None = None, clock: Clock = FROM_ZERO) -> None:
        """track: index of its stream, None for the first. clock: of the video's timeline."""
        self._path, self._limits, self._track, self._clock = path, limits, track, clock
        self._stack = ExitStack()

    def __enter__(self) -> "SoundtrackReader":
        try:
            container = self._stack.enter_context(open_container(self._path, self._limits))
            self._open(container)
        except StylizationError as exc:
            self._stack.close()
            raise _of_soundtrack(exc) from exc
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *reason: Any) -> None:
        self._stack.close()

    def blocks(self) -> Iterator[Block]:
        """All of it; raises MediaError for a track that cannot be decoded or changes its form on the way."""
        try:
            yield from self._blocks()
        except StylizationError as exc:
            raise _of_soundtrack(exc) from exc
        except (av.FFmpegError, ValueError) as exc:
            raise MediaError("the video's soundtrack is damaged; send it again", field="video") from exc

    def _open(self, container: Any) -> None:
        streams = container.streams.audio
        stream = next((one for one in streams if self._track in (None, one.index)), None)
        if stream is None:
            raise MediaError("there is none; send it again", field="video")
        context = stream.codec_context
        if context is None or context.codec.name not in SOUNDTRACK_DECODERS:
            name = "unknown" if context is None else context.codec.long_name
            raise UnsupportedMedia(f"its codec ({name}) is not taken; convert it to AAC", field="video")
        context.thread_count = 1
        self._frames = _decoded(container, stream)
        self._first = next(self._frames, None)
        if self._first is None:
            raise MediaError("nothing of it can be decoded; send it again", field="video")
        frame = self._first
        self._channels = frame.layout.nb_channels
        places = places_for([channel.name for channel in frame.layout.channels])
        if places is None:
            raise MediaError(
                f"it has {self._channels} channels ({frame.layout.name}); mix it down to stereo", field="video"
            )
        self._places = places
        if not _RATES_HZ[0] <= frame.sample_rate <= _RATES_HZ[1]:
            raise MediaError(f"it has {frame.sample_rate} samples a second; convert it to 48,000", field="video")
        start = 0.0 if frame.pts is None else float(frame.pts * frame.time_base - self._clock.start)
        self.form = TrackForm(
            sample_rate_hz=frame.sample_rate,
            channels=len(places.names),
            start_seconds=start,
            codec=context.codec.canonical_name,
            bit_rate=int(stream.bit_rate or context.bit_rate or 0),
            layout_name=places.layout,
        )
        self._to_float = av.AudioResampler("flt", frame.layout, frame.sample_rate)
        # only an MP4's index knows how much of the last packet counts
        announced = stream.duration if "mp4" in container.format.name else None
        self._announced = round((announced or 0) * stream.time_base * frame.sample_rate)

    def _blocks(self) -> Iterator[Block]:
        form, given, offset, jumps = self.form, 0, 0.0, 0
        waiting: list[Block] = []
        for frame, following in _with_following(self._all_frames()):
            block = self._samples(frame)
            at = self._seconds(frame)
            if at is not None:
                ahead = at + offset - given / form.sample_rate_hz
                if ahead < -_JUMP_SECONDS:
                    jumps += 1
                    offset = self._offset(jumps, offset - ahead)
                    ahead = at + offset - given / form.sample_rate_hz
                if abs(ahead) < _GAP_SECONDS and not self._is_step(frame, following, ahead):
                    ahead = 0.0
                if ahead < 0:
                    block = block[:, round(-ahead * form.sample_rate_hz) :]
                elif ahead > 0 and at + offset < self._limits.max_video_seconds:  # foreign times ask for no more
                    for silence in silent_blocks(form, ahead):
                        yield np.concatenate([*waiting, silence], axis=1)
                        given += silence.shape[1]
                        waiting = []
            if 0 < given + block.shape[1] - self._announced < _PADDING_SAMPLES and self._announced:
                block = block[:, : max(0, self._announced - given)]
            waiting.append(block)
            given += block.shape[1]
            if given > (self._limits.max_video_seconds + 60) * form.sample_rate_hz:
                raise TooLarge(f"it is longer than {self._limits.max_video_seconds:g} s; cut it", field="video")
            if sum(part.shape[1] for part in waiting) >= form.sample_rate_hz:
                yield np.concatenate(waiting, axis=1)
                waiting = []
        if waiting:
            yield np.concatenate(waiting, axis=1)

    def _seconds(self, frame: Any) -> float | None:
        """After the track's start."""
        if frame.pts is None:
            return None
        return float(frame.pts * frame.time_base - self._clock.start) - self.form.start_seconds

    def _offset(self, jumps: int, otherwise: float) -> float:
        """What is added to timestamps after so many jumps back: as much as for the frames, if they jump as well."""
        return float(self._clock.offsets[jumps - 1]) if jumps <= len(self._clock.offsets) else otherwise

    def _is_step(self, frame: Any, following: Sequence[Any], ahead: float) -> bool:
        """Whether the frames from this one on are all as far from where the samples so far would have them."""
        begin, samples = self._seconds(frame), frame.samples
        if abs(ahead) < _STEP_SECONDS or begin is None or len(following) < _LOOK_AHEAD // 2:
            return False
        for other in following:
            at = self._seconds(other)
            if at is None or abs(at - begin - samples / self.form.sample_rate_hz) > _STEP_SECONDS / 2:
                return False
            samples += other.samples
        return True

    def _all_frames(self) -> Iterator[Any]:
        assert self._first is not None
        yield self._first
        yield from self._frames

    def _samples(self, frame: Any) -> Block:
        """[channels, n], full scale = 1; raises MediaError for another form than the first frame's, and NaN."""
        form = self.form
        if frame.sample_rate != form.sample_rate_hz or frame.layout.nb_channels != self._channels:
            raise MediaError("its rate or channels change on the way; convert it", field="video")
        pts, frame.pts = frame.pts, None  # else the resampler fills gaps by itself
        converted = [read_frame(one, self._channels) for one in self._to_float.resample(frame)]
        frame.pts = pts
        block = np.zeros((self._channels, 0), np.float32)
        if converted:
            block = np.ascontiguousarray(np.concatenate(converted, axis=1), np.float32)
        check_level(block)
        return self._places.apply(block)


def read_soundtrack(
    path: Path, limits: MediaLimits, track: int | None = None, clock: Clock = FROM_ZERO
) -> Iterator[TrackForm | Block]:
    """The track's form, then its blocks, as `SoundtrackReader` has them."""
    with SoundtrackReader(path, limits, track, clock) as reader:
        yield reader.form
        yield from reader.blocks()


def silent_blocks(form: TrackForm, seconds: float) -> Iterator[Block]:
    """What a video without a soundtrack has."""
    left = round(seconds * form.sample_rate_hz)
    while left > 0:
        count = min(left, form.sample_rate_hz)
        yield np.zeros((form.channels, count), np.float32)
        left -= count


def _with_following(frames: Iterator[Any]) -> Iterator[tuple[Any, Sequence[Any]]]:
    """Each frame, and some of those that come after it."""
    waiting: deque[Any] = deque()
    for frame in frames:
        waiting.append(frame)
        if len(waiting) > _LOOK_AHEAD:
            yield waiting.popleft(), waiting
    while waiting:
        yield waiting.popleft(), waiting


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Frames of that stream; a packet that cannot be decoded leaves a gap, one that cannot be read ends them."""
    for packet in readable_packets(container, stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:  # also of a decoder that cannot be opened for what its header states
            continue
        for frame in frames:
            if frame.samples:
                yield frame


def _of_soundtrack(error: StylizationError) -> StylizationError:
    return type(error)(f"the video's soundtrack: {error.detail}", field="video")

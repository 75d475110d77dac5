"""What a video carries beside its frames and its soundtrack arrives in the result."""

from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.stream import Disposition

from service.errors import UnsupportedMedia
from service.media.audio_writer import AudioWriter
from service.media.limits import MediaLimits
from service.media.mux import AudioFile, Segment, mux
from service.media.side_tracks import MetadataPolicy, kept_metadata
from service.media.soundtrack_reader import SoundtrackReader
from service.media.timeline import FROM_ZERO
from service.media.track_copy import AudioSpan, copy_track, read_span
from service.media.video_file import probe_video
from service.media.video_manifest import read_manifest
from tests.support.video import Clip, noise_track, write_video
from tests.support.video_edits import set_edits, write_empty_track

LIMITS = MediaLimits()
WHEN = "2024-05-06T07:08:09.000000Z"
GIVEN = {"title": "My clip", "artist": "Jane", "creation_time": WHEN, "location": "+48.1000+011.5000/"}
CHAPTERS: list[Any] = [
    {"id": 0, "start": 0, "end": 800, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}},
    {"id": 1, "start": 800, "end": 2000, "time_base": Fraction(1, 1000), "metadata": {"title": "two"}},
]
ASS = b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name\nStyle: Default\n\n[Events]\n"


def rich_video(path: Path, subtitles: str = "mov_text", second_audio: str = "aac") -> Path:
    """Two seconds with two audio tracks (the second French), German subtitles, two chapters and metadata."""
    codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264"
    audio = "libopus" if path.suffix == ".webm" else "aac"
    base = write_video(
        path.with_name(f"base{path.suffix}"),
        Clip(width=64, height=48, video_codec=codec, audio_codec=audio, b_frames=False),
        noise_track(2.0),
    )
    other = write_video(
        path.with_name("other.mkv"),
        Clip(width=64, height=48, frames=2, audio_codec=second_audio),
        noise_track(2.0, seed=1),
    )
    with av.open(str(base)) as first, av.open(str(other)) as second, av.open(str(path), "w") as output:
        given = [*first.streams, second.streams.audio[0]]
        copies: list[Any] = [output.add_stream_from_template(stream) for stream in given]
        copies[2].metadata.update({"language": "fra", "title": "Commentary"})
        text: Any = output.add_stream(subtitles)
        text.metadata["language"] = "deu"
        text.codec_context.subtitle_header = ASS
        output.metadata.update(GIVEN)
        output.set_chapters(CHAPTERS)
        text.codec_context.open(strict=False)
        output.start_encoding()
        for number, content in enumerate((b"Hallo", b"Welt")):
            packet = av.Packet(_subtitle(subtitles, number, content))
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = 200 + 800 * number
            packet.duration = 600
            output.mux(packet)
        for source, streams in ((first, copies[:2]), (second, copies[2:])):
            wanted = source.streams if source is first else source.streams.audio
            for packet in source.demux(*wanted):
                if packet.dts is not None:
                    packet.stream = streams[packet.stream_index if source is first else 0]
                    output.mux(packet)
    return path


def _subtitle(codec: str, number: int, content: bytes) -> bytes:
    if codec == "mov_text":
        return len(content).to_bytes(2) + content
    return f"{number},0,Default,,0,0,0,,".encode() + content if codec == "ass" else content


def passed_on(source: Path, target: Path, metadata: MetadataPolicy = "no-location") -> list[str]:
    """Mux frames of the same number with the source's tracks, as a job does that edits nothing; what was left out."""
    manifest = read_manifest(source, LIMITS)
    codec = {"mp4": "libx264", "webm": "libvpx-vp9"}[manifest.container]
    clip = Clip(width=64, height=48, b_frames=False, video_codec=codec)
    frames = write_video(target.with_name(f"frames.{manifest.container}"), clip)
    audio = []
    for track in manifest.audio:
        audio.append(AudioFile(target.with_name(f"track{track.index}.{manifest.container}"), track.index))
        span = read_span(source, LIMITS, track.index, manifest.clock)
        arguments = (source, LIMITS, track.index, manifest.clock, audio[-1].path, manifest.container, span)
        if not copy_track(*arguments):
            with (
                SoundtrackReader(source, LIMITS, track.index) as reader,
                AudioWriter(audio[-1].path, manifest.container, reader.form) as writer,
            ):
                for block in reader.blocks():
                    writer.write(block)
    return mux(target, source, manifest, [Segment(frames, 0, len(manifest.timeline.pts))], audio, metadata)


def subtitles_of(path: Path) -> list[tuple[float, str]]:
    with av.open(str(path)) as container:
        track = container.streams.subtitles[0]
        found = []
        for packet in container.demux(track):
            decoded = packet.stream.codec_context.decode2(packet) if packet.size else None
            for rect in decoded.rects if decoded else ():
                found.append((float(packet.pts * packet.time_base), rect.ass.decode().rpartition(",")[2].strip()))  # type: ignore[attr-defined]
        return [one for one in found if one[1]]


@pytest.mark.parametrize(
    ("name", "subtitles", "second_audio"),
    [
        ("a.mp4", "mov_text", "aac"),
        ("a.mkv", "subrip", "flac"),
        ("a.mkv", "ass", "tta"),
        ("a.webm", "webvtt", "libopus"),
    ],
)
def test_tracks_subtitles_chapters_and_metadata_arrive(
    name: str, subtitles: str, second_audio: str, tmp_path: Path
) -> None:
    if second_audio == "tta":
        second_audio = "pcm_s16le"
    source, target = rich_video(tmp_path / name, subtitles, second_audio), tmp_path / "result"
    assert passed_on(source, target) == []
    with av.open(str(target)) as made:
        assert [track.language for track in made.streams.audio] in ([None, "fra"], ["und", "fra"])
        assert made.streams.subtitles[0].language == "deu"
        chapters = [(one["start"] * one["time_base"], one["metadata"]["title"]) for one in made.chapters()]
        assert chapters == [(0, "one"), (Fraction(4, 5), "two")]
        metadata = {key.lower(): value for key, value in made.metadata.items()}
        assert (metadata["title"], metadata["artist"]) == ("My clip", "Jane")
        if name != "a.webm":
            assert datetime.fromisoformat(metadata["creation_time"]) == datetime.fromisoformat(WHEN)
        assert not any("location" in key for key in metadata)
    assert subtitles_of(target) == [(pytest.approx(0.2, abs=0.002), "Hallo"), (pytest.approx(1.0, abs=0.002), "Welt")]
    second = [read_span(path, LIMITS, track) for path, track in ((source, 2), (target, 2))]
    assert second[1].start_seconds == pytest.approx(second[0].start_seconds, abs=0.001)


def test_the_place_stays_if_asked_and_everything_goes_if_asked(tmp_path: Path) -> None:
    source = rich_video(tmp_path / "a.mp4")
    passed_on(source, tmp_path / "keep", "keep")
    passed_on(source, tmp_path / "strip", "strip")
    with av.open(str(tmp_path / "keep")) as kept, av.open(str(tmp_path / "strip")) as stripped:
        assert kept.metadata["location"].startswith("+48.1")
        assert stripped.chapters() == []
        assert not {"title", "artist", "location", "creation_time"} & stripped.metadata.keys()
        assert stripped.streams.audio[1].language == "fra"


def test_no_key_of_a_place_is_kept_by_default() -> None:
    given = {"com.apple.quicktime.location.ISO6709": "x", "LOCATION-eng": "y", "GPSLatitude": "z", "comment": "mine"}
    assert kept_metadata(given, "no-location") == {"comment": "mine"}
    assert kept_metadata(given, "keep") == given
    assert kept_metadata(given, "strip") == {}


def test_bitmap_subtitles_are_left_out_by_name(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mkv", Clip(width=64, height=48, b_frames=False), noise_track(2.0))
    with av.open(str(source)) as given, av.open(str(tmp_path / "b.mkv"), "w") as output:
        copies: list[Any] = [output.add_stream_from_template(stream) for stream in given.streams]
        images = output.add_mux_stream("dvd_subtitle")
        output.start_encoding()
        packet = av.Packet(bytes(40))
        packet.stream, packet.time_base, packet.pts, packet.dts, packet.duration = images, Fraction(1, 1000), 0, 0, 500
        output.mux(packet)
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream_index]
                output.mux(packet)
    (left_out,) = passed_on(tmp_path / "b.mkv", tmp_path / "result")
    assert "dvd_subtitle" in left_out


def add_others(source: Path, target: Path, kinds: tuple[str, ...]) -> Path:
    """Copy these kinds of tracks, then a cover image (in MP4), or the video once more and a font."""
    with av.open(str(source)) as given, av.open(str(target), "w") as output:
        copies: dict[int, list[Any]] = {
            stream.index: [output.add_stream_from_template(stream)] for stream in given.streams if stream.type in kinds
        }
        if target.suffix == ".mp4":
            cover: Any = output.add_stream("mjpeg", rate=1)
            cover.width, cover.height, cover.pix_fmt, cover.disposition = 32, 32, "yuvj420p", Disposition.attached_pic
            output.mux(cover.encode(av.VideoFrame(32, 32, "yuvj420p")))
        else:
            copies[0].append(output.add_stream_from_template(given.streams[0]))
            output.add_attachment("a.ttf", "font/ttf", b"font")
        for packet in given.demux():
            for copy in copies.get(packet.stream_index, []) if packet.dts is not None else []:
                packet.stream = copy
                output.mux(packet)
    return target


def test_tracks_that_no_result_holds_are_counted(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mkv", Clip(width=64, height=48, b_frames=False), noise_track(2.0))
    more = add_others(source, tmp_path / "b.mkv", ("video", "audio"))
    assert passed_on(more, tmp_path / "result") == ["1 attachment", "1 other video track"]
    covered = add_others(source, tmp_path / "b.mp4", ("video", "audio"))
    assert passed_on(covered, tmp_path / "result") == ["1 cover image"]


def test_the_cover_of_a_sound_is_no_video(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mkv", Clip(width=64, height=48, b_frames=False), noise_track(2.0))
    covered = add_others(source, tmp_path / "b.mp4", ("audio",))
    with pytest.raises(UnsupportedMedia, match="no images"):
        probe_video(covered, LIMITS)


def test_a_track_is_copied_only_if_it_then_begins_where_it_did(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.mp4", Clip(width=64, height=48), noise_track(2.0))
    for edits, copied in ((None, True), ([(0.2, 0.5), (1.0, 0.8)], False)):
        path = tmp_path / f"{copied}.mp4"
        path.write_bytes(whole.read_bytes())
        if edits is not None:
            set_edits(path, b"soun", edits)
        span = read_span(path, LIMITS, 1)
        target = tmp_path / f"{copied}.sound.mp4"
        assert copy_track(path, LIMITS, 1, FROM_ZERO, target, "mp4", span) is copied
        if copied:
            assert read_span(target, LIMITS) == AudioSpan(
                pytest.approx(span.start_seconds, abs=0.001), pytest.approx(span.end_seconds, abs=0.001)
            )


def test_an_empty_track_is_no_soundtrack(tmp_path: Path) -> None:
    manifest = read_manifest(write_empty_track(tmp_path / "a.mkv"), LIMITS)
    assert (manifest.soundtrack, manifest.audio) == (None, ())


def test_a_title_that_is_not_utf8_is_no_reason_to_refuse_a_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.avi"), "w") as output:
        stream: Any = output.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        output.metadata["title"] = "Caf?"
        for _ in range(20):
            output.mux(stream.encode(av.VideoFrame(64, 48, "yuvj420p")))
        output.mux(stream.encode(None))
    content = (tmp_path / "a.avi").read_bytes()
    assert content.count(b"Caf?") == 1
    (tmp_path / "a.avi").write_bytes(content.replace(b"Caf?", b"Caf\xe9"))
    passed_on(tmp_path / "a.avi", tmp_path / "result")
    with av.open(str(tmp_path / "result")) as made:
        assert made.metadata["title"].startswith("Caf")


def test_a_file_that_breaks_off_keeps_what_is_there_of_its_tracks(tmp_path: Path) -> None:
    source = rich_video(tmp_path / "a.mkv", "subrip")
    content = source.read_bytes()
    source.write_bytes(content[: len(content) * 2 // 3])
    manifest = read_manifest(source, LIMITS, allow_partial=True)
    assert manifest.timeline.broken_at == pytest.approx(manifest.timeline.end_seconds)
    with SoundtrackReader(source, LIMITS, manifest.soundtrack) as reader:
        assert 0.3 < sum(block.shape[1] for block in reader.blocks()) / 48_000 < 2.0

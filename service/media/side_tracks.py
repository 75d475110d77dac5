"""What a result has from its source beside frames and sound: subtitles, chapters, metadata, names of tracks."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, Literal

import av

from service.media.libav import readable_packets
from service.media.video_file import Container, is_cover
from service.media.video_manifest import VideoManifest

MetadataPolicy = Literal["keep", "strip", "no-location"]

_COPIED_SUBTITLES: Final[dict[Container, set[str]]] = {"mp4": {"mov_text"}, "webm": {"webvtt"}}
_TEXT_SUBTITLES: Final = {"subrip", "srt", "text", "ass", "ssa", "webvtt", "mov_text"}
_OF_THE_FILE_ALONE: Final = {  # said of the file as it was stored
    *("major_brand", "minor_version", "compatible_brands", "encoder", "duration"),
}
_LOCATION_WORDS: Final = ("location", "gps", "xyz")


class SideTracks:
    """Adds them to an output before its first packet. left_out: what the result cannot carry, in words."""

    def __init__(self, source: Any, manifest: VideoManifest, output: Any, metadata: MetadataPolicy) -> None:
        self._source, self._manifest, self._output = source, manifest, output
        self.left_out: list[str] = []
        self._copied: dict[int, Any] = {}
        self._encoded: dict[int, Any] = {}
        self._keeps_titles = metadata != "strip"
        if metadata != "strip":
            output.metadata.update(kept_metadata(source.metadata, metadata))
            self._keep_chapters()
        for track in manifest.subtitles:
            self._add_subtitles(track.index, track.codec)
        self.left_out += others_of(source)

    def name(self, stream: Any, source_index: int | None) -> None:
        """Give an output's stream the language and the title of the source's."""
        if source_index is None:
            return
        given = {key.lower(): value for key, value in self._source.streams[source_index].metadata.items()}
        kept = ("language", "title") if self._keeps_titles else ("language",)
        stream.metadata.update({key: given[key] for key in kept if given.get(key, "und") != "und"})

    def packets(self) -> Iterator[Any]:
        """The subtitles' packets, in the order of the file."""
        tracks = [self._source.streams[index] for index in (*self._copied, *self._encoded)]
        if not tracks:
            return
        for packet in readable_packets(self._source, tracks):
            index = packet.stream_index
            if not packet.size or packet.pts is None:
                continue
            shown = packet if index in self._copied else self._encode(packet, self._encoded[index])
            if shown is None:
                continue
            shown.stream = self._copied.get(index) or self._encoded[index]
            start = round(self._manifest.start_seconds / packet.time_base)
            shown.pts = shown.dts = packet.pts - start
            shown.duration, shown.time_base = packet.duration, packet.time_base
            if shown.pts >= 0:
                yield shown

    def _keep_chapters(self) -> None:
        chapters = self._source.chapters()
        if chapters:
            self._output.set_chapters(chapters)

    def _add_subtitles(self, index: int, codec: str) -> None:
        container, stream = self._manifest.container, self._source.streams[index]
        if codec in _COPIED_SUBTITLES[container]:
            self._copied[index] = self._output.add_stream_from_template(stream)
        elif container == "mp4" and codec in _TEXT_SUBTITLES:
            stream.codec_context.open(strict=False)
            text = self._output.add_stream("mov_text")
            text.codec_context.subtitle_header = stream.codec_context.subtitle_header
            self._encoded[index] = text
        else:
            self.left_out.append(f"subtitles of the kind {codec or 'unknown'}, which {container.upper()} does not hold")
            return
        self.name(self._copied.get(index) or self._encoded[index], index)

    def _encode(self, packet: Any, text: Any) -> Any:
        """The subtitle as MP4 has it; None for one that is empty or damaged."""
        try:
            decoded = packet.stream.codec_context.decode2(packet)
        except av.FFmpegError:
            return None
        return text.codec_context.encode_subtitle(decoded) if decoded is not None and len(decoded.rects) else None


def others_of(source: Any) -> list[str]:
    """Tracks that no result holds, in words."""
    names = {"data": "data track", "attachment": "attachment"}
    counts = Counter(names[stream.type] for stream in source.streams if stream.type in names)
    if source.chapters() and "mp4" in source.format.name:
        counts["data track"] -= 1  # in which an MP4 has the titles of its chapters
    covers = sum(is_cover(stream) for stream in source.streams.video)
    counts += Counter({"cover image": covers, "other video track": len(source.streams.video) - covers - 1})
    return [f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items()]


def kept_metadata(given: dict[str, str], policy: MetadataPolicy) -> dict[str, str]:
    """Title, date, author and the like. The place where it was recorded stays with `keep` alone."""
    if policy == "strip":
        return {}
    return {
        key: value
        for key, value in given.items()
        if key.lower() not in _OF_THE_FILE_ALONE
        and (policy == "keep" or not any(word in key.lower() for word in _LOCATION_WORDS))
    }

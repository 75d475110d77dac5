"""Hostile files: valid ones of every kind that is taken, broken at random but the same for the same number."""

import struct
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from service.media.icc import profile_of_code_points
from service.media.image_metadata import ImageTags
from service.media.image_writer import encode_image
from tests.support import media
from tests.support.audio_files import FORMATS
from tests.support.images import tiff_of
from tests.support.video import Clip, noise_track, write_video

SCRIPTS = (
    b"ffconcat version 1.0\nfile /etc/passwd\n",
    b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
    b'<?xml version="1.0"?><MPD><Period><BaseURL>http://127.0.0.1:9/</BaseURL></Period></MPD>',
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
)
_IMAGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("WEBP", {}), ("WEBP", {"lossless": True}),
    ("AVIF", {}), ("HEIF", {}), ("BMP", {}), ("GIF", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "jpeg"}), ("TIFF", {"compression": "tiff_adobe_deflate"}), ("TIFF", {"big_tiff": True}),
)  # fmt: skip
_MODES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("L", "JPEG", {}), ("CMYK", "JPEG", {}), ("P", "PNG", {"transparency": 3}), ("1", "PNG", {}), ("LA", "PNG", {}),
    ("P", "GIF", {"transparency": 3}), ("P", "BMP", {}), ("1", "TIFF", {"compression": "group4"}),
    ("CMYK", "TIFF", {"compression": "packbits"}), ("RGBA", "HEIF", {}), ("RGBA", "AVIF", {}), ("I;16", "TIFF", {}),
)  # fmt: skip
_SOUNDS = (
    media.write_wav, media.write_float_wav, media.write_mp3, media.write_ogg, media.write_flac, media.write_m4a,
    media.write_webm,
)  # fmt: skip
_CLIP = Clip(width=48, height=32, frames=6, key_every=3, fps=25)
_HLG = {"x264-params": "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"}
_SQUARE: dict[str, Any] = {"width": 64, "height": 64}
_X265 = {"x265-params": "log-level=0:pools=none"}
_VIDEOS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("a.mp4", {}),
    ("a.mp4", {"video_options": {"x264-params": "tff=1"}}),
    ("a.mkv", {}),
    ("a.webm", {"video_codec": "libvpx-vp9", "audio_codec": "libopus"}),
    ("a.mov", {"pix_fmt": "yuv420p10le", "video_options": _HLG, "audio_codec": "pcm_s16le"}),
    ("a.ts", {}),
    ("a.ts", {"video_codec": "mpeg2video", "audio_codec": "mp2"}),
    ("a.mpeg", {"video_codec": "mpeg1video", "audio_codec": "mp2"}),
    ("a.avi", {"video_codec": "mpeg4", "audio_codec": "libmp3lame"}),
    ("a.avi", {"video_codec": "mjpeg", "pix_fmt": "yuvj420p", "full_range": True, "audio_codec": "pcm_s16le"}),
    ("a.flv", {}),
    ("a.mov", {"video_codec": "prores_ks", "pix_fmt": "yuv422p10le", "audio_codec": "pcm_s24le"}),
    ("a.mp4", {"video_codec": "libx265", "pix_fmt": "yuv420p10le", "video_options": _X265} | _SQUARE),
    ("a.mp4", {"video_codec": "libsvtav1", "audio_codec": "libopus"} | _SQUARE),
    ("a.mkv", {"video_codec": "ffv1", "audio_codec": "flac"}),
    ("a.webm", {"video_codec": "libvpx", "audio_codec": "libopus", "pixel_aspect": Fraction(4, 3)}),
    ("a.3gp", {"video_codec": "h263", "width": 128, "height": 96, "audio_codec": "aac"}),
    ("a.mp4", {"video_options": {"movflags": "frag_keyframe+empty_moov"}}),
)


def valid_files() -> dict[str, list[bytes]]:
    """Small files by the field that they are sent in."""
    with tempfile.TemporaryDirectory() as folder:
        path, photo = Path(folder) / "file", media.make_photo(48, 32)
        sound = media.make_noise(2.0)
        found: dict[str, list[bytes]] = {"image": [], "audio": [], "video": []}
        for format, options in _IMAGES:
            found["image"].append(media.write_image(path, photo, format, **options).read_bytes())
        for mode, format, options in _MODES:
            deep = Image.fromarray(photo[..., 0].astype(np.uint16) * 257)
            (deep if mode == deep.mode else Image.fromarray(photo).convert(mode)).save(path, format, **options)
            found["image"].append(path.read_bytes())
        found["image"] += tagged_images(path, photo)
        for write in _SOUNDS:
            found["audio"].append(write(path, sound).read_bytes())
        for write_format, rate_hz in FORMATS.values():
            noise = media.make_noise(0.8, sample_rate_hz=rate_hz)
            found["audio"].append(write_format(path, noise).read_bytes())
        for name, form in _VIDEOS:
            video = write_video(Path(folder) / name, replace(_CLIP, **form), noise_track(0.6))
            found["video"].append(video.read_bytes())
        return found


def tagged_images(path: Path, photo: NDArray[np.uint8]) -> list[bytes]:
    """With alpha, 16 bits, tiles, profiles, EXIF, XMP, IPTC and texts, each in the kinds that have them."""
    tags = image_tags()
    deep = np.dstack([photo, photo[..., 0]]).astype(np.uint16) * 257
    exif = b"Exif\0\0" + (tags.exif or b"")
    found = [encode_image(deep, "png", tags), encode_image(np.dstack([photo, photo[..., 0]]), "webp", tags)]
    found += [encode_image(photo, "jpeg", tags), tiff_of(deep[..., :3], 2, tile=16, deflate=True)]
    for name in ("HEIF", "AVIF"):
        options = {"exif": exif, "icc_profile": tags.profile, "xmp": tags.xmp}
        found.append(media.write_image(path, photo, name, **options).read_bytes())
    return found


def image_tags() -> ImageTags:
    """Something of each kind."""
    exif = Image.Exif()
    exif[0x0112], exif[0x013B], exif[0x8298] = 6, "Jane", "(c) Jane"
    exif.get_ifd(ExifTags.IFD.Exif)[0x9003] = "2024:01:02 03:04:05"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (48.0, 8.0, 0.0)})
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:City="Munich" '
        b'xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="48,8N" photoshop:Headline="A river">'
        b'<tiff:Orientation xmlns:tiff="http://ns.adobe.com/tiff/1.0/">6</tiff:Orientation>'
        b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    return ImageTags(
        exif=exif.tobytes().removeprefix(b"Exif\0\0"),
        xmp=xmp,
        iptc=b"\x1c\x02\x5a\0\x06Munich\x1c\x02\x69\0\x07A river",
        texts=(("Title", "A river"), ("exif:GPSLatitude", "48/1"), ("Author", "Jane")),
        dpi=(300.0, 300.0),
        profile=profile_of_code_points(12, 13),
    )


def hostile_file(valid: dict[str, list[bytes]], seed: int, number: int) -> tuple[str, bytes]:
    """The field that file `number` is sent in, and its bytes."""
    rng = np.random.default_rng((seed, number))
    field = str(rng.choice(list(valid)))
    if rng.random() < 0.02:
        return field, SCRIPTS[rng.integers(len(SCRIPTS))] + rng.bytes(int(rng.integers(64)))
    own = valid[field if rng.random() < 0.95 else str(rng.choice(list(valid)))]  # now and then in the wrong field
    data = bytearray(own[rng.integers(len(own))])
    for _ in range(rng.integers(1, 5)):
        _break(data, rng, own)
    return field, bytes(data)


def _break(data: bytearray, rng: np.random.Generator, own: list[bytes]) -> None:
    """One fault, in place; headers are hit more often than what follows them."""
    if not data:
        return
    reach = min(len(data), 512) if rng.random() < 0.6 else len(data)
    place = int(rng.integers(reach))
    match rng.integers(7):
        case 0:  # bits
            for _ in range(rng.integers(1, 9)):
                data[int(rng.integers(reach))] ^= 1 << int(rng.integers(8))
        case 1:  # cut off
            del data[int(rng.integers(len(data))) :]
        case 2:  # a length that lies
            lie = int(rng.choice([0, 1, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, int(rng.integers(1 << 32))]))
            data[place : place + 4] = struct.pack(str(rng.choice([">I", "<I"])), lie)
        case 3:  # a piece again
            piece = data[place : place + int(rng.integers(1, 400))]
            data[place:place] = piece * int(rng.integers(1, 20))
        case 4:  # a piece gone
            del data[place : place + int(rng.integers(1, 200))]
        case 5:  # noise
            length = min(int(rng.integers(1, 200)), len(data) - place)
            data[place : place + length] = rng.bytes(length)
        case _:  # the end of another file
            other = own[rng.integers(len(own))]
            data[place:] = other[int(rng.integers(len(other))) :]

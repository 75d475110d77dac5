"""Which sound formats are taken: libav's demuxers and decoders, listed by name.

libav opens far more than sounds (play lists, network addresses, scripts that name other files). What is listed here
reads nothing but the file itself.
"""

from pathlib import Path
from typing import Final

from service.errors import MediaError, UnsupportedMedia
from service.media.file_kind import FileKind, file_kind
from service.media.libav import VIDEO_DEMUXERS

_PCM: Final = (
    *("s8", "u8", "s16le", "s16be", "u16le", "u16be", "s24le", "s24be", "u24le", "u24be", "s32le", "s32be", "u32le"),
    *("u32be", "s64le", "s64be", "f16le", "f24le", "f32le", "f32be", "f64le", "f64be", "alaw", "mulaw"),
)
AUDIO_DECODERS: Final = {
    *("mp3float", "mp3", "mp2float", "mp2", "mp1float", "mp1", "aac", "aac_fixed", "aac_latm", "alac", "flac"),
    *("vorbis", "opus", "libopus", "speex", "libspeex", "ac3", "ac3_fixed", "eac3", "dca", "truehd", "mlp"),
    *("wmav1", "wmav2", "wmapro", "wmalossless", "wmavoice", "amrnb", "amrwb", "libopencore_amrnb"),
    *("libopencore_amrwb", "gsm", "gsm_ms", "g722", "g726", "g726le", "ilbc", "qcelp", "nellymoser", "tta", "wavpack"),
    *("adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "adpcm_swf", "adpcm_yamaha", "mace3", "mace6", "qdm2", "qdmc"),
    *(f"pcm_{name}" for name in _PCM),
}
FLOAT_DECODERS: Final = {f"pcm_{name}" for name in _PCM if name.startswith("f")}  # whose samples may be NaN
AUDIO_DEMUXERS: Final = (
    "wav,w64,aiff,caf,au,mp3,flac,ogg,aac,loas,asf,amr,ac3,eac3,dts,dtshd,truehd,mlp,tta,wv,voc,ircam,sox,nistsphere,"
    f"{VIDEO_DEMUXERS}"
)
TAKEN: Final = "WAV, MP3, FLAC, Ogg, M4A, AAC, AIFF, CAF, WMA, AMR, AC-3, AU or WebM"

# whose headers count what follows; others state nothing, or what libav guesses from the bit rate
STATES_DURATION: Final = {"flac", "mov", "matroska", "w64", "aiff", "caf", "au", "tta", "wv"}
# whose packets decode to the same samples when those long before them are left out
_SKIPPABLE: Final = {"mp3float", "mp2float", "mp3", "mp2", "aac", "flac", "alac", "vorbis", "opus", "ac3", "eac3"}


def is_skippable(decoder: str) -> bool:
    """Whether that decoder may begin in the middle of a sound, a second before it is listened to."""
    return decoder in _SKIPPABLE or decoder.startswith("pcm_")


def unopened(path: Path) -> MediaError | UnsupportedMedia:
    """What to say of a file that no demuxer takes."""
    match file_kind(path):
        case FileKind("image", name):
            return UnsupportedMedia(f"the file is an image ({name}), not a sound; send {TAKEN}", field="audio")
        case FileKind("other", name):
            return UnsupportedMedia(f"the file is no sound but {name}; send {TAKEN}", field="audio")
        case FileKind(_, name) if name in _NOT_TAKEN:
            return UnsupportedMedia(f"{name} is not taken; send {TAKEN}", field="audio")
        case FileKind(_, name):
            return MediaError(f"the sound ({name}) is damaged or incomplete; send it again", field="audio")
        case None:
            return UnsupportedMedia(f"the file is no sound that is known here; send {TAKEN}", field="audio")


_NOT_TAKEN: Final = {
    *(
        "Monkey's Audio",
        "Musepack",
        "TAK",
        "DSF",
        "DSDIFF",
        "Shorten",
        "RealAudio",
        "RealMedia",
        "MIDI",
        "QOA",
        "ATRAC",
    ),
    *("OptimFROG", "SMAF", "Impulse Tracker", "a tracker module", "Lossless Audio", "SIFF", "SoundFont"),
}

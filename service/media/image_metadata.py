"""What a file says beside its pixels (EXIF, XMP, IPTC, texts), as far as a result may say it, too."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal
from xml.dom import Node
from xml.parsers.expat import ExpatError

import defusedxml.minidom
from PIL import ExifTags, Image
from pydantic import BaseModel, ConfigDict

from service.media.exif import rewrite_exif

MetadataPolicy = Literal["keep", "strip", "no-location"]

_MAX_BYTES: Final = 1024 * 1024  # of each kind
_XMP_TEXT: Final = "XML:com.adobe.xmp"
_RAW_PROFILE: Final = "Raw profile type "
_IPTC_RESOURCE: Final = 0x0404
_TIFF_XMP, _TIFF_IPTC = 700, 33723
_TIFF_TAGS: Final = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F)
# keywords of PNG's texts that have a place in EXIF, for results of another format
_TEXT_TAGS: Final = {
    "Description": 0x010E, "Title": 0x010E, "Author": 0x013B, "Copyright": 0x8298, "Software": 0x0131, "Comment": 0x9286
}  # fmt: skip

_PLACE_NAMES: Final = frozenset(
    {
        "city", "state", "country", "countrycode", "countryname", "provincestate", "sublocation", "worldregion",
        "location", "locationcreated", "locationshown", "lat", "long", "latitude", "longitude", "altitude",
        "absolutealtitude", "relativealtitude", "geotag",
    }
)  # fmt: skip
# what described the file as it was: its thumbnail, its turn, the video, the gain map or the depth behind its pixels
_STALE_NAMES: Final = frozenset({"thumbnails", "orientation", "hasextendedxmp", "pixelxdimension", "pixelydimension"})
_STALE_SPACES: Final = (
    "http://ns.google.com/photos/", "http://ns.adobe.com/hdr-gain-map/", "http://ns.apple.com/HDRGainMap/",
    "http://ns.apple.com/pixeldatainfo/",
)  # fmt: skip
# IPTC-IIM, record 2: content location, city, sublocation, province, country
_PLACE_DATASETS: Final = frozenset({26, 27, 90, 92, 95, 100, 101})


class ImageTags(BaseModel):
    """exif: without its prefix. xmp: a packet. iptc: IIM records. texts: keyword and text. dpi: pixels per inch.

    profile: an ICC profile that the pixels are in; None is sRGB.
    """

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    texts: tuple[tuple[str, str], ...] = ()
    dpi: tuple[float, float] | None = None
    profile: bytes | None = None


def read_tags(
    image: Image.Image,
    texts: Mapping[str, str],
    size: tuple[int, int],
    policy: MetadataPolicy,
    is_srgb: bool,
) -> tuple[ImageTags, list[str]]:
    """The tags for a result of that size (width, height), and the names of those that were left out as unreadable.

    texts: of a PNG, by their keywords. is_srgb: whether the pixels were converted to sRGB.
    """
    if policy == "strip":
        return ImageTags(), []
    keeps_location, lost = policy == "keep", list[str]()

    def checked(name: str, given: bytes | None, rewrite: Callable[[bytes], bytes | None]) -> bytes | None:
        if not given:
            return None
        rewritten = rewrite(given) if len(given) <= _MAX_BYTES else None
        if rewritten is None:
            lost.append(name)
        return rewritten or None

    exif = checked("EXIF", _exif(image, texts), lambda given: rewrite_exif(given, *size, keeps_location, is_srgb))
    xmp = checked("XMP", _xmp(image, texts), lambda given: clean_xmp(given, keeps_location))
    iptc = checked("IPTC", _iptc(image, texts), lambda given: given if keeps_location else clean_iptc(given))
    return ImageTags(
        exif=exif, xmp=xmp, iptc=iptc, texts=tuple(_texts(image, texts, keeps_location)), dpi=_dpi(image)
    ), lost


def exif_of_texts(texts: tuple[tuple[str, str], ...]) -> bytes | None:
    """EXIF that says what these texts of a PNG say, for formats which have no texts."""
    exif = Image.Exif()
    for keyword, text in texts:
        if (tag := _TEXT_TAGS.get(keyword)) is not None and text:
            if tag == _TEXT_TAGS["Comment"]:
                exif.get_ifd(ExifTags.IFD.Exif)[tag] = b"UNICODE\0" + text.encode("utf-16-be")
            else:
                exif[tag] = text
    content = exif.tobytes() if len(exif) or exif.get_ifd(ExifTags.IFD.Exif) else None
    return None if content is None else content.removeprefix(b"Exif\0\0")


def _exif(image: Image.Image, texts: Mapping[str, str]) -> bytes | None:
    if image.format == "TIFF":
        return _exif_of_tiff(image)
    found: bytes | None = image.info.get("exif")
    return found or raw_profile(texts, "exif") or raw_profile(texts, "APP1")


def _exif_of_tiff(image: Image.Image) -> bytes | None:
    """A TIFF holds the tags among those that say where its pixels are."""
    source, exif = image.getexif(), Image.Exif()
    for tag in _TIFF_TAGS:
        if tag in source:
            exif[tag] = source[tag]
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        exif.get_ifd(ifd).update(source.get_ifd(ifd))
    try:
        return exif.tobytes() if len(exif) or exif.get_ifd(ExifTags.IFD.Exif) else None
    except Exception:  # values that no EXIF can hold: foreign bytes may be anything
        return b"?"


def _xmp(image: Image.Image, texts: Mapping[str, str]) -> bytes | None:
    if _XMP_TEXT in texts:
        return texts[_XMP_TEXT].encode()
    found = image.info.get("xmp")
    return found if isinstance(found, bytes) else raw_profile(texts, "xmp")


def _iptc(image: Image.Image, texts: Mapping[str, str]) -> bytes | None:
    if image.format == "TIFF":
        found: Any = image.getexif().get(_TIFF_IPTC)
    else:
        found = image.info.get("photoshop", {}).get(_IPTC_RESOURCE)
    if found is None and (packed := raw_profile(texts, "iptc")):
        start = packed.find(b"\x1c\x02")  # behind the head of Photoshop's resource, if it has one
        found = packed[start:] if start >= 0 else None
    return found if isinstance(found, bytes) else None


def raw_profile(texts: Mapping[str, str], name: str) -> bytes | None:
    """The bytes that ImageMagick puts into a text: a name, a length, hexadecimal digits; None if there are none."""
    lines = texts.get(_RAW_PROFILE + name, "").split("\n")
    try:
        return bytes.fromhex("".join(lines[3:])) or None
    except ValueError:
        return None


def _texts(image: Image.Image, texts: Mapping[str, str], keeps_location: bool) -> Iterator[tuple[str, str]]:
    for keyword, text in texts.items():
        if keyword == _XMP_TEXT or keyword.startswith(_RAW_PROFILE):
            continue
        if keeps_location or not any(word in keyword.lower() for word in ("gps", "location", "geo", "latlon")):
            yield keyword, text
    comment = image.info.get("comment")
    if isinstance(comment, bytes) and 0 < len(comment) <= _MAX_BYTES:
        yield "Comment", comment.decode("utf-8", "replace")


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    given = image.info.get("dpi")
    try:
        across, down = float(given[0]), float(given[1])  # type: ignore[index]
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    return (across, down) if 1 <= across <= 60_000 and 1 <= down <= 60_000 else None


def clean_xmp(packet: bytes, keeps_location: bool) -> bytes | None:
    """The packet without what is stale and, unless it is kept, without the location; None if it is not XML."""
    try:
        document = defusedxml.minidom.parseString(packet.strip(b"\0 \r\n\t"), forbid_dtd=True)  # type: ignore[arg-type]
        _clean(document, keeps_location)
        return str(document.toxml()).removeprefix('<?xml version="1.0" ?>').encode()
    except (ExpatError, ValueError, RecursionError):  # what defusedxml forbids is a ValueError
        return None


def _clean(node: Any, keeps_location: bool) -> None:
    for child in list(node.childNodes):
        if child.nodeType != Node.ELEMENT_NODE:
            continue
        for attribute in list(child.attributes.values()):
            if _is_unwanted(attribute, keeps_location):
                child.removeAttributeNode(attribute)
        if _is_unwanted(child, keeps_location):
            node.removeChild(child)
        else:
            _clean(child, keeps_location)


def _is_unwanted(node: Any, keeps_location: bool) -> bool:
    space, name = node.namespaceURI or "", (node.localName or node.nodeName).lower()
    if name in _STALE_NAMES or space.startswith(_STALE_SPACES):
        return True
    return not keeps_location and (name in _PLACE_NAMES or name.startswith("gps"))


def clean_iptc(records: bytes) -> bytes | None:
    """IIM records without those that name a place; None if they are damaged."""
    kept, at = b"", 0
    while at + 5 <= len(records) and records[at] == 0x1C:
        size = int.from_bytes(records[at + 3 : at + 5], "big")
        if size & 0x8000:  # an extended length, which no text needs
            return None
        end = at + 5 + size
        if not (records[at + 1] == 2 and records[at + 2] in _PLACE_DATASETS):
            kept += records[at:end]
        at = end
    return kept if at <= len(records) else None

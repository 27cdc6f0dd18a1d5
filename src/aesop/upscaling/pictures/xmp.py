"""XMP of an upscaled picture: the input's, corrected, and a tag that names what made the result."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.sax.saxutils import escape, unescape

_NAMESPACE = "urn:aesop:upscaled"
_EMPTY = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
# Hostile XMP must not take quadratic time: no search runs past the next `<`, or where it cannot succeed.
_TAG = re.compile(rb'<rdf:Description rdf:about="" xmlns:aesop="urn:aesop:upscaled"[^<>]*/>')
_END = re.compile(rb"</rdf:RDF\s*>")
_THUMBNAILS = re.compile(rb"<xmp:Thumbnails\b.*?</xmp:Thumbnails\s*>", re.DOTALL)
_THUMBNAILS_END = re.compile(rb"</xmp:Thumbnails\s*>")


@dataclass(frozen=True)
class Tag:
    """What made a result: the model's name and how many times larger than its input it is."""

    model: str
    scale: float


def corrected_xmp(xmp: bytes | None, height: int, width: int, tag: Tag | None) -> bytes | None:
    """Return XMP of an upright picture of that size, without thumbnails, with `tag` in place of any older one."""
    if xmp is not None:
        xmp = _TAG.sub(b"", xmp)
        end = max((found.end() for found in _THUMBNAILS_END.finditer(xmp)), default=0)
        xmp = _THUMBNAILS.sub(b"", xmp[:end]) + xmp[end:]
        for names, value in (
            (b"tiff:Orientation", 1),
            (b"tiff:ImageWidth|exif:PixelXDimension", width),
            (b"tiff:ImageLength|exif:PixelYDimension", height),
        ):
            xmp = re.sub(rb"\b(" + names + rb')(=["\']|>)\s*\d+', rb"\g<1>\g<2>%d" % value, xmp)
    if tag is None:
        return xmp
    base = xmp if xmp is not None and _END.search(xmp) else _EMPTY
    end = max(found.start() for found in _END.finditer(base))
    return base[:end] + _packed(tag) + base[end:]


def tag_of(xmp: bytes | None) -> Tag | None:
    """Read the tag that `corrected_xmp` wrote; None where there is none."""
    found = _TAG.search(xmp or b"")
    if not found:
        return None
    values = dict(re.findall(r'aesop:(\w+)="([^"]*)"', found[0].decode("utf-8", "replace")))
    try:
        return Tag(unescape(values["Model"], {"&quot;": '"'}), float(values["Scale"]))
    except (KeyError, ValueError):
        return None


def _packed(tag: Tag) -> bytes:
    model = escape(tag.model.encode("utf-8", "replace").decode(), {'"': "&quot;"})
    attributes = f'aesop:Model="{model}" aesop:Scale="{tag.scale:g}"'
    return f'<rdf:Description rdf:about="" xmlns:aesop="{_NAMESPACE}" {attributes}/>'.encode()

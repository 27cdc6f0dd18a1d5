"""EXIF, XMP, profile and resolution are kept, corrected or left out on request; Pillow reads all results."""

from __future__ import annotations

import struct
import time
import xml.etree.ElementTree as ET
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms, IptcImagePlugin
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from aesop.upscaling.pictures.containers import Metadata, add_to_tiff
from aesop.upscaling.pictures.exif import corrected_exif
from aesop.upscaling.pictures.notes import stored_notes
from aesop.upscaling.pictures.sink import open_sink
from aesop.upscaling.pictures.source import PictureInfo, open_source, read_xmp
from aesop.upscaling.pictures.xmp import Tag, corrected_xmp, tag_of
from picture_files import HOSTILE_XMP, noise, profile, repeated, through

KEYS = ("png", "jpeg", "webp", "tiff", "avif")
TAG = Tag('photo "x4" <2>&\u00e9', 4)
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" '
    b'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5" xmlns:exif="http://ns.adobe.com/exif/1.0/">'
    b"<exif:PixelXDimension>24</exif:PixelXDimension><exif:PixelYDimension> 16</exif:PixelYDimension>"
    b"<xmp:Thumbnails><rdf:Alt><rdf:li>x</rdf:li></rdf:Alt></xmp:Thumbnails></rdf:Description></rdf:RDF></x:xmpmeta>"
)
IPTC = b"\x1c\x02\x05\0\x05Title\x1c\x02\x50\0\x04Name"
TAG_BEGIN = b'<rdf:Description rdf:about="" xmlns:aesop="urn:aesop:upscaled"'
MAKER = b"Maker's own\0" + bytes(range(200))


def assert_bare(image: Image.Image) -> None:
    if image.format == "TIFF":  # whose own tags Pillow counts among EXIF's
        assert {282, 283, 296, 700, 34675, 34665}.isdisjoint(image.getexif())
    else:
        told = {key for key, value in image.info.items() if value != (0.0, 0.0)}  # a BMP that tells no resolution
        assert {"dpi", "icc_profile", "exif", "xmp", "comment"}.isdisjoint(told)


def exif() -> Image.Exif:
    made = Image.Exif()
    made[0x10F], made[0x110], made[0x112], made[0x100] = "Maker", "Model", 6, 24
    made.get_ifd(0x8769).update({0x9003: "2020:02:03 04:05:06", 0xA002: 24, 0xA003: 16, 0x927C: MAKER, 0x829A: 0.004})
    made.get_ifd(0x8825).update({1: "N", 2: (47.0, 30.0, 1.5)})
    return made


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    how: dict[str, Any] = {"exif": exif(), "xmp": XMP, "icc_profile": profile("p3"), "dpi": (300, 300)}
    Image.fromarray(noise(16, 24, 3)).save(path, **how)
    return path


@pytest.mark.parametrize("key", KEYS)
def test_metadata_is_kept_and_corrected(key: str, photo: Path, tmp_path: Path) -> None:
    result = through(photo, tmp_path, key=key, tag=TAG)
    with Image.open(result) as image:
        assert image.size == (32, 48)
        assert image.info["icc_profile"] == profile("p3")
        if key in ("png", "jpeg", "tiff"):
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.02)
        found = image.getexif()
        assert (found[0x10F], found[0x110], found[0x112]) == ("Maker", "Model", 1)
        if key != "tiff":
            assert found[0x100] == 32
        inside = found.get_ifd(0x8769)
        assert (inside[0x9003], inside[0xA002], inside[0xA003]) == ("2020:02:03 04:05:06", 32, 48)
        assert (inside[0x927C], float(inside[0x829A])) == (MAKER, 0.004)
        assert found.get_ifd(0x8825) == {1: "N", 2: (47.0, 30.0, 1.5)}
    xmp = read_xmp(result)
    assert xmp is not None
    assert tag_of(xmp) == TAG
    found = [e.attrib | {e.tag: e.text or ""} for e in ET.fromstring(xmp).iter()]
    values = {name.split("}")[1]: value for element in found for name, value in element.items()}
    assert (values["Rating"], values["Orientation"], values["PixelXDimension"]) == ("5", "1", "32")
    assert (int(values["PixelYDimension"]), b"Thumbnails" in xmp) == (48, False)
    again = through(result, tmp_path / "again", key=key, tag=Tag("other", 2))
    assert tag_of(read_xmp(again)) == Tag("other", 2)
    assert (read_xmp(again) or b"").count(b"aesop:Model") == 1


@pytest.mark.parametrize("key", [*KEYS, "bmp"])
def test_nothing_is_made_up(key: str, tmp_path: Path) -> None:
    Image.fromarray(noise(16, 24, 3)).save(tmp_path / "a.png")
    result = through(tmp_path / "a.png", tmp_path, key=key)
    with Image.open(result) as image:
        assert_bare(image)
    assert open_source(result).info.resolution is None
    assert tag_of(read_xmp(result)) is None


@pytest.mark.parametrize("key", KEYS)
def test_strip_drops_all_but_the_colours(key: str, photo: Path, tmp_path: Path) -> None:
    with Image.open(photo) as image:
        upright = Image.fromarray(np.rot90(np.asarray(image), -1))
        p3 = ImageCms.ImageCmsProfile(BytesIO(profile("p3")))
        srgb = ImageCms.profileToProfile(
            upright, p3, ImageCms.createProfile("sRGB"), renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC
        )
    result = through(photo, tmp_path, key=key, tag=TAG, strip=True)
    with Image.open(result) as image:
        assert_bare(image)
        if key in ("png", "tiff"):
            assert srgb is not None
            assert np.abs(np.asarray(image).astype(int) - repeated(np.asarray(srgb))).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_resolutions_are_those_of_the_file(suffix: str, tmp_path: Path) -> None:
    Image.fromarray(noise(9, 9, 3)).save(tmp_path / f"a.{suffix}", dpi=(72, 150))
    for key in ("png", "jpeg", "tiff", "bmp"):
        with Image.open(through(tmp_path / f"a.{suffix}", tmp_path / "out", key=key)) as image:
            assert image.info["dpi"] == pytest.approx((72, 150), abs=0.02)


def with_resolution(path: Path, across: float, down: float) -> Path:
    """A TIFF that states any resolution, as floating point."""
    tags = ImageFileDirectory_v2()
    for tag, value in ((282, across), (283, down)):
        tags.tagtype[tag] = 12
        tags[tag] = value
    Image.fromarray(noise(9, 9, 3)).save(path, tiffinfo=tags)
    return path


@pytest.mark.parametrize("key", [*KEYS, "bmp"])
def test_no_resolution_is_infinite_or_too_large(key: str, tmp_path: Path) -> None:
    result = through(with_resolution(tmp_path / "a.tif", float("inf"), 72), tmp_path / "out", key=key)
    assert open_source(result).info.resolution is None
    huge = struct.pack(">IIB", 4_000_000_000, 4_000_000_000, 1)
    Image.fromarray(noise(9, 9, 3)).save(tmp_path / "a.png")
    for path in (with_chunk(tmp_path / "a.png", b"pHYs", huge), with_resolution(tmp_path / "b.tif", 1e300, 1e300)):
        found = open_source(through(path, tmp_path / "out", key=key)).info.resolution
        if key not in ("webp", "avif"):
            assert found is not None
            assert min(found) >= (65_535 if key == "jpeg" else 400_000)


def test_a_tiffs_own_words_are_kept(tmp_path: Path) -> None:
    words = ImageFileDirectory_v2()
    words[270], words[315], words[33432] = "A description", "An artist", "A copyright"
    Image.fromarray(noise(9, 9, 3)).save(tmp_path / "a.tif", tiffinfo=words)
    for key in ("tiff", "jpeg"):
        with Image.open(through(tmp_path / "a.tif", tmp_path / "out", key=key)) as image:
            found = image.getexif()
            assert (found[270], found[315], found[33432]) == ("A description", "An artist", "A copyright")


def test_large_tiffs_have_metadata_too(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aesop.upscaling.pictures.encoders._CLASSIC_TIFF", 0)
    result = through(photo, tmp_path, key="tiff", tag=TAG)
    assert result.read_bytes()[2] == 43
    with Image.open(result) as image:
        assert image.getexif()[0x10F] == "Maker"
        assert image.info["icc_profile"] == profile("p3")
        assert np.array_equal(np.asarray(image), repeated(open_source(photo).read()))
    assert tag_of(read_xmp(result)) == TAG


def resource(number: int, data: bytes, name: bytes = b"\0\0") -> bytes:
    """A Photoshop resource, as in a JPEG's APP13 segment."""
    return b"8BIM" + struct.pack(">H", number) + name + struct.pack(">I", len(data)) + data + bytes(len(data) % 2)


def with_segments(path: Path, *segments: tuple[int, bytes]) -> Path:
    """Insert segments after the first one of a JPEG."""
    data = path.read_bytes()
    place = 4 + int.from_bytes(data[4:6], "big")
    added = b"".join(struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body for kind, body in segments)
    path.write_bytes(data[:place] + added + data[place:])
    return path


def with_chunk(path: Path, kind: bytes, body: bytes, crc: int | None = None) -> Path:
    """Insert a chunk after the first one of a PNG, optionally with a wrong checksum."""
    data = path.read_bytes()
    crc = zlib.crc32(kind + body) if crc is None else crc
    path.write_bytes(data[:33] + struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", crc) + data[33:])
    return path


@pytest.fixture
def worded(tmp_path: Path) -> dict[str, Path]:
    """A PNG, a JPEG and a TIFF with every kind of text that is kept."""
    image = Image.fromarray(noise(9, 9, 3))
    texts = PngInfo()
    texts.add_text("parameters", "a prompt, Steps: 20")
    texts.add_text("Comment", "packed " * 50, zip=True)
    texts.add_itxt("Title", "\u00e9t\u00e9", "fr", "Titre")
    texts.add_itxt("Description", "packed too " * 50, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    texts.add(b"tEXt", b"Author\0after the pixels", after_idat=True)
    image.save(tmp_path / "a.png", pnginfo=texts)
    image.save(tmp_path / "a.jpg", comment=b"a comment \xff\xd9")
    parts = resource(0x040C, b"thumbnail"), resource(0x0404, IPTC, b"\3abc"), resource(0x040B, b"https://a.org")
    app13 = b"".join(parts)
    halves = (b"Photoshop 3.0\0" + half for half in (app13[:50], app13[50:]))
    with_segments(tmp_path / "a.jpg", *((0xED, half) for half in halves))
    tags = ImageFileDirectory_v2()
    tags[33723] = IPTC
    tags.tagtype[33723] = 7
    image.save(tmp_path / "a.tif", tiffinfo=tags)
    return {"png": tmp_path / "a.png", "jpeg": tmp_path / "a.jpg", "tiff": tmp_path / "a.tif"}


def chunks_of(path: Path) -> list[bytes]:
    """A PNG's text chunks except XMP, sorted."""
    data, place, found = path.read_bytes(), 8, []
    while place < len(data):
        size = 12 + int.from_bytes(data[place : place + 4], "big")
        chunk = data[place : place + size]
        if chunk[5:8] in (b"EXt", b"TXt") and b"XML:com" not in chunk:
            found.append(chunk)
        place += size
    return sorted(found)


def texts_of(path: Path) -> dict[str, Any]:
    """The texts except XMP that Pillow reads from a PNG, including those after the pixels."""
    image: Any = Image.open(path)
    with image:
        return {key: value for key, value in image.text.items() if key != "XML:com.adobe.xmp"}


def test_words_are_kept_in_files_of_their_format(worded: dict[str, Path], tmp_path: Path) -> None:
    png = through(worded["png"], tmp_path, tag=TAG)
    before, after = texts_of(worded["png"]), texts_of(png)
    assert before.keys() == {"parameters", "Comment", "Title", "Description", "Author"}
    assert before == after
    assert after["Title"].tkey == "Titre"
    assert chunks_of(png) == chunks_of(worded["png"])
    assert png.read_bytes().count(b"XML:com.adobe.xmp") == 1
    assert tag_of(read_xmp(png)) == TAG
    jpeg = through(worded["jpeg"], tmp_path, tag=TAG)
    with Image.open(jpeg) as image:
        assert image.info["comment"] == b"a comment \xff\xd9"
        assert image.info["photoshop"] == {0x0404: IPTC, 0x040B: b"https://a.org"}
        assert IptcImagePlugin.getiptcinfo(image) == {(2, 5): b"Title", (2, 80): b"Name"}
        assert np.asarray(image).shape == (18, 18, 3)
    tiff = through(worded["tiff"], tmp_path, tag=TAG)
    for path in (tiff, through(tiff, tmp_path / "again", tag=TAG)):
        with Image.open(path) as image:
            assert IptcImagePlugin.getiptcinfo(image) == {(2, 5): b"Title", (2, 80): b"Name"}
    image: Any = pyvips.Image.new_from_file(str(tiff))
    assert image.get("iptc-data").rstrip(b"\0") == IPTC


@pytest.mark.parametrize("key", [*KEYS, "bmp"])
def test_words_go_into_no_other_format_and_not_by_strip(key: str, worded: dict[str, Path], tmp_path: Path) -> None:
    for own, path in worded.items():
        result = through(path, tmp_path / "out", key=key, strip=own == key)
        with Image.open(result) as image:
            image.load()
            assert not getattr(image, "text", {}).keys() - {"XML:com.adobe.xmp"}
            assert {"comment", "photoshop"}.isdisjoint(image.info)
            assert IptcImagePlugin.getiptcinfo(image) is None
        assert (read_xmp(result) is None) == (own != "png" or key in ("png", "bmp"))


def test_huge_and_damaged_words_are_left_out_and_harm_nothing(worded: dict[str, Path], tmp_path: Path) -> None:
    whole = chunks_of(worded["png"])
    with_chunk(worded["png"], b"tEXt", b"huge\0" + b"x" * (1 << 20))
    with_chunk(worded["png"], b"tEXt", b"false sum\0", crc=1)
    for kind, body in ((b"tEXt", b"no end"), (b"tEXt", b"\0no key"), (b"zTXt", b"method\0\7abc"), (b"iTXt", b"")):
        with_chunk(worded["png"], kind, body)
    with_chunk(worded["png"], b"tEXt", b"Raw profile type exif\0\nexif\n 4\n45786966\n")
    assert chunks_of(through(worded["png"], tmp_path)) == whole
    with_segments(worded["jpeg"], *[(0xFE, b"c" * 65_000)] * 40)
    result = through(worded["jpeg"], tmp_path)
    assert result.stat().st_size < 1_100_000
    Image.fromarray(noise(9, 9, 3)).save(tmp_path / "b.jpg")
    body = b"Photoshop 3.0\0" + resource(0x0404, IPTC)
    for damaged in (body[:-3], body[:20], b"Photoshop 3.0\0", b"Photoshop 3.0\0" + b"\xff" * 99, b"", b"Adobe_CM\0"):
        plain = tmp_path / "c.jpg"
        plain.write_bytes((tmp_path / "b.jpg").read_bytes())
        with Image.open(through(with_segments(plain, (0xED, damaged)), tmp_path)) as image:
            assert "photoshop" not in image.info
    data = worded["jpeg"].read_bytes()
    for end in range(2, 200):
        (tmp_path / "d.jpg").write_bytes(data[:end])
        stored_notes(tmp_path / "d.jpg", "jpeg")


def test_exif_in_place() -> None:
    """The thumbnail is removed, sizes beyond 16 bits fit, and everything else stays byte for byte."""
    thumbnail = b"\xff\xd8secret\xff\xd9"
    for order in "<>":
        first = struct.pack(
            order + "HHHII HHIHH I", 2, 0x112, 3, 1, 6 if order == "<" else 6 << 16, 0x101, 3, 1, 7, 0, 38
        )
        second = struct.pack(order + "HHHII HHII I", 2, 0x201, 4, 1, 68, 0x202, 4, 1, len(thumbnail), 0)
        magic = b"II*\0" if order == "<" else b"MM\0*"
        data = magic + struct.pack(order + "I", 8) + first + second
        for tail in (b"", b"after"):
            result = corrected_exif(data + thumbnail + tail, 70_000, 9)
            assert result is not None
            loaded = Image.Exif()
            loaded.load(result)
            assert dict(loaded) == {0x112: 1, 0x101: 70_000}
            assert not loaded.get_ifd(1)
            assert b"secret" not in result
            assert result.endswith(tail)


def test_damaged_metadata_is_left_out_and_harms_nothing(tmp_path: Path) -> None:
    whole = exif().tobytes().removeprefix(b"Exif\0\0")
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole[: rng.integers(0, len(whole))])
        for place in rng.integers(0, max(len(damaged), 1), 5 if damaged else 0):
            damaged[place] = rng.integers(256)
        corrected_exif(bytes(damaged), 9, 9)
    assert corrected_exif(b"", 1, 1) is corrected_exif(b"no exif at all", 1, 1) is None
    for broken in (b"", b"<x", b"\xff\xfe", b"</rdf:RDF>"):
        assert tag_of(corrected_xmp(broken, 9, 9, TAG)) == TAG
        assert corrected_xmp(broken, 9, 9, None) == broken


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("size", [64_000, 70_000])
def test_what_does_not_fit_is_told_and_the_model_still_recorded(key: str, size: int, tmp_path: Path) -> None:
    made = exif()
    made[0x10E] = "x" * size
    info = PictureInfo("png", 9, 9, 3, exif=made.tobytes().removeprefix(b"Exif\0\0"), xmp=XMP + b" " * size)
    path, notes = tmp_path / "a", list[str]()
    with open_sink(path, info, key, tag=TAG, notes=notes) as write:
        write(noise(9, 9, 3))
    assert tag_of(read_xmp(path)) == TAG
    lost = {"jpeg": "EXIF and XMP", "avif": "EXIF"}.get(key) if size == 70_000 else None
    with Image.open(path) as image:
        image.load()
        assert (0x10E in image.getexif()) == (lost is None)
    assert (b"Rating" in (read_xmp(path) or b"")) == (key != "jpeg" or lost is None)
    name = "JPEG" if key == "jpeg" else "AVIF"
    expected = [f"{path}: {lost} of more than 64 kB left out, as {name} cannot hold it; PNG can."] if lost else []
    assert notes == expected


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_exif_never_stops_a_tiff(tmp_path: Path) -> None:
    """What Pillow cannot read or write of it is left out; the rest is kept."""
    made = exif()
    made[0x10E] = "words " * 9
    whole = made.tobytes().removeprefix(b"Exif\0\0")
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(400):
        damaged = bytearray(whole)
        for place in rng.integers(8, len(whole), 3):
            damaged[place] = rng.integers(256)
        if (corrected := corrected_exif(bytes(damaged), 9, 9)) is not None:
            file = BytesIO()
            Image.new("L", (9, 9)).save(file, "TIFF")
            add_to_tiff(file, Metadata(exif=corrected))
            with Image.open(file) as image:
                kept += image.getexif().get(0x10F) == "Maker"
    assert kept > 150


@pytest.mark.parametrize("part", HOSTILE_XMP)
def test_hostile_xmp_takes_no_time(part: bytes) -> None:
    """A megabyte; quadratic time would be minutes."""
    whole = part * (1_000_000 // len(part))
    for xmp in (
        whole,
        XMP[:99] + whole,
        whole + b"</xmp:Thumbnails>",
        TAG_BEGIN + whole + b"/>",
        b"tiff:Orientation>" + whole,
    ):
        began = time.process_time()
        corrected = corrected_xmp(xmp, 9, 9, TAG)
        assert tag_of(corrected) == TAG
        tag_of(xmp)
        assert time.process_time() - began < 1

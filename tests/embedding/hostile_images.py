"""A corpus of files that strangers could serve: bombs, lies, damage and files that are two things at once. All are made here."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

KINDS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF")


def hostile_images() -> dict[str, bytes]:
    """Name to file; the name says what is wrong. The same on every call, but for the time that an
    animated AVIF holds."""
    groups = (
        _cut,
        _flipped,
        _mislabelled,
        _polyglots,
        _png_lies,
        _png_bombs,
        _jpeg_lies,
        _gif_lies,
        _bmp_lies,
        _riff_lies,
        _avif_lies,
    )
    return {f"{group.__name__[1:]}/{name}": data for group in groups for name, data in group()}


def _picture(width: int = 90, height: int = 60, seed: int = 0) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def _animated(kind: str, frames: int = 4) -> bytes:
    pictures = [_picture(seed=n) for n in range(frames)]
    return _encoded(pictures[0], kind, save_all=True, append_images=pictures[1:], duration=20)


def _samples() -> Iterator[tuple[str, bytes]]:
    for kind in KINDS:
        yield kind, _encoded(_picture(), kind)
    for kind in ("PNG", "GIF", "WEBP", "AVIF"):
        yield f"{kind} animation", _animated(kind)
    yield "progressive JPEG", _encoded(_picture(), "JPEG", progressive=True)


def _cut() -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(1)
    for kind, data in _samples():
        for at in sorted(rng.integers(1, len(data) - 1, 3).tolist()):
            yield f"{kind} at {at} of {len(data)}", data[:at]


def _flipped() -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(2)
    for kind, data in _samples():
        for number in range(4):
            damaged = bytearray(data)
            for bit in rng.integers(0, 8 * len(data), 1 + 4 * number):
                damaged[bit // 8] ^= 1 << (bit % 8)
            yield f"{kind} {number}", bytes(damaged)


def _mislabelled() -> Iterator[tuple[str, bytes]]:
    marks = {
        "JPEG": b"\xff\xd8\xff\xe0",
        "PNG": b"\x89PNG\r\n\x1a\n",
        "GIF": b"GIF89a",
        "WEBP": b"RIFF\x20\0\0\0WEBPVP8 ",
        "BMP": b"BM",
    }
    marks |= {"AVIF": b"\0\0\0\x14ftypavif\0\0\0\0avif"}
    for kind, mark in marks.items():
        yield f"{kind} mark before a page", mark + b"<!doctype html><script>alert(1)</script>" * 3
        yield f"{kind} mark before another format", mark + _encoded(_picture(), "BMP" if kind == "PNG" else "PNG")
        yield f"{kind} mark alone", mark
    for kind in ("TIFF", "ICO", "PPM", "TGA", "PCX", "SGI", "DDS", "JPEG2000"):
        yield f"{kind} in full", _encoded(_picture(64, 64), kind)
    yield "nothing", b""
    yield "zeros", b"\0" * 5000
    yield "svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>"
    yield "eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) run\n"


def _polyglots() -> Iterator[tuple[str, bytes]]:
    jpeg, gif, png = (_encoded(_picture(), kind) for kind in ("JPEG", "GIF", "PNG"))
    yield "GIF and JavaScript", b"GIF89a/*" + gif[8:] + b"*/=1;alert(1)"
    yield "JPEG and ZIP", jpeg + b"PK\x03\x04" + bytes(200) + b"PK\x05\x06" + bytes(18)
    yield "PNG and ZIP", png + b"PK\x05\x06" + bytes(18)
    yield "PDF and JPEG", b"%PDF-1.7\n" + jpeg
    yield "JPEG with a page in a comment", jpeg[:2] + b"\xff\xfe\0\x22<script>alert(document)</script>" + jpeg[2:]
    yield "PNG and JPEG", png + jpeg
    yield "BMP and shell", _encoded(_picture(), "BMP") + b"\n#!/bin/sh\nrm -rf /\n"


def chunk(name: bytes, body: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colours: int = 2, interlaced: int = 0) -> bytes:
    """A PNG file around the chunks."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def _rows(width: int, height: int, bytes_per_pixel: float = 3) -> bytes:
    """Black, filtered and compressed, made without ever holding it whole."""
    packer, row = zlib.compressobj(9), b"\0" + bytes(int(np.ceil(width * bytes_per_pixel)))
    return b"".join([packer.compress(row * 16) for _ in range(-(-height // 16))]) + packer.flush()


def _png_lies() -> Iterator[tuple[str, bytes]]:
    pixels = chunk(b"IDAT", _rows(8, 8))
    yield "no width", png(0, 8, pixels)
    yield "no height", png(8, 0, pixels)
    yield "no data", png(8, 8)
    yield "empty data", png(8, 8, chunk(b"IDAT", b""))
    yield "empty chunks before data", png(8, 8, *[chunk(b"IDAT", b"")] * 500, pixels)
    yield "two headers", png(8, 8, chunk(b"IHDR", struct.pack(">IIBBBBB", 90000, 90000, 8, 2, 0, 0, 0)), pixels)
    yield "header of other length", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(5)) + pixels + chunk(b"IEND", b"")
    yield "too few rows", png(8, 80, pixels)
    yield "wrong checksum", png(8, 8, pixels[:-4] + b"\1\2\3\4")
    yield "wrong checksum of the header", png(8, 8, pixels).replace(b"\x08\x02\0\0\0", b"\x08\x02\0\0\1", 1)
    yield "palette without palette", png(8, 8, pixels, colours=3)
    yield "palette of odd length", png(8, 8, chunk(b"PLTE", bytes(7)), chunk(b"IDAT", _rows(8, 8, 1)), colours=3)
    yield (
        "palette of one, pixels of 255",
        png(8, 8, chunk(b"PLTE", bytes(3)), chunk(b"IDAT", zlib.compress((b"\0" + b"\xff" * 8) * 8)), colours=3),
    )
    yield "transparency of odd length", png(8, 8, chunk(b"tRNS", b"\1"), pixels)
    yield "impossible depth", png(8, 8, pixels, depth=7)
    yield "impossible colours", png(8, 8, pixels, colours=5)
    yield "chunk longer than the file", png(8, 8, pixels)[:40] + struct.pack(">I", 2**31 - 1) + b"IDAT" + bytes(50)
    frames = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    yield "two thousand million frames", png(8, 8, frames, pixels)
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 900, 900, 5, 5, 1, 1, 0, 0))
    yield "frame outside the canvas", png(8, 8, chunk(b"acTL", struct.pack(">II", 1, 0)), control, pixels)
    twice = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 9, 8, 8, 0, 0, 1, 1, 7, 7)) + chunk(b"fdAT", b"\0\0")
    yield "animation out of order", png(8, 8, chunk(b"acTL", struct.pack(">II", 2, 0)), pixels, twice)


def _png_bombs() -> Iterator[tuple[str, bytes]]:
    pixels = chunk(b"IDAT", _rows(8, 8))
    yield "30,000 x 30,000", png(30000, 30000, chunk(b"IDAT", _rows(30000, 30000, 1 / 8)), depth=1, colours=0)
    yield "strip of 50,000,000", png(1, 50_000_000, chunk(b"IDAT", bytes(50)), colours=0)
    yield "4000 x 3000", png(4000, 3000, chunk(b"IDAT", _rows(4000, 3000)))
    yield "4000 x 3000, 16 bits with alpha", png(4000, 3000, chunk(b"IDAT", _rows(4000, 3000, 8)), depth=16, colours=6)
    yield "4000 x 3000, 16 bits of grey", png(4000, 3000, chunk(b"IDAT", _rows(4000, 3000, 2)), depth=16, colours=0)
    yield "interlaced", png(4000, 3000, chunk(b"IDAT", _rows(5500, 3000)), interlaced=1)
    yield "far more data than rows", png(8, 8, chunk(b"IDAT", _rows(8000, 4000)))
    megabytes = zlib.compress(bytes(1_000_000), 9)
    yield "texts of 300 MB", png(8, 8, *[chunk(b"zTXt", b"a\0\0" + megabytes)] * 300, pixels)
    yield "a text of 100 MB", png(8, 8, chunk(b"iTXt", b"a\0\1\0\0\0" + _rows(10000, 10000, 1)), pixels)
    yield "profiles of 300 MB", png(8, 8, *[chunk(b"iCCP", b"a\0\0" + megabytes)] * 300, pixels)
    yield "a million chunks", png(8, 8, chunk(b"tEXt", b"") * 400_000, pixels)
    yield "EXIF that refers to itself", png(8, 8, chunk(b"eXIf", exif_bomb(4_000_000)), pixels)


def exif_bomb(size: int) -> bytes:
    """A directory each of whose entries claims half of the block: a parser that copies them needs thousands of times its size."""
    entries = min(65_000, size // 24)
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", entries)
    body = b"".join(struct.pack("<HHII", n, 7, size // 2, 10 + 12 * entries) for n in range(entries))
    return (head + body).ljust(size + size // 2, b"\0")


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def _jpeg_lies() -> Iterator[tuple[str, bytes]]:
    plain = _encoded(_picture(), "JPEG")
    size_at = plain.index(b"\xff\xc0") + 5
    yield "65,535 x 65,535", plain[:size_at] + b"\xff\xff\xff\xff" + plain[size_at + 4 :]
    yield "16,384 x 1,024 of a few pixels", plain[:size_at] + b"\x04\0\x40\0" + plain[size_at + 4 :]
    yield "no height", plain[:size_at] + b"\0\0" + plain[size_at + 2 :]
    yield "end marker in the middle", plain[: len(plain) * 2 // 3] + b"\xff\xd9"
    thumbnail = _segment(0xE1, b"Exif\0\0" + b"II*\0\x08\0\0\0\0\0" + plain)
    yield "cut, with a whole picture in EXIF", (plain[:2] + thumbnail + plain[2:])[: -len(plain) // 3]
    pieces = [exif_bomb(60_000)[n : n + 60_000] for n in range(0, 90_000, 60_000)]
    yield "EXIF that refers to itself", plain[:2] + b"".join(_segment(0xE1, b"Exif\0\0" + p) for p in pieces) + plain[2:]
    loop = b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<I", 8)
    yield "EXIF directories in a circle", plain[:2] + _segment(0xE1, b"Exif\0\0" + loop) + plain[2:]
    yield "a million comments", plain[:2] + b"\xff\xfe\0\2" * 1_000_000 + plain[2:]
    yield "fill bytes", plain[:2] + b"\xff" * 3_000_000 + b"\0" + plain[2:]
    yield "two frame headers", plain[:2] + plain[size_at - 5 : size_at + 12] + plain[2:]
    yield "no tables", b"\xff\xd8" + plain[size_at - 5 : size_at + 12] + plain[plain.index(b"\xff\xda") :]
    yield "segment of length 0", plain[:2] + b"\xff\xe5\0\0" + plain[2:]
    yield "progressive bomb of scans", progressive_bomb(100_000)
    yield "86 scans of 4000 x 3000", progressive_bomb(80)
    yield "12 bits", plain[: size_at - 1] + b"\x0c" + plain[size_at:]
    yield "five colours", plain[: size_at + 4] + b"\5" + plain[size_at + 5 :]


def progressive_bomb(scans: int) -> bytes:
    """Each scan costs a few bytes and one pass over 4000 x 3000 pixels of coefficients."""
    data = _encoded(Image.new("L", (4000, 3000), 90), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + b"\xff\xd9"


def gif_frame(left: int, top: int, width: int, height: int, data: bytes = b"\2\2\x44\1\0") -> bytes:
    """An image block."""
    return b"," + struct.pack("<HHHHB", left, top, width, height, 0) + data


def gif(width: int, height: int, *blocks: bytes) -> bytes:
    """A GIF file of two colours around the blocks."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + b"".join(blocks) + b";"


def _gif_lies() -> Iterator[tuple[str, bytes]]:
    small = gif_frame(0, 0, 1, 1)
    yield "100,000 frames without delay", gif(1, 1, small * 100_000)
    yield "199 frames of 4000 x 3000", gif(4000, 3000, small * 199)
    yield "canvas without pixels", gif(0, 0, gif_frame(0, 0, 0, 0))
    yield "frame without pixels", gif(4, 4, gif_frame(0, 0, 0, 0), small)
    yield "frame without pixels later", gif(4, 4, small, gif_frame(1, 1, 0, 2), small)
    yield "frame outside the canvas", gif(4, 4, small, gif_frame(60000, 60000, 5000, 5000))
    yield "frame a little outside the canvas", gif(4, 4, gif_frame(0, 0, 4, 4), gif_frame(3, 3, 4, 4))
    yield "no frames", gif(4, 4)
    yield "blocks of one byte", gif(9, 9, b"!\xfe" + b"\1a" * 1_500_000 + b"\0", small)
    yield "long comments", gif(9, 9, (b"!\xfe" + b"\xff" + bytes([65]) * 255 + b"\0") * 20_000, small)
    yield "code size 255", gif(4, 4, gif_frame(0, 0, 4, 4, b"\xff\2\x44\1\0"))
    yield "code size 0", gif(4, 4, gif_frame(0, 0, 4, 4, b"\0\2\x44\1\0"))
    yield "unknown block", gif(4, 4, small, b"\x99\x99")
    yield "zeros between blocks", gif(4, 4, b"\0" * 3_000_000, small)
    dispose = b"!\xf9\4" + bytes((7 << 2 | 1, 0, 0, 200)) + b"\0"
    yield "transparent colour that is not there", gif(4, 4, *[dispose + gif_frame(0, 0, 4, 4)] * 3)


def _bmp(width: int, height: int, bits: int = 24, compression: int = 0, colours: int = 0, body: bytes = b"") -> bytes:
    offset = 54 + 4 * min(colours, 256)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, colours & 0xFFFFFFFF, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, offset) + info + bytes(4 * min(colours, 256)) + body


def _bmp_lies() -> Iterator[tuple[str, bytes]]:
    yield "from top to bottom", _bmp(4, -4, body=bytes(48))
    yield "negative width", _bmp(-4, 4, body=bytes(48))
    yield "2,147,483,647 wide", _bmp(2**31 - 1, 1, body=bytes(48))
    yield "least height there is", _bmp(1, -(2**31), body=bytes(48))
    yield "size that overflows", _bmp(65536, 65536, 32, body=bytes(48))
    yield "no rows", _bmp(4, 4)
    yield "palette of four thousand million", _bmp(4, 4, 8, colours=2**32 - 1, body=bytes(48))
    yield "palette index outside", _bmp(4, 4, 8, colours=2, body=b"\xff" * 16)
    yield "run lengths beyond the row", _bmp(4, 4, 8, 1, 256, b"\xff\1" * 500)
    yield "run lengths that jump", _bmp(4000, 3000, 8, 1, 256, b"\0\2\xff\xff" * 500 + b"\0\1")
    yield "run lengths of one pixel rows", _bmp(4000, 3000, 8, 1, 256, b"\1\1\0\0" * 3000 + b"\0\1")
    yield "run lengths of nothing", _bmp(4000, 3000, 8, 1, 256, b"\0\0" * 200_000)
    yield "JPEG inside", _bmp(4, 4, 0, 4, body=_encoded(_picture(), "JPEG"))
    yield "unknown header", b"BM" + struct.pack("<IHHI", 0, 0, 0, 54) + struct.pack("<I", 2**31) + bytes(100)
    yield "masks that overlap", _bmp(4, 4, 32, 3, body=b"\xff" * 100)


def _riff_lies() -> Iterator[tuple[str, bytes]]:
    still, moving = _encoded(_picture(), "WEBP"), bytearray(_animated("WEBP"))
    canvas = moving.index(b"VP8X") + 12
    yield "canvas of 16,777,216 x 16,777,216", bytes(moving[:canvas] + b"\xff" * 6 + moving[canvas + 6 :])
    yield "canvas of 16,383 x 1,024", bytes(moving[:canvas] + b"\xfe\x3f\0\xff\3\0" + moving[canvas + 6 :])
    yield "canvas of 4,096 x 4,096", bytes(moving[:canvas] + b"\xff\x0f\0\xff\x0f\0" + moving[canvas + 6 :])
    yield "canvas smaller than its frames", bytes(moving[:canvas] + b"\1\0\0\1\0\0" + moving[canvas + 6 :])
    yield "length of four thousand million", still[:4] + b"\xff\xff\xff\xff" + still[8:]
    yield "length 0", still[:4] + bytes(4) + still[8:]
    yield "another RIFF", b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + bytes(28)
    yield "4000 x 3000", _encoded(Image.new("RGB", (4000, 3000), "red"), "WEBP", lossless=True, quality=0, method=0)
    frame = bytes(moving[moving.index(b"ANMF") :])
    frame = frame[: 8 + int.from_bytes(frame[4:8], "little")]
    crowd = bytes(moving[8:]) + frame * 5000
    yield "5,000 frames", b"RIFF" + struct.pack("<I", len(crowd)) + crowd
    odd = bytes(moving[:canvas]) + still
    yield "a file inside a file", odd[:4] + struct.pack("<I", len(odd) - 8) + odd[8:]


def _avif_lies() -> Iterator[tuple[str, bytes]]:
    bomb = exif_bomb(400_000)
    harmless = b"II*\0\x08\0\0\0".ljust(len(bomb), b"\0")
    whole = _encoded(_picture(), "AVIF", exif=harmless).replace(harmless, bomb)
    extent = whole.index(b"ispe") + 8
    yield "EXIF that refers to itself", whole
    yield "65,535 x 65,535", whole[:extent] + b"\0\0\xff\xff\0\0\xff\xff" + whole[extent + 8 :]
    yield "no width", whole[:extent] + bytes(4) + whole[extent + 4 :]
    yield "larger than its picture", whole[:extent] + b"\0\0\4\0\0\0\4\0" + whole[extent + 8 :]
    yield "box of length 3", whole[:20] + b"\0\0\0\3meta" + whole[28:]
    yield "boxes of four thousand million", whole[:24] + b"\xff\xff\xff\xff" + whole[28:]
    yield "no picture", whole[: whole.index(b"mdat") - 4] + b"\0\0\0\x08mdat"
    yield "hundred thousand empty boxes", whole + b"\0\0\0\x08free" * 100_000
    yield "another brand", whole.replace(b"avif", b"heic")
    yield "4000 x 3000", _encoded(Image.new("RGB", (4000, 3000), "red"), "AVIF", speed=10)

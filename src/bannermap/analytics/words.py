"""Words of an ad: from its text and from the host and path of its landing page, in any script.

Text is folded (NFKC, case) and cut where letters, marks and digits end. Scripts that are written without spaces are cut into
overlapping pairs of characters, a mark counting with the character that it stands on: a plain stand-in for the dictionaries
that word boundaries need there (Unicode Standard Annex 29, section 4). No word is known by name: there are no lists of brands
or stop words.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from urllib.parse import unquote, urlsplit

import pyarrow as pa

MAX_CHARACTERS = 30
"""Of a word; longer ones are ids, hashes or several words that nothing separates."""
MAX_DIGITS = 3
"""Of a word: more are numbers of articles, orders, telephones."""
UNSPACED = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x19E0, 0x19FF)),  # Thai, Lao, Myanmar, Khmer
    *((0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3040, 0x312F), (0x31A0, 0x31BF)),  # Han radicals, kana, bopomofo
    *((0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA9E0, 0xA9FF)),  # kana, Han, Myanmar
    *((0xAA60, 0xAA7F), (0xF900, 0xFAFF), (0x1AFF0, 0x1B16F), (0x20000, 0x3FFFF)),  # Myanmar, Han, kana, Han
)
"""First and last code point of blocks that are written without spaces, ascending. Hangul has spaces."""
_STARTS = [first for first, _ in UNSPACED]
PERSONAL = re.compile(r"\S+@\S+|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
"""Addresses of people, and ids that their hyphens would cut into harmless pieces."""


def ad_words(text: str | None, landing_url: str | None, picture_text: str | None = None) -> list[str]:
    """The distinct words of an ad, sorted.

    Args:
        text: of the ad, or null.
        landing_url: where a click leads, or null; its query, fragment, port and user are left out.
        picture_text: read from its picture, or null.
    """
    found = {word for part in (text, picture_text) if part for word in words(part)}
    return sorted(found | {word for part in url_parts(landing_url or "") for word in words(part)})


def words(text: str) -> Iterator[str]:
    """The words of a text in order, without those that look like ids, numbers or addresses of people."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", PERSONAL.sub(" ", text)).casefold())
    for run in _runs().findall(PERSONAL.sub(" ", folded)):
        for piece, unspaced in _pieces(run):
            yield from _pairs(piece) if unspaced else [piece] if _is_telling(piece) else []


def url_parts(url: str) -> list[str]:
    """Host and path of an address as text, each label and segment by itself; nothing where it cannot be read."""
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        host = unquote(parts.hostname or "", errors="replace")
    except ValueError:
        return []
    labels = [_unicode_label(label) for label in host.split(".")]
    segments = [unquote(segment, errors="replace") for segment in parts.path.split("/")]
    return [part for part in (*labels, *segments) if part and "\ufffd" not in part and not _is_an_id(part)]


def _unicode_label(label: str) -> str:
    try:
        return label.encode("ascii").decode("idna")
    except UnicodeError:
        return label


def _is_an_id(segment: str) -> bool:
    """Whether a label or segment as a whole is a key: its pieces would look like words."""
    dense = re.sub(r"[-_.~]", "", segment)
    mixed = any(c.isdigit() for c in dense) and any(c.isalpha() for c in dense)
    return len(dense) >= 16 and dense.isascii() and mixed and sum(c.isdigit() for c in dense) * 5 >= len(dense)


def _is_telling(word: str) -> bool:
    """Whether a word of a script with spaces can be a tag: two to `MAX_CHARACTERS` characters, some letter, few digits."""
    digits = sum(c.isdigit() for c in word)
    hexadecimal = len(word) >= 6 and digits > 0 and re.fullmatch("[0-9a-f]+", word)
    letters = sum(unicodedata.category(c)[0] == "L" for c in word)
    return letters > 0 and 2 <= len(word) <= MAX_CHARACTERS and digits <= MAX_DIGITS and not hexadecimal


@functools.cache
def _runs() -> re.Pattern[str]:
    """A letter or digit with the letters, digits and marks that follow; marks are no part of re's own word characters."""
    every = map(chr, range(sys.maxunicode + 1))
    classes = [0 if c[0] in "LN" else 1 if c[0] == "M" else 2 for c in map(unicodedata.category, every)]
    marks = _ranges([code for code, kind in enumerate(classes) if kind == 1])
    return re.compile(rf"[^\W_](?:[^\W_]|[{marks}])*")


def _ranges(codes: list[int]) -> str:
    """Ascending code points as the inside of a character class."""
    starts = [c for i, c in enumerate(codes) if i == 0 or codes[i - 1] != c - 1]
    ends = [c for i, c in enumerate(codes) if i + 1 == len(codes) or codes[i + 1] != c + 1]
    return "".join(f"\\U{a:08x}-\\U{b:08x}" for a, b in zip(starts, ends, strict=True))


def _is_unspaced(character: str) -> bool:
    at = bisect.bisect_right(_STARTS, ord(character)) - 1
    return at >= 0 and ord(character) <= UNSPACED[at][1]


def _pieces(run: str) -> Iterator[tuple[str, bool]]:
    """A run cut where scripts with and without spaces meet; marks stay with what they stand on."""
    start, kind = 0, _is_unspaced(run[0])
    for at, character in enumerate(run):
        if unicodedata.category(character)[0] != "M" and _is_unspaced(character) != kind:
            yield run[start:at], kind
            start, kind = at, not kind
    yield run[start:], kind


def _pairs(run: str) -> list[str]:
    """Overlapping pairs of characters with their marks; a single character is itself."""
    characters: list[str] = []
    for character in run:
        if unicodedata.category(character)[0] == "M" and characters:
            characters[-1] += character
        else:
            characters.append(character)
    if all(c[0].isdigit() for c in characters):
        return []
    return [a + b for a, b in itertools.pairwise(characters)] or characters


def worded_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches of cluster_id, advertiser_id and words from cluster_id, advertiser_id, text, landing_url and picture_text."""
    for batch in batches:
        texts = (batch.column(c).to_pylist() for c in ("text", "landing_url", "picture_text"))
        found = pa.array([ad_words(*ad) for ad in zip(*texts, strict=True)], pa.list_(pa.string()))
        names = ["cluster_id", "advertiser_id"]
        yield pa.RecordBatch.from_arrays([*(batch.column(c) for c in names), found], [*names, "words"])

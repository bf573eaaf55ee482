"""The pictures that strategies are compared on, how they are sampled and what is held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from bannermap.lab.models import Sizes

STRATA = ("day", "advertiser", "size")


@dataclass(frozen=True)
class Pictures:
    """Pictures with what is known of them; every array has n entries.

    Attributes:
        names: object, distinct strings.
        vectors: float32 (n, d), unit rows.
        advertisers: object, strings, "" where none is known.
        days: int64, day first seen, days since 1970; 0 where it is not known.
        widths: int64, pixels, 0 where not known.
        heights: int64, pixels.
        truth: object, strings of a given class, "" where none is given.
    """

    names: np.ndarray
    vectors: np.ndarray
    advertisers: np.ndarray
    days: np.ndarray
    widths: np.ndarray
    heights: np.ndarray
    truth: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def of(self, rows: np.ndarray) -> Pictures:
        """Some of them."""
        return Pictures(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def digest(self) -> str:
        """32 hexadecimal digits, of all that there is of each, in this order."""
        result = hashlib.blake2b(digest_size=16)
        for field in fields(self):
            values = getattr(self, field.name)
            plain = json.dumps(values.tolist()).encode() if values.dtype == object else np.ascontiguousarray(values).tobytes()
            result.update(plain)
        return result.hexdigest()

    @property
    def sizes(self) -> Sizes:
        """As strategies take them."""
        return Sizes(self.widths, self.heights)


def stratified(pictures: Pictures, strata: Sequence[str], rows: int, always: np.ndarray, seed: int) -> np.ndarray:
    """Rows of a sample: those that have to be in it, and of each stratum its share of the rest.

    Strata get their numbers by systematic sampling (Madow and Madow 1944): they lie one after the other, and every (rest /
    wanted)-th place counts, from a drawn start. So a stratum gets its share rounded down or up, and so does each value of the
    first fact, since its strata lie together. Over starts every picture is as likely, so values of the other facts miss their
    shares by chance alone, however small the strata are. Within a stratum a picture is drawn by a hash of its name and the seed:
    a sample does not depend on the order of the pictures.

    Args:
        pictures: all.
        strata: which facts make a stratum, of `STRATA`; size is width and height in pixels; none: one stratum.
        rows: wanted; all where there are fewer, and more only where more have to be in it.
        always: int64, rows that have to be.
        seed: of the draw, 0 or more.

    Returns:
        int64, ascending.
    """
    if len(pictures) <= rows:
        return np.arange(len(pictures))
    fixed = np.unique(always)
    rest = np.setdiff1d(np.arange(len(pictures)), fixed)
    among, draw = pictures.of(rest), np.random.default_rng(seed)
    stratum = _strata_in_line(among, strata, draw)
    order = np.lexsort((_draw_keys(among.names, seed), stratum))
    sizes = np.bincount(stratum)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    shares = _systematic_shares(sizes, max(0, rows - len(fixed)), draw)
    return np.sort(np.concatenate([fixed, rest[order[rank < shares[stratum[order]]]]]))


def held_out(pictures: Pictures, share: float, by: str, seed: int) -> np.ndarray:
    """bool (n,): pictures that no fit may see.

    Args:
        pictures: all.
        share: 0 to 1, of the pictures.
        by: banner: drawn by a hash of the name; day: those first seen last, whole days, at most so many.
        seed: of the draw.
    """
    count = int(len(pictures) * share)
    if by == "banner":
        result = np.zeros(len(pictures), bool)
        result[np.argsort(_draw_keys(pictures.names, seed + 1), kind="stable")[:count]] = True
        return result
    days, number = np.unique(pictures.days, return_counts=True)
    after = np.cumsum(number[::-1])[::-1]  # pictures of a day and all later ones
    return np.isin(pictures.days, days[after <= count])


def _strata_in_line(pictures: Pictures, strata: Sequence[str], draw: np.random.Generator) -> np.ndarray:
    """int64 (n,): the place of each picture's stratum, 0 upwards without gaps.

    Strata that share their first facts lie together, and those of one group lie in a drawn order: in a fixed one every n-th place
    could be the same advertiser's on each day.
    """
    facts = {
        "day": lambda: [pictures.days],
        "advertiser": lambda: [pictures.advertisers.astype(str)],
        "size": lambda: [pictures.widths, pictures.heights],
    }
    place = np.zeros(len(pictures), np.int64)
    for values in (column for fact in strata for column in facts[fact]()):
        _, code = np.unique(values, return_inverse=True)
        span = int(code.max(initial=0)) + 1
        groups, member = np.unique(place * span + code, return_inverse=True)
        line = np.lexsort((draw.random(len(groups)), groups // span))
        place = np.argsort(line)[member]
    return place


def _systematic_shares(sizes: np.ndarray, wanted: int, draw: np.random.Generator) -> np.ndarray:
    """int64 (s,): pictures of each stratum; of any strata that lie together the share of all of them, rounded down or up.

    Args:
        sizes: int64 (s,), of strata, as they lie.
        wanted: 0 to their sum; that of the result.
        draw: of the start.
    """
    rows = max(int(sizes.sum()), 1)
    passed = (np.cumsum(sizes) * wanted + draw.integers(rows)) // rows  # whole numbers, so no sum is rounded
    return np.diff(passed, prepend=0)


def _draw_keys(names: np.ndarray, seed: int) -> np.ndarray:
    key = str(seed).encode()
    hashes = [int.from_bytes(hashlib.blake2b(str(n).encode(), digest_size=8, key=key).digest(), "little") for n in names]
    return np.array(hashes, np.uint64)  # by itself numpy makes floats of them, and near ones equal

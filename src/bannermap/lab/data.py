"""The pictures that strategies are compared on, how they are sampled and what is held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from bannermap.lab.models import Sizes
from bannermap.lab.projection import aspect_buckets

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

    @property
    def sizes(self) -> Sizes:
        """As strategies take them."""
        return Sizes(self.widths, self.heights)


def stratified(pictures: Pictures, strata: Sequence[str], rows: int, always: np.ndarray, seed: int) -> np.ndarray:
    """Rows of a sample: those that have to be in it, and of each stratum its share of the rest.

    Shares are rounded by the largest remainder (Hamilton), so their sum is exact; within a stratum a picture is drawn by a
    hash of its name and the seed, so a sample does not depend on the order of the pictures.

    Args:
        pictures: all.
        strata: which facts make a stratum, of `STRATA`; none: one stratum.
        rows: wanted; all where there are fewer, and more only where more have to be in it.
        always: int64, rows that have to be.
        seed: of the draw.

    Returns:
        int64, ascending.
    """
    if len(pictures) <= rows:
        return np.arange(len(pictures))
    fixed = np.unique(always)
    rest = np.setdiff1d(np.arange(len(pictures)), fixed)
    wanted = max(0, rows - len(fixed))
    _, stratum = np.unique(_stratum_keys(pictures, strata)[rest], axis=0, return_inverse=True)
    stratum = stratum.ravel()
    order = np.lexsort((_draw_keys(pictures.names[rest], seed), stratum))
    sizes = np.bincount(stratum)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    taken = rest[order[rank < _shares(sizes, wanted)[stratum[order]]]]
    return np.sort(np.concatenate([fixed, taken]))


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


def _stratum_keys(pictures: Pictures, strata: Sequence[str]) -> np.ndarray:
    facts = {
        "day": lambda: pictures.days,
        "advertiser": lambda: np.unique(pictures.advertisers.astype(str), return_inverse=True)[1],
        "size": lambda: aspect_buckets(pictures.widths, pictures.heights),
    }
    columns = [facts[s]() for s in strata] or [np.zeros(len(pictures), np.int64)]
    return np.stack(columns, axis=1).astype(np.int64)


def _shares(sizes: np.ndarray, wanted: int) -> np.ndarray:
    """int64: of each stratum, so that they add up to what is wanted."""
    exact = sizes * min(wanted, int(sizes.sum())) / max(int(sizes.sum()), 1)
    given = np.floor(exact).astype(np.int64)
    missing = round(float(exact.sum())) - int(given.sum())
    given[np.argsort(-(exact - given), kind="stable")[:missing]] += 1
    return given


def _draw_keys(names: np.ndarray, seed: int) -> np.ndarray:
    import hashlib

    key = str(seed).encode()
    return np.array([int.from_bytes(hashlib.blake2b(str(n).encode(), digest_size=8, key=key).digest(), "little") for n in names])

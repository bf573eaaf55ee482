"""Hashes of rows in any order, from sums that add up over parts of a table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class RowSums:
    """A multiset of rows as sums of 64-bit hashes of its rows.

    Attributes:
        rows: how many.
        lanes: one sum per hash function, exact: Python's integers, since a sum over 10^10 rows has 29 digits.
    """

    rows: int = 0
    lanes: tuple[int, ...] = ()

    def __add__(self, other: RowSums) -> RowSums:
        if not (self.rows and other.rows):
            return self if self.rows else other
        return RowSums(self.rows + other.rows, tuple(a + b for a, b in zip(self.lanes, other.lanes, strict=True)))

    def digest(self) -> str:
        """Sha256 of the sums, hexadecimal."""
        return sha256_of([str(self.rows), *map(str, self.lanes if self.rows else ())])


def sha256_of(texts: Iterable[str]) -> str:
    """Sha256 of texts, a line each, hexadecimal."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()

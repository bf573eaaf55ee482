"""The rule by which a new picture joins a cluster of a stored clustering, and the exact search that it needs.

A banner that the clustering has with the same picture keeps what the clustering says of it, and so does one that shows the pixels
of any picture of the clustering: these were judged with all others in view. Any other picture is compared with all pictures that
are in a cluster. It joins the cluster of the most similar one if their cosine reaches that cluster's threshold, the cosine of the
cut that made it; else it joins none.

Why so:

- A cluster is what one cut leaves connected, so one link as strong as the cut is what every member has. A banner joins by the
  same test; a fixed cosine would be too loose for tight clusters and too tight for loose ones.
- A picture in no cluster that is nearer does not stand in the way: in a connected component no link takes another's place. Were
  the clustering made anew, the new picture would rather bring that one in. That is for the next clustering to say.
- A nearer picture of a *tighter* cluster does stand in the way of a looser one. What misses a cut is an outlier of that cut, and
  a straggler of one cluster should not be counted under another that it resembles less.
- Nothing is learned from one new picture for the next: each is judged against the stored clustering alone, so the answer does
  not depend on which others come with it, nor in which order. Two equal newcomers far from all clusters make no new one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bannermap.clustering.neighbours import make_block, search_block

MEMBER, SAME_PICTURE, NEAREST_PICTURE = "member", "same_picture", "nearest_picture"
TOO_FAR, NO_VECTOR = "too_far", "no_vector"
FAULTS = ("other_dimensions", "not_finite", "zero_vector")
"""Of stored vectors that cannot be compared, see `transforms.vector_faults`."""
REASONS = (MEMBER, SAME_PICTURE, NEAREST_PICTURE, TOO_FAR, NO_VECTOR, *FAULTS)


@dataclass(frozen=True)
class Nearest:
    """The most similar picture of each of m queries among those seen so far; the smaller id on a tie.

    Attributes:
        ids: object (m,), strings; None where none was seen.
        cosines: float32 (m,), see `scores.pair_cosines`; -inf where none was seen.
    """

    ids: np.ndarray
    cosines: np.ndarray

    @classmethod
    def none(cls, queries: int) -> Nearest:
        """Before any was seen."""
        return cls(np.full(queries, None, object), np.full(queries, -np.inf, np.float32))


def nearest_in(queries: np.ndarray, ids: np.ndarray, vectors: np.ndarray) -> Nearest:
    """The most similar of some pictures, exact.

    Args:
        queries: float32 (m, d), unit rows.
        ids: object (n,), distinct strings, at least one.
        vectors: float32 (n, d), unit rows.
    """
    order = np.argsort(ids)  # numbers in the order of the ids, so that ties between numbers are ties between ids
    block = make_block(vectors, np.argsort(order))
    best = search_block(queries, -1 - np.arange(len(queries)), block, 1)  # below 0: a query is none of the candidates
    row = -1 - best.src
    result = Nearest.none(len(queries))
    result.ids[row], result.cosines[row] = ids[order][best.dst], best.cosine
    return result


def nearer(one: Nearest, other: Nearest) -> Nearest:
    """The better of two answers to the same queries, whichever comes first."""
    better = other.cosines > one.cosines
    for row in np.flatnonzero((other.cosines == one.cosines) & (other.cosines > -np.inf)):
        better[row] = other.ids[row] < one.ids[row]
    return Nearest(np.where(better, other.ids, one.ids), np.where(better, other.cosines, one.cosines))

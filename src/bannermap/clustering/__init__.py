"""Clustering: the exact recursive partition of a neighbour graph of unit vectors.

The mathematics lies in pure modules, each one step: `neighbours` (top-k lists), `forest` (maximum spanning forest),
`hierarchy` (every threshold's components as runs of one order), `cohesion` (order-free sums), `recursion` (which cut is
taken), `medoids`. `in_process` runs them on arrays; `transforms` and `job` run the same functions on Spark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bannermap.clustering.in_process import cluster_vectors

__all__ = ["cluster_vectors"]


def __getattr__(name: str) -> Any:
    """`cluster_vectors` on first use: it needs faiss and numba, which an import of the package should not load."""
    if name != "cluster_vectors":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bannermap.clustering.in_process import cluster_vectors

    return cluster_vectors

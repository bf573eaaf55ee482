"""Random sets of unit vectors of the kinds that break clusterings."""

from __future__ import annotations

import numpy as np


def unit(matrix) -> np.ndarray:
    matrix = np.asarray(matrix, np.float64)
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def nested_groups(rng, n, d=12):
    """Groups of groups: loose themes, tighter campaigns, tight creatives."""
    themes = rng.normal(size=(max(2, n // 120), d))
    campaigns = themes[rng.integers(len(themes), size=max(4, n // 25))]
    campaigns = campaigns + 0.5 * rng.normal(size=campaigns.shape)
    rows = campaigns[rng.integers(len(campaigns), size=n)]
    return unit(rows + rng.choice([0.05, 0.15, 0.4], size=(n, 1)) * rng.normal(size=rows.shape))


def giant_with_stragglers(rng, n, d=16):
    """One chain of clean groups held together by bridges, and a straggler."""
    groups = max(2, n // 25)
    walk = np.cumsum(0.35 * rng.normal(size=(groups, d)), axis=0) + 2.0
    rows = np.repeat(walk, 25, axis=0)[:n]
    rows = rows + 0.08 * rng.normal(size=rows.shape)
    rows[-1] = rows[0] + 0.9 * rng.normal(size=d)
    return unit(rows)


def many_ties(rng, n, d=6):
    """Small whole numbers: many equal cosines, many equal vectors."""
    rows = rng.integers(0, 3, size=(n, d)).astype(float)
    rows[rows.sum(axis=1) == 0] = 1.0
    return unit(rows)


def duplicates(rng, n, d=8):
    """A few vectors repeated often, more than k times each, among noise."""
    kinds = rng.normal(size=(max(1, n // 60), d))
    rows = np.where(rng.random((n, 1)) < 0.8, kinds[rng.integers(len(kinds), size=n)], rng.normal(size=(n, d)))
    return unit(rows)


def all_outliers(rng, n, d=None):
    """Nothing near anything: an orthogonal frame."""
    return np.eye(n, d or n, dtype=np.float32)


def one_cluster(rng, n, d=10):
    """Everything together."""
    return unit(np.ones((n, d)) + 0.02 * rng.normal(size=(n, d)))


def negative_cohesion(rng, n, d=3):
    """A ring: neighbours are close, the whole is opposed to itself."""
    angle = 2 * np.pi * np.arange(n) / n
    return unit(np.c_[np.cos(angle), np.sin(angle), 0.01 * rng.normal(size=(n, d - 2))])


def noise(rng, n, d=5):
    """Few dimensions, no structure: one component at the start, dust later."""
    return unit(rng.normal(size=(n, d)))


KINDS = (nested_groups, giant_with_stragglers, many_ties, duplicates, all_outliers, one_cluster, negative_cohesion, noise)

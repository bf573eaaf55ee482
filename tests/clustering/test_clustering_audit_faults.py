"""The audit against injected faults: 200 faulty searches of 100,000 pictures and 200 clean ones.

Each recall fault is the least one that takes 2 points of the edges' recall, counted over all edges and not over a sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from worlds import nested_groups, unit

from bannermap.clustering.audit import audited
from bannermap.clustering.auditing import check_recall
from bannermap.clustering.cells import cell_block, learn_cells, nearest_cells
from bannermap.clustering.in_process import all_neighbours
from bannermap.clustering.neighbours import NeighbourLists
from bannermap.platform.errors import QualityError
from bannermap.platform.settings import ClusteringSettings

pytestmark = pytest.mark.slow
NODES, DIMENSIONS, RUNS = 100_000, 32, 200
SETTINGS = ClusteringSettings()
DROP = 0.02
FAULTS = ("rows at random", "lists of pictures", "pictures", "cells", "wrong scores")


@dataclass(frozen=True)
class Search:
    """A search by cells, as rows of the exact lists that it has; what it has instead of the others no audit looks at.

    Attributes:
        home: int64 (n,), cell of each node.
        has: bool (r,), by row of the exact lists.
    """

    home: np.ndarray
    has: np.ndarray


@dataclass(frozen=True)
class World:
    """Exact lists of all nodes, and searches of them.

    Attributes:
        lists: r rows.
        back: int64 (r,), row of the reversed pair, -1 where the other end does not list it.
        is_edge: bool (r,), at or above the first threshold.
        searches: clean.
    """

    lists: NeighbourLists
    back: np.ndarray
    is_edge: np.ndarray
    searches: tuple[Search, ...]

    def edge_keys(self, search: Search, keys: np.ndarray) -> np.ndarray:
        """float64 (edges,): an edge is lost with the rows of keys below its own; -1 for one that the search has not."""
        held = np.where(search.has, keys, -1.0)
        return np.where(self.back >= 0, np.maximum(held, held[self.back]), held)[self.is_edge]


def by_cells(vectors: np.ndarray, lists: NeighbourLists, probes: int, seed: int) -> Search:
    """A row is found exactly if its dst lives in a cell that its src asks."""
    sample = vectors[np.random.default_rng(seed).permutation(NODES)[:20_000]]
    asked = nearest_cells(vectors, cell_block(learn_cells(sample, NODES // 1024, seed)), probes)
    has = np.zeros(len(lists.src), np.bool_)
    for cell in asked.T:
        has |= cell[lists.src] == asked[lists.dst, 0]
    return Search(asked[:, 0], has)


@pytest.fixture(scope="module")
def world() -> World:
    rng = np.random.default_rng(12)
    alone = unit(rng.normal(size=(NODES // 10, DIMENSIONS)))
    vectors = rng.permutation(np.r_[nested_groups(rng, NODES - len(alone), DIMENSIONS), alone])
    lists = all_neighbours(vectors, SETTINGS)
    pairs, reversed_pairs = lists.src * NODES + lists.dst, lists.dst * NODES + lists.src
    order = np.argsort(pairs)
    at = order[np.searchsorted(pairs, reversed_pairs, sorter=order).clip(max=len(order) - 1)]
    searches = tuple(by_cells(vectors, lists, probes, seed) for seed, probes in enumerate((12, 16, 20, 100)))
    return World(lists, np.where(pairs[at] == reversed_pairs, at, -1), lists.cosine >= SETTINGS.initial_threshold, searches)


def is_refused(world: World, search: Search, has: np.ndarray, cosine: np.ndarray, rng: np.random.Generator) -> bool:
    """Audit what is left of a search, on a fresh sample of the default size."""
    sample = np.sort(rng.permutation(NODES)[: SETTINGS.audit.sample_rows])
    inside = np.zeros(NODES, np.bool_)
    inside[sample] = True
    lists = world.lists
    mine, near = np.flatnonzero(inside[lists.src]), np.flatnonzero((inside[lists.src] | inside[lists.dst]) & has)
    exact = NeighbourLists(lists.src[mine], lists.dst[mine], lists.cosine[mine])
    found = NeighbourLists(lists.src[near], lists.dst[near], cosine[near])
    try:
        check_recall(audited(exact, found, sample, np.zeros(NODES, int), SETTINGS.initial_threshold, search.home), SETTINGS)
    except QualityError:
        return True
    return False


def fault_keys(kind: str, world: World, search: Search, rng: np.random.Generator) -> np.ndarray:
    """float64 (r,): rows are lost in ascending order; those that go together have one key."""
    src, dst = world.lists.src, world.lists.dst
    if kind == "rows at random":
        return rng.random(len(src))
    if kind == "lists of pictures":
        return rng.random(NODES)[src]
    if kind == "pictures":
        of = rng.random(NODES)
        return np.minimum(of[src], of[dst])
    of = rng.random(search.home.max() + 1)
    return np.minimum(of[search.home[src]], of[search.home[dst]])


def damaged(world: World, search: Search, keys: np.ndarray) -> np.ndarray:
    """bool (r,): rows that are left when the edges' recall has fallen by `DROP` or, where rows go together, just more."""
    edges = np.sort(world.edge_keys(search, keys))
    lost = int(np.ceil((edges < 0).sum() + DROP * len(edges)))
    bound = edges[lost - 1]
    assert (edges > bound).mean() <= (edges >= 0).mean() - DROP
    return search.has & (keys > bound)


def test_clean_searches_are_worth_their_name(world):
    recalls = [(world.edge_keys(search, np.ones(len(world.back))) >= 0).mean() for search in world.searches]
    assert min(recalls) > 0.995
    assert recalls[0] < recalls[-1] == 1.0


def recall_fault(kind: str, world: World, search: Search, rng: np.random.Generator) -> bool:
    """Whether the least fault of a kind that takes two points is refused."""
    return is_refused(world, search, damaged(world, search, fault_keys(kind, world, search, rng)), world.lists.cosine, rng)


def wrong_scores(world: World, search: Search, rng: np.random.Generator) -> bool:
    """Whether it is refused that one row in a thousand has another score, by one bit: far less than two points."""
    cosine = world.lists.cosine
    wrong = np.where(rng.random(len(cosine)) < 0.001, np.nextafter(cosine, np.float32(1.0)), cosine)
    return is_refused(world, search, search.has, wrong, rng)


def test_at_most_two_of_two_hundred_faults_are_missed(world):
    rng, missed = np.random.default_rng(5), []
    for number in range(RUNS):
        kind, search = FAULTS[number % len(FAULTS)], world.searches[number // len(FAULTS) % len(world.searches)]
        caught = wrong_scores(world, search, rng) if kind == "wrong scores" else recall_fault(kind, world, search, rng)
        missed += [] if caught else [kind]
    assert len(missed) <= 2, missed


def test_at_most_two_of_two_hundred_clean_searches_are_refused(world):
    rng = np.random.default_rng(3)
    searches = [world.searches[number % len(world.searches)] for number in range(RUNS)]
    assert sum(is_refused(world, search, search.has, world.lists.cosine, rng) for search in searches) <= 2

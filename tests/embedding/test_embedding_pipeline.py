"""Work side by side: every piece once, never more than there is room for, and an end that is prompt."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bannermap.embedding.pipeline import Room, SideBySide

DEADLINE_S = 20.0
"""Generous: what ends does so in milliseconds, what hangs never."""


class Source:
    """An input that tells how much of it is in use, and whether it was closed."""

    def __init__(self, weights):
        self.weights, self.used = list(weights), set()
        self.given, self.most, self.heaviest = 0, 0, 0
        self.closed = threading.Event()

    def __iter__(self):
        try:
            for piece in enumerate(self.weights):
                self.given += 1
                yield piece
                # The feeder is back for the next one, so all until here have been let in.
                used = frozenset(self.used)
                held = [weight for number, weight in enumerate(self.weights[: self.given]) if number not in used]
                self.most, self.heaviest = max(self.most, len(held)), max(self.heaviest, sum(held))
        finally:
            self.closed.set()


def side_by_side(source, work, threads=2, items=6, weight=100):
    return SideBySide(iter(source), work, threads, Room(items, weight), lambda piece: piece[1])


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.integers(0, 60), max_size=60),
    threads=st.integers(1, 5),
    batch=st.tuples(st.integers(1, 7), st.integers(1, 80)),
    more=st.tuples(st.integers(0, 9), st.integers(0, 90)),
)
def test_every_result_comes_once_and_never_more_is_held_than_there_is_room(weights, threads, batch, more):
    source, room = Source(weights), (batch[0] + more[0], batch[1] + more[1])
    found = []
    for results in side_by_side(source, lambda piece: piece, threads, *room).batches(*batch):
        found.append(results)
        source.used = source.used | {number for number, _ in results}
    assert Counter(itertools.chain(*found)) == Counter(enumerate(weights))
    assert source.most <= room[0]
    assert source.heaviest < room[1] + max([1, *weights])
    for results in found[:-1]:
        assert len(results) == batch[0] or sum(w for _, w in results) >= batch[1]
    for results in found:
        assert len(results) <= batch[0] and sum(w for _, w in results[:-1]) < batch[1]


def test_the_input_waits_for_a_consumer_that_is_slow():
    source = Source([1] * 50)
    batches = side_by_side(source, lambda piece: piece, items=6).batches(3, 100)
    next(batches)
    time.sleep(0.2)
    assert source.given <= 6 + 1  # one more is in the feeder's hand
    assert sum(map(len, batches)) == 47


def test_a_room_that_is_smaller_than_a_batch_is_refused():
    for batch in ((7, 100), (6, 101)):
        with pytest.raises(ValueError, match="room"):
            next(side_by_side(Source([1]), lambda piece: piece).batches(*batch))


class Odd(Exception):
    pass


@pytest.mark.parametrize("bad", [0, 5, 49])
def test_an_exception_of_the_work_ends_the_iteration_and_the_input(bad):
    def work(piece):
        if piece[0] == bad:
            raise Odd
        return piece

    source = Source([1] * 50)
    with pytest.raises(Odd):
        list(side_by_side(source, work).batches(3, 100))
    assert source.closed.wait(DEADLINE_S)


@pytest.mark.parametrize("bad", [0, 5, 50])
def test_an_exception_of_the_input_comes_after_the_results_before_it(bad):
    def pieces():
        yield from ((n, 1) for n in range(bad))
        raise Odd

    found = []
    with pytest.raises(Odd):
        for batch in side_by_side(pieces(), lambda piece: piece).batches(1, 100):
            found += batch
    assert sorted(found) == [(n, 1) for n in range(bad)]


def test_an_input_that_is_none_is_an_exception_not_a_wait():
    with pytest.raises(TypeError):
        list(SideBySide(None, lambda piece: piece, 1, Room(3, 3), lambda _: 1).batches(1, 1))


def test_a_consumer_that_leaves_ends_the_input_and_starts_no_further_work():
    begun, go_on = [], threading.Event()

    def work(piece):
        begun.append(piece)
        if piece[0] > 2:
            go_on.wait(DEADLINE_S)
        return piece

    source = Source([1] * 500)
    batches = side_by_side(source, work, threads=1, items=50).batches(3, 100)
    assert len(next(batches)) == 3
    until = time.monotonic() + DEADLINE_S
    while len(begun) < 4:
        assert time.monotonic() < until
        time.sleep(0.005)
    batches.close()
    go_on.set()
    assert source.closed.wait(DEADLINE_S)
    assert len(begun) == 4 and source.given < 60
    until = time.monotonic() + DEADLINE_S
    while any(t.name.startswith(("feeding", "decoding")) for t in threading.enumerate()):
        assert time.monotonic() < until, threading.enumerate()
        time.sleep(0.01)

"""Work side by side, ahead of a consumer, within bounds: what lies between fetching and the encoder in each task."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_END = object()


class Room:
    """How much may be between the input and the consumer; whoever would exceed it waits.

    Args:
        items: most pieces.
        weight: summed weight from which no further piece is let in, so that only the last one may exceed it. Were it kept out,
            a batch that needs more weight than is held could wait for a piece that waits for the batch.
    """

    def __init__(self, items: int, weight: int) -> None:
        self.items, self.weight = items, weight
        self._held, self._held_weight, self._closed = 0, 0, False
        self._changed = threading.Condition()

    def enter(self, weight: int) -> bool:
        """Wait until a piece has room; False when the consumer has gone."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_place())
            self._held, self._held_weight = self._held + 1, self._held_weight + weight
            return not self._closed

    def leave(self, weight: int) -> None:
        """A piece was used up."""
        with self._changed:
            self._held, self._held_weight = self._held - 1, self._held_weight - weight
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody needs anything any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_place(self) -> bool:
        return self._held == 0 or (self._held < self.items and self._held_weight < self.weight)


class SideBySide(Generic[T, R]):
    """Results of a function over an input, in the order in which they end.

    The input is pulled in a thread of its own, so that fetching goes on while the consumer encodes; the function runs in
    ``threads`` further ones. A piece holds its room until the consumer asks for the batch after the one that it was in.

    Args:
        items: the input.
        work: gives a result; an exception ends the iteration with it.
        threads: that run ``work``.
        room: bounds of what was pulled and not used up.
        weight_of: a piece's weight.
    """

    def __init__(
        self, items: Iterable[T], work: Callable[[T], R], threads: int, room: Room, weight_of: Callable[[T], int]
    ) -> None:
        self._items, self._work, self._weight_of = items, work, weight_of
        self._room, self._pool = room, ThreadPoolExecutor(threads, "decoding")
        self._results: queue.SimpleQueue[tuple[R, int] | BaseException | object] = queue.SimpleQueue()
        self._feeder = threading.Thread(target=self._feed, name="feeding", daemon=True)
        self.waited_s = 0.0

    def batches(self, items: int, weight: int) -> Iterator[list[R]]:
        """Results in lists of at most so many pieces, ended early where their weight reaches ``weight``.

        ``waited_s`` tells how long the consumer has waited for results in all, seconds.

        Raises:
            ValueError: the room is smaller than a batch, which would never be full.
            BaseException: what the input or ``work`` raised.
        """
        if items > self._room.items or weight > self._room.weight:
            raise ValueError("the room must hold a batch at least")
        self._feeder.start()
        try:
            for batch in self._filled(items, weight):
                yield [result for result, _ in batch]
                for _, held in batch:
                    self._room.leave(held)
        finally:
            self._room.close()
            self._pool.shutdown(wait=False, cancel_futures=True)  # of a consumer that left early: nobody wants the rest

    def _filled(self, items: int, weight: int) -> Iterator[list[tuple[R, int]]]:
        batch: list[tuple[R, int]] = []
        while (taken := self._take()) is not None:
            batch.append(taken)
            if len(batch) == items or sum(held for _, held in batch) >= weight:
                yield batch
                batch = []
        if batch:
            yield batch

    def _take(self) -> tuple[R, int] | None:
        began = time.perf_counter()
        taken = self._results.get()
        self.waited_s += time.perf_counter() - began
        if isinstance(taken, BaseException):
            raise taken
        return None if taken is _END else taken  # type: ignore[return-value]

    def _feed(self) -> None:
        """In a thread of its own, which closes the input, too: a generator cannot be closed from another one while it runs."""
        try:
            with contextlib.closing(_closable(self._items)) as pieces, self._pool:
                for piece in pieces:
                    weight = self._weight_of(piece)
                    if not self._room.enter(weight):
                        return
                    self._pool.submit(self._one, piece, weight)
            self._results.put(_END)  # after the pool has ended, so after all results
        except BaseException as error:
            self._results.put(error)

    def _one(self, piece: T, weight: int) -> None:
        try:
            self._results.put((self._work(piece), weight))
        except BaseException as error:
            self._results.put(error)


def _closable(items: Iterable[T]) -> Generator[T, None, None]:
    """The input as a generator, which passes its closing on to the one that it stands for."""
    yield from items

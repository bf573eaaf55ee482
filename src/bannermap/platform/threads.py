"""Several Spark actions at once: small ones are mostly planning and waiting, on one thread each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

THREADS = 4


def at_once(spark: SparkSession, works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Call each on a thread of its own, with the caller's job group; all end before an error is raised.

    Args:
        spark: the session.
        works: independent of each other.

    Returns:
        What each returned, in their order.
    """
    from pyspark import inheritable_thread_target

    with ThreadPoolExecutor(THREADS) as pool:
        # Wrapped one by one: each thread then gets its own copy of the caller's local properties.
        done = [pool.submit(inheritable_thread_target(spark)(work)) for work in works]
    return [one.result() for one in done]

"""The publication that an impression joins, against trying all of them; and that none is joined before its time."""

from __future__ import annotations

import datetime
import itertools

import numpy as np
import pytest

from bannermap.experiment.timeline import DAY_US, Publication, newest_of_each_day, spans

FIRST = datetime.date(2026, 3, 1)
FIRST_DAY = (FIRST - datetime.date(1970, 1, 1)).days
HOUR = 3_600_000_000


def drawn(seed):
    """Publications with corrections, late ones, and two clusterings of a day."""
    rng = np.random.default_rng(seed)
    found = {}
    for _ in range(rng.integers(0, 12)):
        day, sequence, revision = int(rng.integers(0, 5)), int(rng.integers(1, 3)), int(rng.integers(1, 3))
        at = (FIRST_DAY + day) * DAY_US + int(rng.integers(0, 72)) * HOUR
        found[day, sequence, revision] = Publication(
            FIRST + datetime.timedelta(days=day), f"{day}-c{sequence}", sequence, revision, at
        )
    return [list(found.values())[i] for i in rng.permutation(len(found))]


@pytest.mark.parametrize("seed", range(150))
def test_each_moment_joins_the_newest_that_is_there(seed):
    publications = drawn(seed)
    found = spans(publications)
    assert all(a.to_us == b.from_us for a, b in itertools.pairwise(found))
    for hour in range(-5, 24 * 8):
        moment = FIRST_DAY * DAY_US + hour * HOUR + 1
        day = FIRST + datetime.timedelta(days=hour // 24)
        there = [p for p in publications if p.available_us <= moment and p.as_of < day]
        joined = [publications[s.place] for s in found if s.from_us <= moment < s.to_us]
        expected = max(there, key=lambda p: (p.as_of, p.sequence, p.revision), default=None)
        assert joined == ([expected] if expected else [])
    newest = newest_of_each_day(publications)
    for day in {p.as_of for p in publications}:
        expected = max((p for p in publications if p.as_of == day), key=lambda p: (p.sequence, p.revision))
        assert publications[newest[day]] == expected

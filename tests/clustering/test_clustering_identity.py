"""Ids that live: the matching, the lineage and the states against plain loops over random clusterings."""

from __future__ import annotations

import datetime
import random
from collections import Counter

import numpy as np
import pytest

from bannermap.clustering.identity import Made, ancestors, lineage, overlap_of, previous_clustering, states
from bannermap.clustering.lineage import named_themes

FIRST = datetime.date(2026, 1, 1)


def random_clusterings(rng: random.Random) -> tuple[dict, dict, dict]:
    """Old assignment, new assignment (banner -> cluster) and the old clusters' days of birth; new ones are shuffled parts."""
    banners = range(rng.randint(1, 60))
    old = {b: f"o{rng.randint(0, 6)}" for b in banners if rng.random() < 0.8}
    keep = rng.random()
    split = rng.randint(1, 3)
    new = {}
    for b in banners:
        if rng.random() < 0.85:
            same = f"n{old[b][1:]}-{b % split}" if b in old and rng.random() < keep else f"n{rng.randint(0, 6)}-x"
            new[b] = same
    births = {c: FIRST + datetime.timedelta(days=rng.randint(0, 2)) for c in set(old.values())}
    return old, new, births


def numbered(old: dict, new: dict, births: dict):
    sizes, counts = Counter(old.values()), Counter(new.values())
    aged = sorted(((c, births[c], n) for c, n in sizes.items()), key=lambda r: (r[1], r[0]))
    fresh = sorted(counts.items())
    shared = Counter((old[b], new[b]) for b in old.keys() & new.keys())
    return overlap_of([(o, n, k) for (o, n), k in shared.items()], aged, fresh), [a[0] for a in aged], [f[0] for f in fresh]


def naive_matches(old: dict, new: dict, births: dict) -> dict[str, str]:
    """New cluster -> old cluster: scan all pairs again and again, always taking the best that is left."""
    olds, news = ({c: {b for b in a if a[b] == c} for c in set(a.values())} for a in (old, new))
    matched: dict[str, str] = {}
    while True:
        pairs = [
            (-len(olds[o] & news[n]), births[o], o, n)
            for o in olds
            for n in news
            if o not in matched.values()
            and n not in matched
            and olds[o] & news[n]
            and (len(olds[o] & news[n]) > len(olds[o]) / 2 or len(olds[o] & news[n]) > len(news[n]) / 2)
        ]
        if not pairs:
            return matched
        _, _, o, n = min(pairs)
        matched[n] = o


@pytest.mark.parametrize("seed", range(150))
def test_ids_are_inherited_by_the_rule(seed):
    old, new, births = random_clusterings(random.Random(seed))
    overlap, old_names, new_names = numbered(old, new, births)
    found = {new_names[n]: old_names[o] for n, o in enumerate(ancestors(overlap)) if o >= 0}
    assert found == naive_matches(old, new, births)


@pytest.mark.parametrize("seed", range(150))
def test_every_banner_that_changed_its_cluster_is_in_one_row(seed):
    old, new, births = random_clusterings(random.Random(seed))
    overlap, old_names, new_names = numbered(old, new, births)
    inherited = ancestors(overlap)
    lived = {new_names[n]: old_names[o] if o >= 0 else new_names[n] for n, o in enumerate(inherited)}
    events = lineage(overlap, inherited)
    moved = {(e.new, e.old): e.banners for e in events if e.event in ("merged_from", "split_from")}
    changed = Counter(
        (new_names.index(new[b]), old_names.index(old[b])) for b in old.keys() & new.keys() if lived[new[b]] != old[b]
    )
    assert moved == changed
    fates = {new_names[e.new]: e for e in events if e.event in ("kept", "created")}
    assert set(fates) == set(new.values()) and len(fates) == sum(e.event in ("kept", "created") for e in events)
    for cluster, event in fates.items():
        stayed = sum(old.get(b) == lived[cluster] for b in new if new[b] == cluster)
        assert (event.event, event.banners) == (
            ("kept", stayed) if lived[cluster] in old_names else ("created", Counter(new.values())[cluster])
        )
    ended = {old_names[e.old]: e for e in events if e.event == "retired"}
    assert set(ended) == set(old.values()) - set(lived.values())
    lost = Counter(old[b] for b in old if b not in new)
    assert all(e.banners == Counter(old.values())[c] and e.fell_out == lost[c] for c, e in ended.items())
    assert all(e.fell_out == lost[old_names[e.old]] for e in events if e.event == "kept")


def test_a_split_names_the_part_and_a_merge_names_the_guest():
    old = dict.fromkeys(range(10), "a") | dict.fromkeys(range(10, 16), "b")
    new = dict.fromkeys(range(6), "n1") | dict.fromkeys(range(6, 10), "n2") | dict.fromkeys(range(10, 16), "n3")
    births = {"a": FIRST, "b": FIRST}
    overlap, *_ = numbered(old, new, births)
    events = {(e.event, e.new, e.old, e.banners) for e in lineage(overlap, ancestors(overlap))}
    assert events == {("kept", 0, 0, 6), ("created", 1, -1, 4), ("split_from", 1, 0, 4), ("kept", 2, 1, 6)}
    overlap, *_ = numbered(old, dict.fromkeys(range(16), "all"), births)
    events = {(e.event, e.new, e.old, e.banners) for e in lineage(overlap, ancestors(overlap))}
    assert events == {("kept", 0, 0, 10), ("merged_from", 0, 1, 6), ("retired", -1, 1, 6)}


def made(day: int, sequence: int, previous: str | None, encoder: str = "e") -> Made:
    return Made(f"{encoder}{day}.{sequence}", FIRST + datetime.timedelta(days=day), sequence, encoder, previous)


def test_days_behind_one_that_was_clustered_anew_are_stale_until_run_in_order():
    known = [made(0, 1, None), made(1, 1, "e0.1"), made(2, 1, "e1.1")]
    assert set(states(known).values()) == {"current"}
    known.append(made(0, 2, None))
    assert states(known) == {"e0.1": "superseded", "e0.2": "current", "e1.1": "stale", "e2.1": "stale"}
    known.append(made(1, 2, "e0.2"))
    assert states(known)["e1.2"] == "current" and states(known)["e2.1"] == "stale"
    known.append(made(2, 2, "e1.2"))
    assert {c for c, s in states(known).items() if s == "current"} == {"e0.2", "e1.2", "e2.2"}
    backfilled = [made(0, 1, None), made(2, 1, "e0.1"), made(1, 1, "e0.1")]
    assert states(backfilled) == {"e0.1": "current", "e1.1": "current", "e2.1": "stale"}


def test_two_encoders_keep_two_lines_and_a_new_one_starts_from_what_there_is():
    known = [made(0, 1, None), made(1, 1, "e0.1"), made(1, 2, "e0.1", "f"), made(2, 1, "e1.1")]
    assert previous_clustering(known, FIRST + datetime.timedelta(days=2), "f").clustering_id == "f1.2"
    assert previous_clustering(known, FIRST + datetime.timedelta(days=3), "g").clustering_id == "e2.1"
    assert previous_clustering(known, FIRST, "e") is None
    assert set(states(known).values()) == {"current"}


@pytest.mark.parametrize("seed", range(40))
def test_themes_keep_their_slots_while_they_live(seed):
    rng = random.Random(seed)
    k = rng.randint(1, 8)
    old = {f"t{i}": (slot, FIRST, rng.randint(1, 20)) for i, slot in enumerate(rng.sample(range(1, k + 1), rng.randint(0, k)))}
    sizes = {n: rng.randint(0, 20) for n in range(rng.randint(0, k))}
    room = {t: size for t, (_, _, size) in old.items()}
    shared = []
    for n, size in sizes.items():
        for t in rng.sample(sorted(room), len(room)):
            both = rng.randint(0, min(size, room[t]))
            if both:
                shared.append((t, n, both))
                size, room[t] = size - both, room[t] - both
    themes = named_themes(k, sizes, old, shared, "2026-01-02-x", FIRST + datetime.timedelta(days=1))
    assert {t.number for t in themes} == set(sizes)
    assert len({t.slot for t in themes}) == len(themes) and all(1 <= t.slot <= k for t in themes)
    assert all(t.slot == old[t.theme_id][0] for t in themes if t.theme_id in old)
    assert all(t.born_dt > FIRST and t.theme_id.startswith(f"k{k:02d}-") for t in themes if t.theme_id not in old)
    majority = {n: t for t, n, both in shared if 2 * both > max(sizes[n], old[t][2])}
    assert all(theme.theme_id == majority[theme.number] for theme in themes if theme.number in majority)
    assert np.all(np.diff([t.slot for t in themes]) > 0)

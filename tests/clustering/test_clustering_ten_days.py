"""Ten days of the sample world, whose campaigns start, change, merge and end: ids by the rule, and who keeps theirs."""

from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_clustering_identity import naive_matches, numbered

from bannermap.clustering import cluster_vectors
from bannermap.clustering.identity import ancestors, lineage
from bannermap.embedding.decoding.decode import decode
from bannermap.embedding.encoders.interface import encode_pictures, make_encoder
from bannermap.embedding.statuses import Failure
from bannermap.sample.world import days_of, write_world

DAYS = 10


@pytest.fixture(scope="module")
def world(base_settings, tmp_path_factory):
    """Banner -> (first day, vector), and the world's campaigns."""
    home = tmp_path_factory.mktemp("world")
    sample = base_settings.sample.model_copy(update={"size": "tiny", "days": DAYS, "seed": 11, "out": str(home)})
    write_world(sample)
    encoder = make_encoder(base_settings.encoder)
    found: dict[str, tuple[datetime.date, np.ndarray]] = {}
    for day in days_of(sample):
        log = pd.read_parquet(home / "banner_log" / f"dt={day}").dropna(subset=["banner_id", "image_url"])
        for banner, address in sorted(dict(zip(log.banner_id, log.image_url, strict=True)).items()):
            vector = None if banner in found else encoded(home / "images" / address, base_settings, encoder)
            if vector is not None:
                found[banner] = (day, vector)
    return days_of(sample), found, pd.read_parquet(home / "truth/campaigns.parquet")


def encoded(path: Path, settings, encoder) -> np.ndarray | None:
    try:
        return encode_pictures(encoder, [decode(path.read_bytes(), settings.decode).pixels])[0]
    except (Failure, OSError):
        return None


@pytest.fixture(scope="module")
def lived(world, base_settings):
    """Per day: its clusters by inherited id, the banners seen by then, and the lineage with ids."""
    days, banners, _ = world
    old: dict[str, str] = {}
    births: dict[str, datetime.date] = {}
    told = []
    for day in days:
        seen = sorted(b for b, (first, _) in banners.items() if first <= day)
        labels = cluster_vectors(np.stack([banners[b][1] for b in seen]), base_settings.clustering, seen)
        fresh = {b: f"{day}:{label:05d}" for b, label in zip(seen, labels, strict=True) if label >= 0}
        overlap, olds, news = numbered(old, fresh, births)
        inherited = ancestors(overlap)
        rule = naive_matches(old, fresh, births)
        assert {news[n]: olds[o] for n, o in enumerate(inherited) if o >= 0} == rule
        new = {b: rule.get(c, c) for b, c in fresh.items()}
        named = [rule.get(c, c) for c in news]
        events = [
            (e.event, named[e.new] if e.new >= 0 else None, olds[e.old] if e.old >= 0 else None, e)
            for e in lineage(overlap, inherited)
        ]
        told.append((old, new, events))
        births = {c: births.get(c, day) for c in set(new.values())}
        old = new
    return told


def test_banners_outside_logged_merges_and_splits_keep_their_cluster(lived):
    stayed = left = 0
    for old, new, events in lived[1:]:
        moved = {(now, then) for kind, now, then, _ in events if kind in ("merged_from", "split_from")}
        outside = [b for b in old if (new.get(b), old[b]) not in moved]
        stayed += sum(new.get(b) == old[b] for b in outside)
        left += sum(new.get(b) != old[b] for b in outside)
    assert stayed > 500 and stayed / (stayed + left) >= 0.999


def test_every_other_change_has_its_row(lived):
    kinds: Counter[str] = Counter()
    for old, new, events in lived:
        kinds.update(e[0] for e in events)
        moved = Counter((new[b], old[b]) for b in old if b in new and new[b] != old[b])
        assert {(now, then): e.banners for kind, now, then, e in events if kind in ("merged_from", "split_from")} == moved
        lost = Counter(old[b] for b in old if b not in new)
        fell = {then: e.fell_out for kind, _, then, e in events if kind in ("kept", "retired")}
        assert all(fell[c] == n for c, n in lost.items())
    assert kinds["created"] > DAYS and kinds["kept"] > 0


def test_the_world_lives(world):
    assert set(world[2]["kind"]) == {"started", "changed", "merged", "ended"}

"""What maintenance removes, against the rule in words: never what a feature row names, nor what a kept day stands on."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from repository import ROOT

from bannermap.platform import maintenance
from bannermap.platform.cli import run_stage
from bannermap.platform.config import load_settings
from bannermap.platform.errors import ConfigError
from bannermap.platform.image_cache import ImageCache
from bannermap.platform.maintenance import NOTE, STAGE
from bannermap.platform.retention import Kept, StoredCells, StoredClustering, expendable, expendable_cells, first_kept_day, listed
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import (
    BANNERS,
    CELLS,
    CLUSTER_MEMBERS,
    CLUSTERINGS,
    CLUSTERS,
    FEATURE_PUBLICATIONS,
    IMAGE_BYTES,
    IMAGE_FETCHES,
    MODEL_CLUSTERINGS,
    NEIGHBOURS,
)

TODAY = datetime.date(2026, 5, 31)


def before(days: int) -> datetime.date:
    return TODAY - datetime.timedelta(days=days)


@pytest.mark.parametrize("seed", range(60))
def test_a_clustering_goes_only_when_nothing_keeps_it(seed):
    rng = np.random.default_rng(seed)
    made: list[StoredClustering] = []
    for n in range(int(rng.integers(0, 25))):
        previous = str(rng.choice([c.clustering_id for c in made])) if made and rng.random() < 0.9 else None
        made.append(StoredClustering(f"c{n}", before(int(rng.integers(0, 20))), int(rng.integers(1, 4)), previous))
    since, newest = before(int(rng.integers(0, 20))), int(rng.integers(2, 6))
    named = {c.clustering_id for c in made if rng.random() < 0.2}
    gone = expendable(made, Kept(since, newest, named))
    ranks = sorted(made, key=lambda c: (c.dt, c.sequence, c.clustering_id))
    current = [c for n, c in enumerate(ranks) if c.dt >= since or n >= len(ranks) - newest]
    for clustering in made:
        needed = clustering in current or clustering.clustering_id in named
        needed = needed or any(c.previous == clustering.clustering_id for c in current)
        assert (clustering in gone) != needed
    assert gone == sorted(gone, key=lambda c: (c.dt, c.sequence, c.clustering_id))
    assert not expendable(made, Kept(None, newest, named))


@pytest.mark.parametrize("seed", range(40))
def test_cells_go_when_no_day_that_is_kept_searches_by_them(seed):
    rng, names = np.random.default_rng(seed), ("one", "two", "exact")
    drawn = {(s, int(d)): str(rng.choice(names)) for s in "xy" for d in rng.choice(40, int(rng.integers(0, 6)), replace=False)}
    learned = [StoredCells("e", search, before(age), cells_id) for (search, age), cells_id in drawn.items()]
    oldest = int(rng.integers(0, 45))
    needed = set()
    for search in "xy":
        for age in range(oldest, -400, -1):  # each day from then on, long after the last that learned any
            ages = [a for s, a in drawn if s == search and a >= age]
            needed |= {drawn[search, min(ages)]} if ages else set()
        needed |= {drawn[search, a] for s, a in drawn if s == search and a <= oldest}
    assert {c.cells_id for c in learned} - {c.cells_id for c in expendable_cells(learned, before(oldest))} == needed
    assert not expendable_cells(learned, None)


def test_lists_by_replaced_cells_go_with_their_cells(warehouse, base_settings, capsys):
    ages = {"cells-a": 300, "cells-b": 270, "cells-c": 240, "cells-d": 30}
    of = {"encoder_id": "e", "search": "{}"}
    rows(warehouse, CELLS, [{**of, "dt": before(age), "cells_id": n, "cell": c} for n, age in ages.items() for c in (0, 1)])
    rows(warehouse, NEIGHBOURS, [{"encoder_id": "e", "cells_id": n, "dt": before(age), "src": "p"} for n, age in ages.items()])
    rows(warehouse, CLUSTERINGS, [{"clustering_id": "k", "dt": before(250), "sequence": 1}])
    kept = base_settings.retention.model_copy(update={"clustering_days": 90, "keep_clusterings": 2})
    settings = base_settings.model_copy(update={"retention": kept})
    run_stage(STAGE, Warehouse(warehouse.spark, warehouse.root, read_only=True), settings, TODAY)
    assert "would go: cells-a of" in capsys.readouterr().out and stored(warehouse, CELLS, "cells_id") == set(ages)
    run_stage(STAGE, warehouse, settings, TODAY)
    for table in (CELLS, NEIGHBOURS):
        assert stored(warehouse, table, "cells_id") == {"cells-b", "cells-c", "cells-d"}, "b was in force for a kept clustering"


def test_days_count_with_the_given_one():
    assert first_kept_day(TODAY, 1) == TODAY and first_kept_day(TODAY, 31) == datetime.date(2026, 5, 1)
    assert first_kept_day(TODAY, None) is None
    assert listed([]) == "none" and listed(list("abc"), 2) == "a, b and 1 more"


def test_pictures_of_clustered_banners_cannot_be_configured_away():
    with pytest.raises(ConfigError, match=r"image_days is 100.*120 days"):
        load_settings(ROOT / "conf/base.yaml", [], ["retention.image_days=100"])


def rows(warehouse, table, values):
    frame = warehouse.spark.createDataFrame([tuple(v.get(c) for c in table.columns) for v in values], table.schema)
    warehouse.append(table, frame)


def store(warehouse, cache: ImageCache | None):
    """Six clusterings of which features name the oldest, in rows, and the next, in a folder of an export; pictures."""
    ages = {"a": 400, "b": 399, "c": 398, "d": 397, "e": 10, "f": 0}
    previous = dict(zip("bcdef", "abcde", strict=True))
    dated = {n: {"clustering_id": n, "dt": before(age), "sequence": 1} for n, age in ages.items()}
    rows(warehouse, CLUSTERINGS, [{**row, "previous_clustering_id": previous.get(n)} for n, row in dated.items()])
    rows(warehouse, CLUSTER_MEMBERS, [{"clustering_id": n, "banner_id": "x"} for n in ages])
    rows(warehouse, CLUSTERS, [{"clustering_id": n, "cluster_id": n, "medoid": "p-medoid" if n == "a" else "?"} for n in ages])
    rows(warehouse, FEATURE_PUBLICATIONS, [{"dt": before(400), "clustering_id": "a", "revision": 1}])
    Path(warehouse.root, "user_feature_set_x/dt=2025-05-01/clustering_id=b/revision=1").mkdir(parents=True)
    seen = {"old": 300, "young": 5, "medoid": 300, "shared": 300, "sharing": 5}
    rows(warehouse, BANNERS, [{"banner_id": n, "last_seen_dt": before(age)} for n, age in seen.items()])
    hashes = {n: hashlib.sha256(n.encode()).hexdigest() for n in ("old", "young", "medoid", "shared")}
    content = {**hashes, "sharing": hashes["shared"]}
    fetches = [{"banner_id": n, "image_url": "u", "content_hash": content[n], "pixel_hash": f"p-{n}"} for n in seen]
    rows(warehouse, IMAGE_FETCHES, fetches)
    for name, content_hash in hashes.items():
        if cache:
            cache.put(content_hash, name.encode())
    if not cache:
        rows(warehouse, IMAGE_BYTES, [{"content_hash": h, "data": n.encode()} for n, h in hashes.items()])
    return hashes


def stored(warehouse, table, column="clustering_id") -> set[str]:
    return {r[0] for r in warehouse.read(table).select(column).collect()}


def test_maintenance_removes_that_and_no_more_and_a_dry_run_nothing(warehouse, base_settings, tmp_path, monkeypatch, capsys):
    cache = ImageCache(str(tmp_path / "cache"))
    hashes = store(warehouse, cache)
    by_models = {"x1": ("m", 350), "x2": ("m", 349), "x3": ("m", 348), "y1": ("n", 360)}  # of each the newest two stay
    made = [{"clustering_id": c, "model_id": m, "dt": before(age), "sequence": 1} for c, (m, age) in by_models.items()]
    rows(warehouse, MODEL_CLUSTERINGS, made)
    kept = base_settings.retention.model_copy(update={"image_days": 120, "clustering_days": 90, "keep_clusterings": 2})
    fetch = base_settings.fetch.model_copy(update={"image_cache": cache.address})
    settings = base_settings.model_copy(update={"retention": kept, "fetch": fetch})
    dry = run_stage(STAGE, Warehouse(warehouse.spark, warehouse.root, read_only=True), settings, TODAY)
    said = capsys.readouterr().out
    assert (
        "2 of the clusterings would go: c of" in said
        and "x1 of" in said
        and "1 pictures not seen since 2026-02-01 would go" in said
    )
    assert stored(warehouse, CLUSTERINGS) == set("abcdef") and all(cache.get(h) for h in hashes.values())
    assert (dry.metrics["clusterings_removed"], dry.metrics["images_removed"]) == (2.0, 1.0)

    delete, calls = maintenance._delete_clusterings, []

    def dies(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        delete(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(maintenance, "_delete_clusterings", dies)
        run_stage(STAGE, warehouse, settings, TODAY)
    assert stored(warehouse, CLUSTERINGS) == set("abdef") and stored(warehouse, CLUSTER_MEMBERS) == set("abcdef")
    assert json.loads(Path(warehouse.root, NOTE).read_text()) == ["c", "x1"]

    run_stage(STAGE, warehouse, settings, TODAY)
    for table in (CLUSTERINGS, CLUSTER_MEMBERS, CLUSTERS):
        assert stored(warehouse, table) == set("abdef")
    assert stored(warehouse, MODEL_CLUSTERINGS) == {"x2", "x3", "y1"}
    assert not Path(warehouse.root, NOTE).exists()
    assert {n for n, h in hashes.items() if cache.get(h)} == {"young", "medoid", "shared"}
    assert stored(warehouse, BANNERS, "banner_id") == {"old", "young", "medoid", "shared", "sharing"}


def test_bytes_in_the_table_go_and_tables_become_few_files(warehouse, base_settings):
    hashes = store(warehouse, None)
    for n in range(3):
        rows(warehouse, BANNERS, [{"banner_id": f"more{n}", "last_seen_dt": TODAY}])
    kept = base_settings.retention.model_copy(update={"image_days": 120, "clustering_days": None})
    run_stage(STAGE, warehouse, base_settings.model_copy(update={"retention": kept}), TODAY)
    assert stored(warehouse, IMAGE_BYTES, "content_hash") == {hashes[n] for n in ("young", "medoid", "shared")}
    assert stored(warehouse, CLUSTERINGS) == set("abcdef") and len(stored(warehouse, BANNERS, "banner_id")) == 8
    assert len(warehouse.read(BANNERS).inputFiles()) == 1


def test_what_killed_runs_left_goes_when_it_is_old_and_nothing_else(warehouse, base_settings, capsys):
    root = Path(warehouse.root)
    old = (
        "_staging/cluster_banners/2026-01-01-aa/forest.parquet",
        "user_features/_staging/dt=2026-01-01/part",
        "_claims/x/1.json",
    )
    young = ("_staging/embed_banners/dt=2026-01-02/part", "_staging/cluster_banners/2026-01-03-bb/old.parquet")
    kept = ("user_features/_aside/dt=2026-01-01/part", "user_features/dt=2026-01-01/part", "_running/note.json")
    for name in (*old, *young, *kept):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
        os.utime(root / name, (0, 0) if name not in young[:1] else None)
    (root / "_staging/cluster_banners/2026-01-03-bb/new.parquet").write_text("x")
    (root / "_staging/cluster_banners/2026-01-04-cc").mkdir()
    os.utime(root / "_staging/cluster_banners/2026-01-04-cc", (0, 0))
    run_stage(STAGE, Warehouse(warehouse.spark, warehouse.root, read_only=True), base_settings, TODAY)
    assert "4 folders in which nothing was written for 168 hours would go" in capsys.readouterr().out
    assert all((root / name).exists() for name in (*old, *young, *kept))
    assert run_stage(STAGE, warehouse, base_settings, TODAY).metrics["left_over_folders_removed"] == 4
    assert not [name for name in old if (root / name).parent.exists()]
    assert all((root / name).exists() for name in (*young, *kept))
    assert not (root / "_staging/cluster_banners/2026-01-04-cc").exists()

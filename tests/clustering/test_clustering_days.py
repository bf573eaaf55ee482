"""Day after day on Spark: names, lineage, themes and duplicates against loops over the tables; reruns; late corrections."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from daily_world import Shown, day, growing_world, store
from test_clustering_identity import naive_matches

from bannermap.clustering.job import STAGE
from bannermap.clustering.transforms import pictures_with_vectors
from bannermap.platform.cli import run_stage
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import (
    CLUSTER_LINEAGE,
    CLUSTER_MEMBERS,
    CLUSTERINGS,
    CLUSTERS,
    DUPLICATE_SETS,
    EMBEDDINGS,
    NEAR_DUPLICATES,
    THEMES,
)

pytestmark = pytest.mark.slow
RESULTS = (CLUSTER_MEMBERS, CLUSTERS, CLUSTER_LINEAGE, THEMES, NEAR_DUPLICATES, DUPLICATE_SETS)
DAYS, NEAR = 4, 0.97


@pytest.fixture(scope="module")
def settings(base_settings):
    changes = {"initial_threshold": 0.7, "k_neighbors": 200, "theme_counts": (2, 4), "min_duplicate_cosine": NEAR}
    clustering = base_settings.clustering.model_copy(update=changes)
    return base_settings.model_copy(update={"clustering": clustering})


@pytest.fixture(scope="module")
def banners() -> list[Shown]:
    return growing_world(np.random.default_rng(4), DAYS)


@pytest.fixture(scope="module")
def lived(spark, settings, banners, tmp_path_factory) -> Warehouse:
    """A warehouse in which the days came one after the other."""
    warehouse = Warehouse(spark, str(tmp_path_factory.mktemp("lived")))
    for number in range(DAYS):
        store(warehouse, [b for b in banners if b.days[0] <= number], range(number, number + 1))
        run_stage(STAGE, warehouse, settings, day(number))
    return warehouse


def clusterings(warehouse) -> list:
    """Newest clustering of each day."""
    rows = sorted(warehouse.read(CLUSTERINGS).collect(), key=lambda r: (r["dt"], r["sequence"]))
    return list({r["dt"]: r for r in rows}.values())


def rows_of(warehouse, table, name) -> list:
    return warehouse.read(table).where(f"clustering_id = '{name}'").collect()


def assignment(warehouse, name) -> dict[str, str]:
    return {r["banner_id"]: r["cluster_id"] for r in rows_of(warehouse, CLUSTER_MEMBERS, name) if not r["is_outlier"]}


def stored(warehouse) -> dict[str, list[str]]:
    return {t.name: sorted(map(str, warehouse.read(t).collect())) for t in RESULTS}


def pairs_of_days(warehouse):
    made = clusterings(warehouse)
    return list(itertools.pairwise(made))


def test_ids_are_inherited_by_the_rule_and_never_used_again(lived):
    used: set[str] = set()
    for before, after in pairs_of_days(lived):
        assert after["previous_clustering_id"] == before["clustering_id"]
        old, new = (assignment(lived, c["clustering_id"]) for c in (before, after))
        births = {r["cluster_id"]: r["born_dt"] for r in rows_of(lived, CLUSTERS, before["clustering_id"])}
        used |= set(births)
        provisional = {b: f"new {c}" for b, c in new.items()}
        matched = naive_matches(old, provisional, births)
        for cluster in set(new.values()):
            inherited = matched.get(f"new {cluster}")
            assert cluster == inherited if inherited else cluster not in used
        now = {r["cluster_id"]: r["born_dt"] for r in rows_of(lived, CLUSTERS, after["clustering_id"])}
        assert now == {c: births.get(c, after["dt"]) for c in set(new.values())}
    assert used


def test_lineage_holds_every_change(lived):
    kinds: Counter = Counter()
    for before, after in pairs_of_days(lived):
        old, new = (assignment(lived, c["clustering_id"]) for c in (before, after))
        events = rows_of(lived, CLUSTER_LINEAGE, after["clustering_id"])
        kinds.update(e["event"] for e in events)
        moved = Counter((new[b], old[b]) for b in old.keys() & new.keys() if new[b] != old[b])
        assert {(e["cluster_id"], e["other_cluster_id"]): e["banners"] for e in events if e["other_cluster_id"]} == moved
        fates = {e["cluster_id"]: e["event"] for e in events if not e["other_cluster_id"]}
        both = set(old.values()) | set(new.values())
        names = {(True, True): "kept", (False, True): "created", (True, False): "retired"}
        assert fates == {c: names[c in old.values(), c in new.values()] for c in both}
    assert kinds["kept"] and kinds["created"] and kinds["merged_from"] + kinds["split_from"]


def test_paths_end_with_the_clusters_own_id(lived):
    for row in lived.read(CLUSTER_MEMBERS).collect():
        assert row["is_outlier"] or row["path"][-1] == row["cluster_id"]


def test_every_banner_has_its_nearest_theme(lived, banners):
    vectors = {b.banner_id: b.vector.astype(np.float32).astype(float) for b in banners}
    for made in clusterings(lived):
        members = rows_of(lived, CLUSTER_MEMBERS, made["clustering_id"])
        themes = rows_of(lived, THEMES, made["clustering_id"])
        nodes = {r["pixel_hash"]: vectors[r["banner_id"]] for r in members}
        groups: dict[str, set] = {}
        for r in members:
            groups.setdefault(r["cluster_id"], set()).add(r["pixel_hash"])
        for k in (2, 4):
            own = [t for t in themes if t["k"] == k]
            if not any(groups.keys()):
                assert not own and all(r["themes"] is None for r in members)
                continue
            assert len({t["slot"] for t in own}) == len(own) <= k
            for r in members:
                inside = [r["pixel_hash"]] if r["is_outlier"] else groups[r["cluster_id"]]
                centre = sum(nodes[p] for p in inside)
                scores = {t["theme_id"]: float(np.dot(t["centroid"], centre) / np.linalg.norm(centre)) for t in own}
                assert scores[r["themes"][k]] >= max(scores.values()) - 1e-5
            counts = Counter(r["themes"][k] for r in members)
            assert {t["theme_id"]: t["banners"] for t in own} == {t["theme_id"]: counts[t["theme_id"]] for t in own}
    last = clusterings(lived)[-1]
    by_cluster = {r["cluster_id"]: r["themes"] for r in rows_of(lived, CLUSTERS, last["clustering_id"])}
    members = rows_of(lived, CLUSTER_MEMBERS, last["clustering_id"])
    assert all(r["themes"] == by_cluster[r["cluster_id"]] for r in members if not r["is_outlier"])


def test_themes_are_inherited_by_the_rule_of_the_clusters(lived):
    for before, after in pairs_of_days(lived):
        old, new = (rows_of(lived, CLUSTER_MEMBERS, c["clustering_id"]) for c in (before, after))
        then, now = (rows_of(lived, THEMES, c["clustering_id"]) for c in (before, after))
        for k in (2, 4):
            births = {t["theme_id"]: t["born_dt"] for t in then if t["k"] == k}
            was = {r["banner_id"]: r["themes"][k] for r in old if r["themes"]}
            matched = naive_matches(was, {r["banner_id"]: f"new {r['themes'][k]}" for r in new}, births)
            slots = {t["theme_id"]: t["slot"] for t in then if t["k"] == k}
            for t in (t for t in now if t["k"] == k and t["banners"]):
                inherited = matched.get(f"new {t['theme_id']}")
                assert (t["theme_id"], t["slot"]) == (inherited, slots[inherited]) if inherited else t["theme_id"] not in births


def test_near_duplicates_are_all_pairs_inside_a_cluster_and_the_keeper_is_the_first_by_the_rule(lived, banners):
    facts = {b.banner_id: b for b in banners}
    seen = Counter()
    for made in clusterings(lived):
        members = {r["banner_id"]: r for r in rows_of(lived, CLUSTER_MEMBERS, made["clustering_id"])}
        nodes = {r["pixel_hash"]: facts[b].vector.astype(np.float32).astype(float) for b, r in sorted(members.items())}
        cluster = {r["pixel_hash"]: r["cluster_id"] for r in members.values()}
        cosine = {(a, b): np.float32(nodes[a] @ nodes[b]) for a in nodes for b in nodes if a < b}
        expected = {p for p, c in cosine.items() if float(c) >= NEAR and cluster[p[0]] and cluster[p[0]] == cluster[p[1]]}
        pairs = rows_of(lived, NEAR_DUPLICATES, made["clustering_id"])
        assert {(r["pixel_hash_a"], r["pixel_hash_b"]) for r in pairs} == expected and len(pairs) == len(expected)
        assert all(members_of_set(members, r["set_id"]) >= {r["pixel_hash_a"], r["pixel_hash_b"]} for r in pairs)
        sets = {r["set_id"]: r for r in rows_of(lived, DUPLICATE_SETS, made["clustering_id"])}
        groups: dict[str, list[str]] = {}
        for b, r in members.items():
            if r["duplicate_set_id"]:
                groups.setdefault(r["duplicate_set_id"], []).append(b)
        assert sets.keys() == groups.keys()
        for name, inside in groups.items():
            ranked = sorted(inside, key=lambda b: merit(facts[b]))
            first, second = (merit(facts[b]) for b in ranked[:2])
            reason = next(r for r, a, b in zip(REASONS, first, second, strict=True) if a != b)
            row, pictures = sets[name], {members[b]["pixel_hash"] for b in inside}
            assert (row["keeper_banner_id"], row["reason"], row["banners"]) == (ranked[0], reason, len(inside))
            assert (row["pictures"], row["set_id"]) == (len(pictures), min(pictures)) and row["detail"]
            seen[reason] += 1
    assert len(seen) >= 3


REASONS = ("largest", "best_quality", "oldest", "first_id")


def members_of_set(members, set_id) -> set[str]:
    return {r["pixel_hash"] for r in members.values() if r["duplicate_set_id"] == set_id}


def merit(b: Shown) -> tuple:
    return -b.width * b.height, -b.bytes / (b.width * b.height), b.days[0], b.banner_id


def test_running_a_day_again_changes_nothing(lived, settings):
    before, rows = stored(lived), sorted(map(str, lived.read(CLUSTERINGS).collect()))
    for number in (DAYS - 1, 1):
        run_stage(STAGE, lived, settings, day(number))
    assert stored(lived) == before
    assert sorted(map(str, lived.read(CLUSTERINGS).collect())) == rows


def test_an_older_day_made_anew_marks_the_later_ones_until_they_are_run_in_order(spark, settings, banners, lived, tmp_path):
    known, late = banners[:-6], banners[-6:]
    corrected = Warehouse(spark, str(tmp_path / "corrected"))
    for number in range(3):
        store(corrected, [b for b in known if b.days[0] <= number], range(number, number + 1))
        run_stage(STAGE, corrected, settings, day(number))
    published = {c["clustering_id"]: str(rows_of(corrected, CLUSTERS, c["clustering_id"])) for c in clusterings(corrected)}
    for number in range(3):
        store(corrected, [b for b in banners if b.days[0] <= number], range(number, number + 1))
    run_stage(STAGE, corrected, settings, day(0))
    states = {(r["dt"], r["sequence"]): r["state"] for r in corrected.read(CLUSTERINGS).collect()}
    assert states == {(day(0), 1): "superseded", (day(0), 2): "current", (day(1), 1): "stale", (day(2), 1): "stale"}
    assert late[-1].days[0] == 0
    for number in (1, 2):
        run_stage(STAGE, corrected, settings, day(number))
    assert {c["state"] for c in clusterings(corrected)} == {"current"}
    for one, other in zip(clusterings(corrected), clusterings(lived)[:3], strict=True):
        assert one["clustering_id"] == other["clustering_id"]
        for table in RESULTS:
            name = one["clustering_id"]
            assert sorted(map(str, rows_of(corrected, table, name))) == sorted(map(str, rows_of(lived, table, name)))
    assert all(str(rows_of(corrected, CLUSTERS, name)) == rows for name, rows in published.items())


def test_vectors_that_come_late_make_a_clustering_beside_the_first(spark, settings, banners, tmp_path):
    """Of an encoder that was away for some pictures, and made their vectors after the day was clustered and published."""
    warehouse = Warehouse(spark, str(tmp_path / "late"))
    for number in range(2):
        store(warehouse, [b for b in banners if b.days[0] <= number], range(number, number + 1))
    whole, missing = warehouse.read(EMBEDDINGS).persist(), f"c-{next(b.banner_id for b in banners if b.days[0] == 0)}"
    warehouse.merge(EMBEDDINGS, whole.where(f"content_hash != '{missing}'"), delete_absent_where="true")
    for number in range(2):
        run_stage(STAGE, warehouse, settings, day(number))
    first = clusterings(warehouse)
    published = {c["clustering_id"]: str(rows_of(warehouse, CLUSTER_MEMBERS, c["clustering_id"])) for c in first}
    warehouse.insert_new(EMBEDDINGS, whole)
    run_stage(STAGE, warehouse, settings, day(0))
    states = {(r["dt"], r["sequence"]): r["state"] for r in warehouse.read(CLUSTERINGS).collect()}
    assert states == {(day(0), 1): "superseded", (day(0), 2): "current", (day(1), 1): "stale"}
    assert {name: str(rows_of(warehouse, CLUSTER_MEMBERS, name)) for name in published} == published


def test_a_picture_has_the_vector_of_the_first_of_its_files_that_has_one(spark):
    pictures = spark.createDataFrame(
        [("b1", "p", "c1"), ("b2", "p", "c2"), ("b3", "p", "c3"), ("b4", "q", "c4"), ("b5", "r", "c5")],
        "banner_id string, pixel_hash string, content_hash string",
    )
    vectors = spark.createDataFrame([("c2", [2.0]), ("c3", [3.0]), ("c5", [5.0])], "content_hash string, vector array<float>")
    found = pictures_with_vectors(pictures, vectors).collect()
    assert sorted((r["node_id"], r["banners"], r["vector"]) for r in found) == [("p", 3, [2.0]), ("r", 1, [5.0])]

"""Day after day only what is new is searched; lists and tables are those of a search of everything on the same cells."""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np
import pytest
from daily_world import ENCODER, FIRST, Shown, day, growing_world, store
from worlds import KINDS, unit

from bannermap.clustering.job import STAGE
from bannermap.clustering.neighbours import improvements, make_block
from bannermap.clustering.standing import AGAIN, GONE, KEPT, NEW, ListEnds, Standing, standing_of
from bannermap.platform.cli import run_stage
from bannermap.platform.files import remove
from bannermap.platform.settings import CellSettings
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import (
    BANNER_DAYS,
    CELLS,
    CLUSTER_LINEAGE,
    CLUSTER_MEMBERS,
    CLUSTERINGS,
    CLUSTERS,
    EMBEDDINGS,
    IMAGE_FETCHES,
    NEIGHBOURS,
    RUNS,
)

RESULTS = (CLUSTER_MEMBERS, CLUSTERS, CLUSTER_LINEAGE, CLUSTERINGS)
DAYS, K = 4, 4


def cosines(vectors):
    exact = np.asarray(vectors, np.float32).astype(np.float64)
    return (exact @ exact.T).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@pytest.mark.parametrize("old", [0, 1, 40, 70])
def test_what_enters_a_kept_list_is_what_a_new_search_would_put_there(kind, old):
    rng = np.random.default_rng([old, 7])
    vectors = kind(rng, 90)
    nodes = len(vectors)
    cosine, order = cosines(vectors), rng.permutation(nodes)
    known, new = order[:old], order[old:]
    k = int(rng.integers(1, 12))

    def best(node, others):
        return sorted((b for b in others if b != node), key=lambda b: (-cosine[node, b], b))[:k]

    standing = Standing.nothing_kept(nodes)
    standing.kind[known] = KEPT
    lists = {a: best(a, known) for a in known}
    for a, found in lists.items():
        if len(found) == k:
            standing.floor[a], standing.floor_dst[a] = cosine[a, found[-1]], found[-1]
    entered = improvements(vectors[known], known, standing, make_block(vectors[new], new), k)
    for a in known:
        rows = entered.dst[entered.src == a].tolist()
        assert best(a, [*lists[a], *rows]) == best(a, order)
        assert set(rows) >= set(best(a, order)) - set(lists[a])
        assert len(rows) <= k
    assert np.array_equal(entered.cosine, cosine[entered.src, entered.dst])


def test_lists_that_name_what_is_gone_are_made_anew_and_short_ones_take_anything():
    ends = ListEnds(
        src=np.array([0, 2, 3]),
        entries=np.array([2, 2, 1]),
        cosine=np.array([0.5, 0.6, 0.7], np.float32),
        dst=np.array([3, 4, 0]),
        least_dst=np.array([2, GONE, 0]),
    )
    standing = standing_of(np.array([False, True, False, False, False]), ends, k=2)
    assert standing.kind.tolist() == [KEPT, NEW, AGAIN, KEPT, KEPT]
    assert standing.floor.tolist()[0] == 0.5 and standing.floor_dst[0] == 3
    assert np.isneginf(standing.floor[[1, 3, 4]]).all()


@dataclasses.dataclass(frozen=True)
class Week:
    """A world that grows, and in which pictures vanish, come back and change their vector; ten days of many: `bench_replay`."""

    banners: list[Shown]
    other: np.ndarray
    changed: np.ndarray

    def store(self, warehouse: Warehouse, number: int) -> None:
        """What is new on a day: the first banner shows another file on day 1 and its own again from day 3 on; on day 2 the
        second banner's pixels come from a file that has another vector and a smaller hash."""
        store(warehouse, [b for b in self.banners if b.days[0] <= number], range(number, number + 1))
        first, second = self.banners[0], self.banners[1]
        if number == 1:
            self._show(warehouse, number, first.banner_id, "u/other", "c-other", "p-other", self.other)
        if number >= 3:
            self._show(warehouse, number, first.banner_id, f"u/{first.banner_id}", None, None, None)
        if number == 2:
            self._show(warehouse, number, "b-more", "u/more", "a-more", second.pixel_hash, self.changed)

    def _show(self, warehouse, number, banner, url, content, pixel, vector) -> None:
        spark = warehouse.spark
        shown = [(day(number), banner, url, None, None, None, 1, 0)]
        warehouse.merge(BANNER_DAYS, spark.createDataFrame(shown, BANNER_DAYS.schema))
        if content:
            fetch = [(banner, url, "ok", None, content, pixel, 9, "png", 5, 5, 1, day(number), None)]
            warehouse.merge(IMAGE_FETCHES, spark.createDataFrame(fetch, IMAGE_FETCHES.schema))
            rows = [(ENCODER, content, [float(v) for v in vector], None)]
            warehouse.insert_new(EMBEDDINGS, spark.createDataFrame(rows, EMBEDDINGS.schema))

    def nodes(self, number: int) -> dict[str, np.ndarray]:
        """Pictures of a day, as the definitions have them; the first two banners are shown on day 0."""
        found = {b.pixel_hash: b.vector for b in self.banners if b.days[0] <= number}
        if 1 <= number < 3:
            del found[self.banners[0].pixel_hash]
            found["p-other"] = self.other
        if number >= 2:
            found[self.banners[1].pixel_hash] = self.changed
        return {name: np.asarray(v, np.float32) for name, v in found.items()}


@pytest.fixture(scope="module")
def week() -> Week:
    rng = np.random.default_rng(12)
    banners = sorted(growing_world(rng, DAYS), key=lambda b: b.days[0])
    pixels = [b.pixel_hash for b in banners]
    alone = [b for b in banners if b.days[0] == 0 and pixels.count(b.pixel_hash) == 1][:2]
    alone = [dataclasses.replace(b, days=(0,)) for b in alone]
    names = {b.banner_id for b in alone}
    near = unit(np.stack([alone[0].vector, banners[5].vector]) + 0.02)
    return Week([*alone, *(b for b in banners if b.banner_id not in names)], near[0], near[1])


def settings_for(base_settings, **changes):
    changes = {"initial_threshold": 0.7, "k_neighbors": K, "theme_counts": (), "block_rows": 16, "partitions": 3, **changes}
    cells = CellSettings(rows_per_cell=8, probes=2, sample_rows=60)
    audit = base_settings.clustering.audit.model_copy(update={"below_min_recall": "warn"})
    clustering = base_settings.clustering.model_copy(update={"cells": cells, "audit": audit, **changes})
    return base_settings.model_copy(update={"clustering": clustering})


def newest_lists(warehouse, last: datetime.date) -> dict[str, list]:
    found = {}
    for r in sorted(warehouse.read(NEIGHBOURS).where(f"dt <= DATE'{last}'").collect(), key=lambda r: r["dt"]):
        found[r["src"]] = r["neighbours"]
    return {src: [(n["dst"], n["cosine"]) for n in lists] for src, lists in found.items() if lists is not None}


def oracle(nodes: dict[str, np.ndarray], centroids: np.ndarray | None) -> dict[str, list]:
    names = sorted(nodes)
    vectors = np.stack([nodes[n] for n in names])
    cosine = cosines(vectors)
    reach = np.ones((len(names), len(names)), bool)
    if centroids is not None:
        near = (vectors.astype(np.float64) @ centroids.astype(np.float64).T).astype(np.float32)
        asked = np.array([sorted(range(len(centroids)), key=lambda c: (-row[c], c))[:2] for row in near])
        reach = np.array([[asked[b, 0] in asked[a] for b in range(len(names))] for a in range(len(names))])
    found = {}
    for a, name in enumerate(names):
        others = [b for b in range(len(names)) if b != a and reach[a, b]]
        best = sorted(others, key=lambda b: (-cosine[a, b], names[b]))[:K]
        found[name] = [(names[b], cosine[a, b]) for b in best]
    return found


@pytest.mark.slow
def test_day_after_day_leaves_what_a_search_of_everything_leaves(spark, base_settings, week, tmp_path):
    settings = settings_for(base_settings, search="cells")
    warehouse = Warehouse(spark, str(tmp_path))
    shares = {}
    for number in range(DAYS):
        week.store(warehouse, number)
        run_stage(STAGE, warehouse, settings, day(number))
        cells = warehouse.read(CELLS).collect()
        assert {r["dt"] for r in cells} == {FIRST}
        centroids = np.array([r["centroid"] for r in sorted(cells, key=lambda r: r["cell"])], np.float32)
        nodes = week.nodes(number)
        assert newest_lists(warehouse, day(number)) == oracle(nodes, centroids)
        shares[number] = (set(nodes), run_metrics(warehouse, day(number)))
    for number in range(1, DAYS):
        (before, _), (now, metrics) = shares[number - 1], shares[number]
        assert metrics["new_pictures"] == len(now - before) + (number == 2)
        assert metrics["searched_pictures"] <= len(now)
    assert shares[DAYS - 1][1]["searched_pictures"] < len(shares[DAYS - 1][0])
    once = tables_of(warehouse)
    remove(spark, warehouse.path(NEIGHBOURS))
    run_stage(STAGE, warehouse, settings, day(DAYS - 1))
    assert tables_of(warehouse) == once, "a search of everything on the same cells gives the same"
    assert run_metrics(warehouse, day(DAYS - 1))["searched_pictures"] == len(week.nodes(DAYS - 1))


def run_metrics(warehouse, dt) -> dict[str, float]:
    rows = warehouse.read(RUNS).where(f"dt = DATE'{dt}'").collect()
    return max(rows, key=lambda r: r["started_at"])["metrics"]


def tables_of(warehouse) -> dict[str, list[str]]:
    return {t.name: sorted(map(str, warehouse.read(t).collect())) for t in RESULTS}


@pytest.mark.slow
def test_what_comes_late_for_an_older_day_is_found_by_the_days_to_come_though_those_between_are_not_run_again(
    spark, base_settings, tmp_path
):
    banners = growing_world(np.random.default_rng(9), 4)
    late = {b.banner_id for b in banners if b.days[0] == 1 and banners.index(b) % 2}
    warehouse, settings = Warehouse(spark, str(tmp_path)), settings_for(base_settings, search="cells")
    for number, told in ((0, False), (1, False), (2, False), (1, True), (3, True)):
        known = [b for b in banners if b.days[0] <= number and (told or b.banner_id not in late)]
        store(warehouse, known, range(number, number + 1))
        run_stage(STAGE, warehouse, settings, day(number))
    in_order = warehouse.read(CELLS).orderBy("cell").collect()
    assert late and {r["dt"] for r in in_order} == {FIRST}
    nodes = {b.pixel_hash: np.asarray(b.vector, np.float32) for b in banners}
    expected = oracle(nodes, np.array([r["centroid"] for r in in_order], np.float32))
    assert newest_lists(warehouse, day(3)) == expected


@pytest.mark.slow
def test_a_rebuild_learns_cells_drops_the_unseen_and_keeps_ids(spark, base_settings, tmp_path):
    rng = np.random.default_rng(5)
    centres = unit(rng.normal(size=(5, 12)))
    names = [f"b{i:02d}" for i in range(40)]
    vectors = unit(centres[np.arange(40) % 5] + rng.normal(scale=0.05, size=(40, 12)))
    last = [0 if i < 6 else 3 for i in range(40)]
    banners = [
        Shown(n, f"p-{n}", v, tuple(range(until + 1)), 10, 10, 10) for n, v, until in zip(names, vectors, last, strict=True)
    ]
    settings = settings_for(base_settings, search="cells", rebuild_every_days=3, retire_after_days=1)
    warehouse = Warehouse(spark, str(tmp_path))
    members = {}
    for number in range(4):
        store(warehouse, [b for b in banners if b.days[0] <= number], range(number, number + 1))
        run_stage(STAGE, warehouse, settings, day(number))
        name = max(warehouse.read(CLUSTERINGS).where(f"dt = DATE'{day(number)}'").collect())["clustering_id"]
        rows = warehouse.read(CLUSTER_MEMBERS).where(f"clustering_id = '{name}'").collect()
        members[number] = {r["banner_id"]: r for r in rows}
    assert {r["dt"] for r in warehouse.read(CELLS).collect()} == {day(0), day(3)}
    for number, rows in members.items():
        assert set(rows) == {n for n, until in zip(names, last, strict=True) if number < 3 or until > 3 - 1}
        retired = {n for n, until in zip(names, last, strict=True) if until <= number - 1}
        assert {n for n, r in rows.items() if r["is_retired"]} == retired & set(rows)
    assert any(r["is_retired"] for r in members[2].values())
    assert {n: r["cluster_id"] for n, r in members[3].items()} == {
        n: r["cluster_id"] for n, r in members[2].items() if n in members[3]
    }
    events = {r["event"] for r in warehouse.read(CLUSTER_LINEAGE).where(f"clustering_id LIKE '{day(3)}%'").collect()}
    assert events == {"kept"}


@pytest.mark.slow
def test_other_settings_of_the_search_learn_cells_at_once(spark, base_settings, tmp_path):
    banners = growing_world(np.random.default_rng(3), 2)
    warehouse = Warehouse(spark, str(tmp_path))
    for number, search in enumerate(("exact", "cells")):
        store(warehouse, [b for b in banners if b.days[0] <= number], range(number, number + 1))
        run_stage(STAGE, warehouse, settings_for(base_settings, search=search), day(number))
    assert sorted({(r["dt"], r["cells_id"][:5]) for r in warehouse.read(CELLS).collect()}) == [
        (day(0), "exact"),
        (day(1), "cells"),
    ]

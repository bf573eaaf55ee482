"""Tags on random ads equal the oracle's; words that all clusters share are none; trends and tags through the job."""

from __future__ import annotations

import random

import analytics_oracle as oracle
import numpy as np
import pytest
from analytics_worlds import cluster, day, deliver, log_banners

from bannermap.analytics import transforms as t
from bannermap.analytics.job import STAGE
from bannermap.analytics.tags import class_tf_idf, word_lift
from bannermap.analytics.words import ad_words
from bannermap.platform.cli import run_stage
from bannermap.platform.tables import CLUSTER_TAGS, CLUSTER_TRENDS

THEMES = {"k1": "trail boots 山道", "k2": "perfume розы", "k3": "hotel strand"}
COLUMNS = ("cluster_id", "advertiser_id", "text", "landing_url", "picture_text")


def random_ads(rng: random.Random, count: int) -> list[dict]:
    ads = []
    for _ in range(count):
        name = rng.choice(list(THEMES))
        words = [
            *rng.sample(THEMES[name].split(), 2),
            *rng.sample(["buy", "now", "the", "best", *" ".join(THEMES.values()).split()], 3),
        ]
        text = " ".join(words).upper() if rng.random() < 0.5 else None
        url = f"https://www.{rng.choice(words[:2])}.example/{words[2]}?user=u{rng.random()}" if rng.random() < 0.8 else None
        ads.append(dict(zip(COLUMNS, (name, rng.choice(["x", "y", None]), text, url, rng.choice([None, words[3]])), strict=True)))
    return ads


def words_of(ad: dict) -> list[str]:
    return ad_words(ad["text"], ad["landing_url"], ad["picture_text"])


def test_the_formula_gives_the_worked_figures():
    # Two classes of 10 words each; the word 4 times in one, 5 times in all: 0.4 * ln(1 + 10 / 5).
    assert class_tf_idf(np.array([4.0]), np.array([10.0]), np.array([5.0]), np.array([10.0]))[0] == pytest.approx(0.43944491)
    assert word_lift(np.array([4.0]), np.array([10.0]), np.array([5.0]), np.array([20.0]))[0] == pytest.approx(1.6)


def test_a_word_of_all_classes_is_worth_the_less_the_more_classes_there_are():
    worth = [class_tf_idf(np.array([10.0]), np.array([50.0]), np.array([10.0 * n]), np.array([50.0]))[0] for n in (2, 20, 2000)]
    own = class_tf_idf(np.array([10.0]), np.array([50.0]), np.array([10.0]), np.array([50.0]))[0]
    assert worth[0] > worth[1] > worth[2] and worth[2] < own / 500


@pytest.mark.slow
def test_tags_equal_the_oracle_whatever_the_order_of_the_ads(spark):
    rng = random.Random(7)
    for limits in ((4, 2, 2, 1.2), (3, 1, 0, 1.0)):
        ads = random_ads(rng, 60)
        frame = spark.createDataFrame([tuple(a.values()) for a in ads], ", ".join(f"{c} string" for c in COLUMNS))
        rows = t.tag_rows(frame.repartition(3), *limits).orderBy("cluster_id", "rank").collect()
        found = {n: [(r.tag, pytest.approx(r.score)) for r in rows if r.cluster_id == n] for n in {r.cluster_id for r in rows}}
        expected = oracle.tags(ads, words_of, *limits)
        assert found == expected and len(found) == 3
        assert all(r["rank"] == 1 + [w for w, _ in expected[r.cluster_id]].index(r.tag) for r in rows)
    assert "山道" in {r.tag for r in rows} and not {"buy", "example", "www"} & {r.tag for r in rows if r.lift > 1.3}


@pytest.mark.slow
def test_the_job_finds_a_planted_rise_and_words_of_the_day_and_writes_the_same_again(warehouse, base_settings):
    rng = np.random.default_rng(8)
    last, assignment = 15, {f"b{n}": f"k{n}" for n in range(12)}
    days = {
        day(n): [
            {
                "dt": day(n),
                "user_id": "u",
                "banner_id": b,
                "requests": 0,
                "impressions": int(i),
                "clicks": int(rng.binomial(i, 0.1)),
            }
            for b, i in zip(assignment, rng.poisson(200, 12) * np.where(np.arange(12) == 3, 3 if n > 8 else 1, 1), strict=True)
        ]
        for n in range(1, last + 1)
    }
    name = cluster(warehouse, day(last), assignment | {"c0": "k0", "c1": "k1"})
    logged = [
        {"dt": day(n), "banner_id": b, "advertiser_id": f"a{b}", "text": f"sale {THEMES[c] if n < 15 else 'later'}"}
        for b, c in (("b0", "k1"), ("c0", "k1"), ("b1", "k2"), ("c1", "k2"))
        for n in (14, 16)
    ]
    for n in (14, 16):
        log_banners(warehouse, day(n), [r for r in logged if r["dt"] == day(n)])
    deliver(warehouse, day(last), "first", days)
    for _ in range(2):
        run = run_stage(STAGE, warehouse, base_settings, day(last))
    trends = warehouse.read(CLUSTER_TRENDS).collect()
    assert {r.window_days for r in trends} == {7} and len(trends) == 24 == run.metrics["trends"]
    assert {r.trend for r in trends if r.measure == "ctr"} == {"steady"}
    shares = {r.cluster_id: r for r in trends if r.measure == "impression_share"}
    assert shares["k3"].trend == "rises" and not [r for r in shares.values() if r.cluster_id != "k3" and r.trend == "rises"]
    week = [days[day(n)] for n in range(last - 6, last + 1)]
    assert shares["k3"].events == sum(r["impressions"] for rows in week for r in rows if r["banner_id"] == "b3")
    assert shares["k3"].trials == sum(r["impressions"] for rows in week for r in rows)
    tags = warehouse.read(CLUSTER_TAGS).where(f"clustering_id = '{name}'").collect()
    assert {r.cluster_id: {s.tag for s in tags if s.cluster_id == r.cluster_id} for r in tags} == {
        "k0": {"trail", "boots", "山道"},
        "k1": {"perfume", "розы"},
    }

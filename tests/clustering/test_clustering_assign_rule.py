"""New pictures against a stored clustering: the rule against a loop, whatever the blocks, chunks and partitions."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import KINDS, unit

from bannermap.clustering.assigning import Nearest, nearer, nearest_in
from bannermap.clustering.assignment import StoredThemes, assigned_pictures
from bannermap.clustering.frames import CLUSTERED_VECTORS, KNOWN_PICTURES
from bannermap.clustering.themes import ThemeFit
from bannermap.clustering.transforms import numbered_nodes


def cosine(a, b) -> np.float32:
    return np.float32(np.dot(a.astype(np.float64), b.astype(np.float64)))


def naive_nearest(vector, pictures: dict) -> tuple:
    """The greatest cosine, then the smallest name, by looking at every one; (None, -inf) where there is none."""
    best = (None, np.float32(-np.inf))
    for name in sorted(pictures):
        score = cosine(vector, pictures[name])
        if score > best[1]:
            best = (name, score)
    return best


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_the_nearest_is_that_of_a_loop_however_candidates_are_cut(kind):
    rng = np.random.default_rng(5)
    vectors = kind(rng, 150)
    names = np.array([f"{n:03d}" for n in rng.permutation(150)], object)
    queries, rest = vectors[:40], np.arange(20, 150)  # some queries are candidates too, under whatever name
    expected = [naive_nearest(q, dict(zip(names[rest], vectors[rest], strict=True))) for q in queries]
    for parts in (1, 4, 130):
        found = Nearest.none(len(queries))
        for part in np.array_split(rng.permutation(rest), parts):
            found = nearer(nearest_in(queries, names[part], vectors[part]), found)
        assert list(zip(found.ids, found.cosines, strict=True)) == expected


def drawn(seed: int) -> tuple[dict, dict, dict, dict]:
    """New pictures, known pictures with what is said of them, their vectors, and clusters' thresholds."""
    rng = np.random.default_rng(seed)
    vectors = KINDS[seed % len(KINDS)](rng, 120)
    names = [f"p{n:04d}" for n in rng.permutation(10_000)[: len(vectors)]]
    new, old = dict(zip(names[:50], vectors[:50], strict=True)), dict(zip(names[50:], vectors[50:], strict=True))
    clusters = {f"c{n}": float(rng.choice([-0.5, 0.3, 0.75, 0.9, 1.0])) for n in range(6)}
    cluster_of = {name: str(rng.choice([*clusters, ""])) or None for name in old}
    return new, old, cluster_of, clusters


def drawn_themes(seed: int, width: int) -> dict[int, StoredThemes]:
    rng = np.random.default_rng(seed)
    return {k: StoredThemes(ThemeFit(k, unit(rng.normal(size=(k, width)))), tuple(f"t{k}-{n}" for n in range(k))) for k in (3, 2)}


def naive_assignments(new, old, cluster_of, clusters, themes) -> dict[str, tuple]:
    inside = {name: vector for name, vector in old.items() if cluster_of[name]}
    medoids = {c: min(n for n in inside if cluster_of[n] == c) for c in set(cluster_of.values()) if c}
    result = {}
    for name, vector in new.items():
        near, score = naive_nearest(vector, inside)
        threshold = clusters[cluster_of[near]] if near else None
        if near and float(score) >= threshold:
            cluster = cluster_of[near]
            said = ("nearest_picture", cluster, cosine(vector, inside[medoids[cluster]]), {2: f"of {cluster}"})
        else:
            centres = {
                k: [float(np.dot(vector.astype(float), c.astype(float))) for c in t.fit.centroids] for k, t in themes.items()
            }
            said = ("too_far", None, None, {k: f"t{k}-{int(np.argmax(scores))}" for k, scores in centres.items()} or None)
        result[name] = (*said, near, f"b-{near}" if near else None, score if near else None, threshold)
    return result


def frames(spark, new, old, cluster_of, clusters, partitions):
    medoids = {c: min((n for n in old if cluster_of[n] == c), default=None) for c in clusters}
    said = [
        (n, f"b-{n}", c, clusters.get(c), medoids.get(c), None, {2: f"of {c}"} if c else {2: "x"}) for n, c in cluster_of.items()
    ]
    inside = [(n, [float(x) for x in v]) for n, v in old.items() if cluster_of[n]]
    rows = [(n, 1, [float(x) for x in v]) for n, v in new.items()]
    queries = numbered_nodes(spark.createDataFrame(rows, "node_id string, banners long, vector array<float>"))
    known = spark.createDataFrame(said, KNOWN_PICTURES.schema)
    clustered = spark.createDataFrame(inside, CLUSTERED_VECTORS.schema)
    return [f.repartition(partitions).persist() for f in (queries, known, clustered)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_assignments_are_those_of_a_loop_whatever_blocks_and_partitions(spark, seed):
    new, old, cluster_of, clusters = drawn(seed)
    themes = drawn_themes(seed, len(next(iter(new.values())))) if seed % 3 else {}
    expected = naive_assignments(new, old, cluster_of, clusters, themes)
    for partitions, block_rows in ((1, 50), (5, 17)):
        found = assigned_pictures(*frames(spark, new, old, cluster_of, clusters, partitions), themes, block_rows).collect()
        assert {
            r["node_id"]: (
                *(r["reason"], r["cluster_id"], r["similarity_to_medoid"], r["themes"]),
                *(r["nearest_pixel_hash"], r["nearest_banner_id"], r["cosine"], r["threshold"]),
            )
            for r in found
        } == expected
        assert len(found) == len(new)


@pytest.mark.slow
def test_where_nothing_is_clustered_all_are_too_far_and_nothing_new_is_nothing(spark):
    new, old, cluster_of, clusters = drawn(0)
    for block_rows in (1, 7):
        few = dict(list(new.items())[:3])
        rows = assigned_pictures(*frames(spark, few, old, dict.fromkeys(old), clusters, 2), {}, block_rows).collect()
        assert [(r["reason"], r["nearest_pixel_hash"], r["themes"]) for r in rows] == [("too_far", None, None)] * 3
    assert assigned_pictures(*frames(spark, {}, old, cluster_of, clusters, 2), {}, 5).isEmpty()

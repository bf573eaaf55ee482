"""Lifts against a naive account; nothing told of few users, not even by subtraction; pseudonyms and tables of attributes."""

from __future__ import annotations

import hmac
import itertools
from collections import defaultdict

import pandas as pd
import pytest
from analytics_worlds import day
from hypothesis import given
from hypothesis import strategies as st

from bannermap.analytics import transforms as t
from bannermap.analytics.attributes import user_attributes
from bannermap.analytics.audiences import audience_rows, shown_values
from bannermap.platform.errors import InputError
from bannermap.platform.intervals import wilson_bounds
from bannermap.platform.pseudonyms import UserKey
from bannermap.platform.runs import JobContext, Run

cells = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 60), max_size=8)


@given(cells, st.integers(2, 40))
def test_what_is_left_out_cannot_be_computed_to_few_users(users, least):
    shown = shown_values(users, least)
    hidden = sum(users.values()) - sum(users[v] for v in shown)  # what a reader who knows the total can compute
    assert all(users[v] >= least for v in shown)
    assert hidden == 0 or hidden >= least or not shown
    assert {v for v in users if users[v] < least}.isdisjoint(shown)
    if all(count >= least for count in users.values()):
        assert set(shown) == set(users)


@given(cells, st.integers(2, 40))
def test_no_more_is_left_out_than_it_takes(users, least):
    """No larger set of the greatest values would do."""
    shown = shown_values(users, least)
    order = sorted(users, key=lambda v: (users[v], v), reverse=True)
    for more in range(len(shown) + 1, len(users) + 1):
        rest = sum(users[v] for v in order[more:])
        assert any(users[v] < least for v in order[:more]) or 0 < rest < least


@given(st.lists(st.tuples(st.sampled_from("klm"), st.integers(0, 60)), max_size=150), st.integers(2, 12))
def test_lifts_equal_a_naive_account_and_hide_rare_values_everywhere(pairs, least):
    value = {u: "abcd"[min(u % 7, 3)] for u in range(61)}
    clusters, everyone = defaultdict(lambda: defaultdict(set)), defaultdict(set)
    for name, user in pairs:
        clusters[name][value[user]].add(user)
        everyone[value[user]].add(user)
    counts = {n: {v: len(u) for v, u in own.items()} for n, own in clusters.items()}
    whole = {v: len(u) for v, u in everyone.items()}
    rows = list(audience_rows(counts, whole, least))
    assert [r[:2] for r in rows] == sorted(r[:2] for r in rows)
    for name, v, users, share, usual, lift, low, high in rows:
        of = sum(counts[name].values())
        assert (users, share, usual) == (counts[name][v], users / of, whole[v] / sum(whole.values()))
        assert users >= least and lift == pytest.approx(share / usual)
        assert (low, high) == tuple(bound / usual for bound in wilson_bounds(share, of)) and low <= lift <= high
    for name, told in itertools.groupby(rows, key=lambda r: r[0]):
        hidden = sum(counts[name].values()) - sum(r[2] for r in told)
        assert hidden == 0 or hidden >= least
    seen = {r[1] for r in rows}
    rest = sum(whole.values()) - sum(whole[v] for v in seen)
    assert not seen or rest == 0 or rest >= least


@pytest.mark.slow
def test_users_count_once_by_the_ids_that_tables_hold(spark, warehouse, base_settings, tmp_path, monkeypatch):
    key = UserKey(b"0123456789abcdefghijklmnopqrstuvwxyz")
    hidden = {u: "u_" + hmac.new(key.secret, u.encode(), "sha256").hexdigest() for u in (f"p{n}" for n in range(8))}
    seen = [(hidden[f"p{n}"], c, int(n != 5)) for n in range(8) for c in ("k1", "k2")[: 1 + n % 2]]
    counts = spark.createDataFrame(seen, "user_id string, cluster_id string, impressions_30d int")
    regions = [*["n", "s"] * 3, None, "s", "x"]
    known = pd.DataFrame({"user_id": [*(f"p{n}" for n in range(8)), None], "region": regions, "age": [30] * 9})
    known.to_parquet(tmp_path / "known.parquet")
    variable = base_settings.features.pseudonym_key_variable
    monkeypatch.setenv(variable, key.secret.decode())
    path = str(tmp_path / "known.parquet")
    analytics = base_settings.analytics.model_copy(update={"user_attributes": path})
    features = base_settings.features.model_copy(update={"pseudonymise_users": True})
    settings = base_settings.model_copy(update={"analytics": analytics, "features": features})
    context = JobContext(warehouse, settings, day(0), Run("analyse_clusters", day(0)))
    attributes = user_attributes(context, path)
    found = {(r.attribute, r.cluster_id, r.value): r.users for r in t.audience_counts(counts, attributes, "impression").collect()}
    # Of p0 to p7 without p5, who saw nothing; p6 has no region.
    assert found == {
        ("region", None, "n"): 3,
        ("region", None, "s"): 3,
        ("region", "k1", "n"): 3,
        ("region", "k1", "s"): 3,
        ("region", "k2", "s"): 3,
        ("age", None, "30"): 7,
        ("age", "k1", "30"): 7,
        ("age", "k2", "30"): 3,
    }
    rows = t.audience_rows(t.audience_counts(counts, attributes, "impression"), 3).collect()
    lifts = {(r.attribute, r.cluster_id, r.value): r.lift for r in rows}
    assert lifts["region", "k2", "s"] == pytest.approx(2.0) and lifts["age", "k1", "30"] == pytest.approx(1.0)
    pd.concat([known, known]).to_parquet(tmp_path / "twice.parquet")
    for name, message in (("twice.parquet", "8 users more than once"), ("none", "nothing at")):
        with pytest.raises(InputError, match=message):
            user_attributes(context, str(tmp_path / name))

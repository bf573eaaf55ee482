"""The test and the q-values against naive accounts; by simulation: false discoveries within their rate, planted changes found."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannermap.analytics.significance import LEAST_P, benjamini_hochberg, changed_rates, student_t_two_sided

RATE = 0.05


def integrated(t: float, n: int) -> float:
    """P(|T| >= |t|) by Simpson's rule over the density, x = tan(a)."""
    scale = math.exp(math.lgamma((n + 1) / 2) - math.lgamma(n / 2)) / math.sqrt(n * math.pi)
    grid = np.linspace(0, math.atan(abs(t)), 4001)
    values = scale * (1 + np.tan(grid) ** 2 / n) ** (-(n + 1) / 2) / np.cos(grid) ** 2
    weights = np.ones(4001)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    return 1 - 2 * float((values * weights).sum() * (grid[1] - grid[0]) / 3)


@given(st.floats(-30, 30), st.integers(1, 120))
def test_students_t_is_the_integral_of_its_density(t, n):
    found = student_t_two_sided(np.array([t]), np.array([n]))[0]
    assert found == pytest.approx(max(integrated(t, n), LEAST_P), abs=1e-9)


def test_published_quantiles_of_students_t():
    t, n = np.array([12.706, 2.228, 2.042, 3.169]), np.array([1, 10, 30, 10])
    assert student_t_two_sided(t, n) == pytest.approx([0.05, 0.05, 0.05, 0.01], abs=5e-5)


@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan), st.sampled_from([0.01, 0.02])), max_size=30))
def test_q_values_are_the_least_rates_at_which_the_step_up_procedure_rejects(p_values):
    found = benjamini_hochberg(np.array(p_values, float))
    tested = sorted(p for p in p_values if not math.isnan(p))
    for p, q in zip(p_values, found, strict=True):
        assert math.isnan(p) == math.isnan(q)
        for rate in (0.01, 0.05, 0.2, 0.7):
            line = max((t for i, t in enumerate(tested, 1) if t * len(tested) / i <= rate), default=-1.0)
            if not math.isnan(p):
                assert (q <= rate) == (p <= line)


def naive(events, trials, events_before, trials_before):
    """One rate by loops: dispersion, degrees of freedom, p."""
    windows = [(events, trials), (events_before, trials_before)]
    rates, squares, days = [], 0.0, 0
    for e, n in windows:
        kept = [(a, b) for a, b in zip(e, n, strict=True) if b > 0]
        rate = sum(a for a, _ in kept) / sum(b for _, b in kept)
        squares += sum((a - rate * b) ** 2 / (rate * (1 - rate) * b) for a, b in kept if 0 < rate < 1)
        days += len(kept)
        rates.append(rate)
    total = sum(trials), sum(trials_before)
    pooled = (sum(events) + sum(events_before)) / sum(total)
    phi = max(1.0, squares / (days - 2))
    error = math.sqrt(phi * pooled * (1 - pooled) * (1 / total[0] + 1 / total[1]))
    return phi, days - 2, integrated((rates[0] - rates[1]) / error, days - 2)


def test_the_test_equals_a_naive_account_of_it():
    rng = np.random.default_rng(1)
    for _ in range(60):
        days, before = rng.integers(2, 9, 2)
        n, m = rng.integers(1, 300, days) * 1.0, rng.integers(1, 300, before) * 1.0
        n[0] *= rng.integers(0, 2)
        x, y = rng.binomial(n.astype(int), 0.2) * 1.0, rng.binomial(m.astype(int), rng.choice([0.2, 0.3])) * 1.0
        if x.sum() + y.sum() == 0 or days + before - 2 - (n[0] == 0) < 1:
            continue
        found = changed_rates(x[None], n[None], y[None], m[None])
        phi, freedom, p = naive(x, n, y, m)
        assert (found.dispersion[0], found.degrees_of_freedom[0]) == (pytest.approx(phi), freedom)
        assert found.p_value[0] == pytest.approx(p, abs=1e-9)


def test_what_cannot_be_tested_has_no_p_value():
    one, none, more = np.array([[5.0, 4.0]]), np.zeros((1, 2)), np.array([[9.0, 90.0]])
    for events, trials, before, trials_before in [(none, none, one, more), (one, more, none, none), (more, one, one, more)]:
        assert np.isnan(changed_rates(events, trials, before, trials_before).p_value).all()
    assert np.isnan(changed_rates(one[:, :1], more[:, :1], one[:, :1], more[:, :1]).p_value).all()
    assert changed_rates(none, more, none, more).p_value.tolist() == [1.0]


def drawn_days(rng, clusters: int, days: int, spread: float, change: np.ndarray, trials: int = 20_000):
    """Impressions of clusters and days: gamma noise of a relative spread per cluster and day over Poisson counts."""
    level = rng.lognormal(5, 1, clusters)[:, None] * np.ones(days)
    level[:, days // 2 :] *= change[:, None]
    noise = rng.gamma(1 / spread**2, spread**2, level.shape) if spread else 1.0
    counts = rng.poisson(level * noise).astype(float)
    return counts[:, days // 2 :], counts[:, : days // 2], np.full((1, days // 2), float(trials) * clusters / 100)


@pytest.mark.parametrize(("days", "spread"), [(14, 0.0), (14, 0.3), (56, 0.3), (14, 1.0)])
def test_without_a_change_false_discoveries_stay_within_their_rate(days, spread):
    rng = np.random.default_rng(days)
    seeds, wrong = 400, 0
    for _ in range(seeds):
        now, before, trials = drawn_days(rng, 60, days, spread, np.ones(60))
        wrong += bool((benjamini_hochberg(changed_rates(now, trials, before, trials).p_value) <= RATE).any())
    # With nothing to find, every discovery is false: the rate is that of seeds with any. Three standard errors above it.
    assert wrong / seeds <= RATE + 3 * math.sqrt(RATE * (1 - RATE) / seeds)


def test_planted_changes_are_found_with_their_direction_and_few_others():
    rng = np.random.default_rng(2)
    shares, found = [], 0
    for _ in range(100):
        change = np.ones(100)
        change[:10], change[10:20] = 2.5, 0.4
        now, before, trials = drawn_days(rng, 100, 14, 0.3, change)
        test = changed_rates(now, trials, before, trials)
        said = benjamini_hochberg(test.p_value) <= RATE
        up = test.rate > test.rate_before
        found += (said[:10] & up[:10]).sum() + (said[10:20] & ~up[10:20]).sum()
        shares.append(said[20:].sum() / max(said.sum(), 1))
    assert np.mean(shares) <= RATE
    assert found / 2000 > 0.9
